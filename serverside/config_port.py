"""The configuration port: accept, check the source port, keep the timer, move the dialogue's bytes.

The dialogue itself (Appendix D, steps 2 to 11, and the 0x02 login) is `protocol.dialogue.ServerDialogue`; who may have
what is decided by the server. A socket that has not authenticated costs little and not for long: at most
HALF_OPEN_MAX of them are kept, those included that are being refused or hear the last words of a session that ended;
the oldest goes first, and each has HANDSHAKE_TIMEOUT_S.
"""

import secrets
import socket
from collections.abc import Iterable
from typing import Protocol

from ipc.loop import Loop, Timer
from ipc.tls import TlsIdentity
from ipc.tls_stream import TlsStream
from protocol.dialogue import ServerDialogue
from protocol.errors import ProtocolError
from protocol.events import Event, LoginFailed, LoginProven
from protocol.limits import HANDSHAKE_TIMEOUT_S, PRIVILEGED_PORTS
from protocol.states import Config
from protocol.tls_binding import bound_secret
from protocol.v2.login import fingerprint
from protocol.versions import V2, describe_versions
from serverside.listening import Listener
from serverside.tls_entry import Names, TlsEntry, names_of

HALF_OPEN_MAX = 64
GOODBYE_S = 1.0
"""How long a last answer may take on its way out, and how long unread input is drained behind it."""
CLEAR_AFTER_S = 0.5
"""With TLS: so long a host has for its ClientHello, before step (2) goes out in clear."""
OUTPUT_MAX_BYTES = 1 << 20
"""A host that reads nothing while it asks much is cut off here."""


class Policy(Protocol):
    """What the port asks of the server."""

    def offered(self, peer_address: str) -> int: ...
    def secret_of(self, login: str) -> bytes | None: ...
    def next_secret_of(self, login: str) -> bytes | None: ...
    def identity(self) -> TlsIdentity | None: ...
    def on_event(self, line: "ConfigLine", event: Event) -> None: ...
    def on_refused(self, peer_address: str, why: str) -> None: ...
    def on_closed(self, line: "ConfigLine") -> None: ...


