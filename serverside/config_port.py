"""The configuration port: accept, check the source port, keep the timer, move the dialogue's bytes.

The dialogue itself (Appendix D, steps 2 to 11, and the 0x02 login) is `protocol.dialogue.ServerDialogue`; who may have
what is decided by the server. A socket that has not authenticated costs little and not for long: at most
HALF_OPEN_MAX of them are kept, the oldest goes first, and each has HANDSHAKE_TIMEOUT_S.
"""

import secrets
import socket
from functools import partial
from typing import Protocol

from ipc.loop import Loop, Timer
from protocol.dialogue import ServerDialogue
from protocol.errors import ProtocolError
from protocol.events import Event, LoginFailed, LoginProven
from protocol.limits import HANDSHAKE_TIMEOUT_S

PRIVILEGED_BELOW = 1024
HALF_OPEN_MAX = 64
GOODBYE_S = 1.0
OUTPUT_MAX_BYTES = 1 << 20
"""A host that reads nothing while it asks much is cut off here."""


class Policy(Protocol):
    """What the port asks of the server."""

    def offered(self, peer_address: str) -> int: ...
    def secret_of(self, login: str) -> bytes | None: ...
    def on_event(self, line: "ConfigLine", event: Event) -> None: ...
    def on_closed(self, line: "ConfigLine") -> None: ...


class ConfigPort:
    """The listening sockets of the configuration port and the lines that are not yet authenticated."""

    def __init__(
        self, loop: Loop, name: str, addresses: tuple[str, ...], port: int, privileged: bool, policy: Policy
    ) -> None:
        self.loop = loop
        self.name = name
        self.privileged = privileged
        self.policy = policy
        self.half_open: dict[ConfigLine, None] = {}
        self.listeners = [listen_on(address, port, backlog=128) for address in addresses]
        for listener in self.listeners:
            loop.watch(listener, on_readable=partial(self.accept, listener))

    def accept(self, listener: socket.socket) -> None:
        """Step (2): accept and verify that it comes from a port number less than 1024, else close."""
        for sock, address in accept_all(listener):
            if self.privileged and address[1] >= PRIVILEGED_BELOW:
                sock.close()
                continue
            if len(self.half_open) >= HALF_OPEN_MAX:
                next(iter(self.half_open)).close()
            line = ConfigLine(self.loop, sock, address[0], self)
            self.half_open[line] = None
            line.start()

    def close(self) -> None:
        for listener in self.listeners:
            self.loop.forget(listener)
            listener.close()
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
        self.challenge = secrets.randbits(32)
        self.dialogue = ServerDialogue(
            self.policy.offered(peer_address),
            self.challenge,
            secrets.token_bytes(32),
            port.name,
            self.policy.secret_of,
        )
        self.unsent = b""
        self.closing = False
        self.closed = False
        self.timer: Timer | None = None

    def start(self) -> None:
        """Step (2) goes out; step (4): "if the NSU does not receive a reply within five seconds, it will close"."""
        self.timer = self.loop.call_later(HANDSHAKE_TIMEOUT_S, self.close)
        self.loop.watch(self.sock, on_readable=self.readable)
        self.send()

    def authenticated(self) -> None:
        """The timer of step (4) is done with; the line is held from now on."""
        self.port.half_open.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()

    def readable(self) -> None:
        try:
            data = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        if self.closing:
            return
        try:
            for event in self.dialogue.receive(data):
                self.take(event)
        except ProtocolError:
            self.closing = True  # what is queued still goes out, then the line ends
        self.send()

    def take(self, event: Event) -> None:
        if self.closed:
            return
        if isinstance(event, LoginFailed):
            # Step (5): "if it is not the value expected, the NSU closes the connection after sending the response".
            self.closing = True
        elif isinstance(event, LoginProven):
            self.authenticated()
            self.policy.on_event(self, event)
        else:
            self.policy.on_event(self, event)

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
        except OSError:
            self.close()
            return
        if self.closing:
            self.say_goodbye()
        else:
            self.loop.watch(self.sock, on_readable=self.readable)

    def say_goodbye(self) -> None:
        """Let the last answer arrive: closing with unread input would reset the connection and could lose it."""
        self.authenticated()
        self.timer = self.loop.call_later(GOODBYE_S, self.close)
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.authenticated()  # for its timer and its place among the half-open
        self.loop.forget(self.sock)
        self.sock.close()
        self.policy.on_closed(self)


def listen_on(address: str, port: int, *, backlog: int | None) -> socket.socket:
    """Bind a nonblocking TCP socket; listen when `backlog` is given. OSError names the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        sock.bind((address, port))
        if backlog is not None:
            sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"can't open {address}:{port}: {error.strerror}") from error
    return sock


def accept_all(listener: socket.socket) -> list[tuple[socket.socket, tuple[str, int]]]:
    """Accept what waits, at most a backlog's worth; a connection that went away meanwhile is passed over."""
    accepted = []
    for _ in range(128):
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            break
        except OSError:
            break  # the peer reset it, or descriptors ran out: the next turn tries again
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        accepted.append((sock, (address[0], address[1])))
    return accepted


