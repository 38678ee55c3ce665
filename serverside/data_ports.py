"""The data ports: listen while there is a place to give, and read the first 512 bytes of each socket under a deadline.

Appendix D (12): "the NSU establishes listen sockets on an appropriate number of data channels". A port listens only
while some session's host has a free place on it. So (13): "attempts to create additional data connections beyond
max_connections will fail with 'connection refused'". Where another host still has places on the same port, the
connection that is one too many is closed before a byte is answered.

Nothing is forked for a socket that has not said who it is (trap 31). At most HALF_OPEN_MAX of them are kept on a port,
those included that are being refused; the oldest goes first.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from ipc.loop import Loop, Timer
from ipc.say import say
from ipc.tls import TlsIdentity
from protocol.limits import HANDSHAKE_TIMEOUT_S, HEADER_BYTES
from serverside.listening import Listener
from serverside.settings import ServerSettings
from serverside.tls_entry import Names, TlsEntry, names_of

HALF_OPEN_MAX = 64
GOODBYE_S = 1.0
FREE_FAILURES = 20
"""Wrong tokens from one address that are answered at once, each FAILURE_WINDOW_S; each further one waits its turn."""
FAILURE_WINDOW_S = 10.0
SLOWED_BY_S = 1.0
FAILED_ADDRESSES_MAX = 4096
"""Who comes from more addresses than can be counted (an IPv6 network has any number) is counted as one."""

Key = tuple[str, int]
"""Address and port number."""

Identity = Callable[[], TlsIdentity | None]
"""Gives what the server proves itself with; None: it has no TLS."""


def no_identity() -> None:
    """For a server without TLS."""


OnFirst = Callable[["FirstHeader"], None]
"""Gets a socket whose first 512 bytes are there: to `take`, `refuse` or `close` it."""


class DataPort:
    """One address for data sockets."""

    def __init__(self, loop: Loop, key: Key, on_first: OnFirst, identity: Identity = no_identity) -> None:
        self.loop = loop
        self.key = key
        self.on_first = on_first
        self.identity = identity
        self.listener = Listener(loop, *key, self.accepted)
        self.half_open: dict[FirstHeader, None] = {}

    @property
    def listening(self) -> bool:
        return self.listener.listening

    def set_listening(self, wanted: bool) -> None:
        """Listen, or refuse at connect."""
        if wanted:
            self.listener.listen()
        else:
            self.listener.refuse()

    def accepted(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        if len(self.half_open) >= HALF_OPEN_MAX:
            next(iter(self.half_open)).close()
        first = FirstHeader(self, sock, peer[0])
        self.half_open[first] = None

    def close(self) -> None:
        self.listener.close()
        for first in list(self.half_open):
            first.close()


class DataPorts:
    """The data ports of all hosts."""

    def __init__(self, loop: Loop, on_first: OnFirst, identity: Identity = no_identity) -> None:
        self.loop = loop
        self.on_first = on_first
        self.identity = identity
        self.ports: dict[Key, DataPort] = {}

    def __iter__(self) -> Iterator[DataPort]:
        return iter(self.ports.values())

    def open(self, settings: ServerSettings) -> None:
        """Bind the ports of `settings` that are not bound yet. OSError names the first that can't be."""
        for key in sorted(keys_of(settings) - self.ports.keys()):
            self.ports[key] = DataPort(self.loop, key, self.on_first, self.identity)

    def keep(self, settings: ServerSettings) -> None:
        """Close the ports that nobody has any more."""
        for key in self.ports.keys() - keys_of(settings):
            self.ports.pop(key).close()

    def close(self) -> None:
        for port in self.ports.values():
            port.close()
        self.ports.clear()


def keys_of(settings: ServerSettings) -> set[Key]:
    return {(port.address, port.port) for host in settings.hosts for port in host.data_ports}


class FirstHeader:
    """A data socket that has not yet said who it is: its first 512 bytes, within the deadline."""

    def __init__(self, port: DataPort, sock: socket.socket, peer_address: str) -> None:
        self.port = port
        self.sock = sock
        self.peer_address = peer_address
        self.data = b""
        self.timer: Timer = port.loop.call_later(HANDSHAKE_TIMEOUT_S, self.close)
        self.entry: TlsEntry | None = None
        """While it is not yet known whether the peer comes by TLS: that has the same deadline."""
        identity = port.identity()
        if identity is None:
            self.listen(sock)
        else:
            self.entry = TlsEntry(
                port.loop, sock, identity, clear_after_s=None, on_entered=self.listen, on_failed=self.fail_tls
            )

    def listen(self, sock: socket.socket) -> None:
        """Hear the first bytes that are the protocol's."""
        self.sock, self.entry = sock, None
        self.port.loop.watch(sock, on_readable=self.readable)
        if self.names is not None:
            self.readable()  # what came with the end of the handshake is here already, and poll knows nothing of it

    def fail_tls(self, why: str) -> None:
        if why:
            stranger = self.peer_address
            say(f"nsu: server: a data socket from {stranger} is refused: {why}", about=f"tls {stranger}")
        self.close()

    @property
    def names(self) -> Names:
        """Whom the peer's certificate names; None: it came in clear."""
        return names_of(self.sock)

    def readable(self) -> None:
        try:
            part = self.sock.recv(HEADER_BYTES - len(self.data))
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.close()
            return
        self.data += part
        if len(self.data) == HEADER_BYTES:
            self.port.loop.forget(self.sock)
            self.timer.cancel()
            self.port.on_first(self)

    def take(self) -> socket.socket:
        """Give the socket away."""
        self.release()
        return self.sock

    def refuse(self, answer: bytes, delay_s: float) -> None:
        """Say `answer` after `delay_s`, and end."""
        self.timer = self.port.loop.call_later(delay_s, lambda: self.say(answer))

    def say(self, answer: bytes) -> None:
        """Answer, then let what the peer had sent run dry: a close with unread input could take the answer away."""
        self.timer = self.port.loop.call_later(GOODBYE_S, self.close)
        self.port.loop.watch(self.sock, on_readable=self.run_dry)
        with suppress(OSError):  # the peer did not wait for it; the next receive tells
            self.sock.send(answer)  # into an empty buffer, where 512 bytes always fit
            self.sock.shutdown(socket.SHUT_WR)

    def run_dry(self) -> None:
        try:
            rest = self.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            rest = b""
        if not rest:
            self.close()

    def release(self) -> None:
        self.timer.cancel()
        if self.entry is not None:
            self.entry.cancel()
            self.sock, self.entry = self.entry.sock, None
        self.port.loop.forget(self.sock)
        self.port.half_open.pop(self, None)

    def close(self) -> None:
        self.release()
        self.sock.close()


class Failures:
    """Counts wrong tokens by source address, so that guessing is slowed (trap 29); right tokens are never delayed."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.began_s = 0.0

    def delay_s(self, address: str, now_s: float) -> float:
        """Take note of a failure and give how long its answer waits."""
        if now_s - self.began_s > FAILURE_WINDOW_S:
            self.counts.clear()
            self.began_s = now_s
        if address not in self.counts and len(self.counts) >= FAILED_ADDRESSES_MAX:
            address = ""
        self.counts[address] = self.counts.get(address, 0) + 1
        return SLOWED_BY_S if self.counts[address] > FREE_FAILURES else 0.0