class ConfigPort:
    """The listening sockets of the configuration port and the lines that are not yet authenticated."""

    def __init__(
        self, loop: Loop, name: str, addresses: tuple[str, ...], port: int, privileged: bool, policy: Policy
    ) -> None:
        self.loop = loop
        self.name = name
        self.privileged = privileged
        """Appendix D (1): connections must come from a port number less than 1024."""
        self.policy = policy
        self.half_open: dict[ConfigLine, None] = {}
        self.number = port
        self.listeners: dict[str, Listener] = {}
        """By address."""
        self.open(addresses)

    def open(self, addresses: Iterable[str]) -> None:
        """Be there on all of these too. OSError names the first that can't be had."""
        for address in addresses:
            if address not in self.listeners:
                self.listeners[address] = Listener(self.loop, address, self.number, self.accepted)
        self.listen()

    def listen(self) -> None:
        """Listen where it was not possible yet."""
        for listener in self.listeners.values():
            listener.listen()

    def close_others(self, addresses: Iterable[str]) -> None:
        """Be there on no others; who came in there before stays."""
        for address in self.listeners.keys() - set(addresses):
            self.listeners.pop(address).close()

    def accepted(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        """Step (2): verify that it comes from a port number less than 1024, else close."""
        if self.privileged and peer[1] >= PRIVILEGED_PORTS:
            sock.close()
            self.policy.on_refused(
                peer[0], f"its port is {peer[1]}, and PRIVILEGED_PORT = yes asks for one below {PRIVILEGED_PORTS}"
            )
            return
        line = ConfigLine(self.loop, sock, peer[0], self)
        self.keep(line)
        line.start()

    def keep(self, line: "ConfigLine") -> None:
        """Keep a line that has no session: not yet, or no longer."""
        if line not in self.half_open and len(self.half_open) >= HALF_OPEN_MAX:
            next(iter(self.half_open)).close()
        self.half_open[line] = None

    def close(self) -> None:
        self.close_others(())
        for line in list(self.half_open):
            line.close()


class ConfigLine:
    """One configuration socket, from accept to close."""

    def __init__(self, loop: Loop, sock: socket.socket, peer_address: str, port: ConfigPort) -> None:
        self.loop = loop
        self.sock = sock
        self.peer_address = peer_address
        self.port = port
        self.policy = port.policy
        self.dialogue = ServerDialogue(
            self.policy.offered(peer_address),
            secrets.randbits(32),
            secrets.token_bytes(32),
            port.name,
            self.secret_of,
            self.next_secret_of,
        )
        self.keys: dict[str, str] = {}
        """The fingerprint of what the login goes by -> that of the secret it was made of."""
        self.login = ""
        """0x02: what it calls itself; anybody can say anything."""
        self.why_closed = ""
        """Empty: the host closed it."""
        self.unsent = b""
        self.finishing = False
        """Nothing is heard any more; what is queued still goes out."""
        self.closed = False
        self.timer: Timer | None = None
        self.entry: TlsEntry | None = None
        """While it is not yet known whether the host comes by TLS."""

    def start(self) -> None:
        """Step (4): "if the NSU does not receive a reply within five seconds, it will close"; with TLS too."""
        self.arm(HANDSHAKE_TIMEOUT_S)
        identity = self.policy.identity() if self.policy.offered(self.peer_address) & V2 else None
        if identity is None:
            self.speak(self.sock)
        else:
            self.entry = TlsEntry(
                self.loop,
                self.sock,
                identity,
                clear_after_s=CLEAR_AFTER_S,
                on_entered=self.speak,
                on_failed=self.fail_tls,
            )

    def speak(self, sock: socket.socket) -> None:
        """Step (2) goes out."""
        self.sock, self.entry = sock, None
        self.loop.watch(self.sock, on_readable=self.readable)
        self.send()

    def fail_tls(self, why: str) -> None:
        self.policy.on_refused(self.peer_address, why or "it hung up before the TLS handshake")
        self.close()

    @property
    def names(self) -> Names:
        """Whom the host's certificate names; None: it came in clear."""
        return names_of(self.sock)

    def secret_of(self, login: str) -> bytes | None:
        self.login = login
        return self.bound(self.policy.secret_of(login))

    def next_secret_of(self, login: str) -> bytes | None:
        return self.bound(self.policy.next_secret_of(login))

    def bound(self, secret: bytes | None) -> bytes | None:
        """What the login goes by: inside TLS, where it is bound to the certificates, not the secret itself."""
        if secret is None:
            return None
        found = secret
        if isinstance(self.sock, TlsStream):
            found = bound_secret(secret, self.sock.identity.fingerprint, self.sock.fingerprint)
        self.keys[fingerprint(found)] = fingerprint(secret)
        return found

    @property
    def key(self) -> str:
        """The fingerprint of the HOST's secret that was proven; empty: none, as in 0x01."""
        return self.keys.get(self.dialogue.key, "")

    def arm(self, seconds: float) -> None:
        """Close then, whatever happens until then."""
        self.disarm()
        self.timer = self.loop.call_later(seconds, self.close)

    def disarm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def readable(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError as error:
            data = b""
            self.why_closed = f"its connection broke: {error.strerror}"
        if not data:
            self.peer_left()
        elif not self.finishing:
            self.hear(data)

    def peer_left(self) -> None:
        if self.dialogue.state is Config.AWAIT_REPLY and not self.finishing:
            offered = describe_versions(self.policy.offered(self.peer_address))
            self.policy.on_refused(self.peer_address, f"it went away without a login; it was offered {offered}")
        self.close()

    def hear(self, data: bytes) -> None:
        try:
            for event in self.dialogue.receive(data):
                self.take(event)
        except ProtocolError as error:
            self.why_closed = f"the host broke the protocol: {error}"
            self.finish()  # what is queued still goes out, then the line ends
        self.send()

    def take(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, LoginFailed):
            # Step (5): "if it is not the value expected, the NSU closes the connection after sending the response".
            self.policy.on_refused(self.peer_address, self.why_refused(event))
            self.finish()
            return
        if isinstance(event, LoginProven):
            # The timer of step (4) is done with; the line is held from now on.
            self.port.half_open.pop(self, None)
            self.disarm()
        self.policy.on_event(self, event)

    def why_refused(self, event: LoginFailed) -> str:
        """Say to the administrator what the peer is not told (trap 21): which of the two it was."""
        if not self.login:
            return event.sentence
        if self.policy.secret_of(self.login) is None:
            return f"nsu.conf has no HOST {self.login!r} with a SECRET_FILE"
        return f"its secret is not that of HOST {self.login}: the SECRET_FILEs of both machines must say the same"

    def finish(self) -> None:
        """Hear nothing more; end when what is queued has gone out, and in GOODBYE_S whatever happens."""
        if not self.finishing and not self.closed:
            self.finishing = True
            self.port.keep(self)
            self.arm(GOODBYE_S)

    def finish_now(self) -> None:
        """Have what is queued go out, and end."""
        self.finish()
        self.send()

    def send(self) -> None:
        """Send what the dialogue has queued; wait for room when the peer takes it slowly."""
        if self.closed:
            return
        self.unsent += self.dialogue.data_to_send()
        try:
            while self.unsent:
                self.unsent = self.unsent[self.sock.send(self.unsent) :]
        except BlockingIOError:
            if len(self.unsent) > OUTPUT_MAX_BYTES:
                self.close()
            else:
                self.loop.watch(self.sock, on_readable=self.readable, on_writable=self.send)
            return
        except OSError as error:
            self.why_closed = f"its connection broke: {error.strerror}"
            self.close()
            return
        self.loop.watch(self.sock, on_readable=self.readable)
        if self.finishing:
            self.say_goodbye()

    def say_goodbye(self) -> None:
        """Let the last answer arrive: closing with unread input would reset the connection and could lose it."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.disarm()
        self.port.half_open.pop(self, None)
        if self.entry is not None:
            self.entry.cancel()
            self.sock, self.entry = self.entry.sock, None
        self.loop.forget(self.sock)
        self.sock.close()
        self.policy.on_closed(self)
