"""The data ports: listen while there is a place to give, and read the first 512 bytes of each socket under a deadline.

Appendix D (12): "the NSU establishes listen sockets on an appropriate number of data channels". A port is bound from
the start, so that a wrong address is found at start-up; it listens only while some session's host has a free place
on it. So (13): "attempts to create additional data connections beyond max_connections will fail with 'connection
refused'". Linux lets a listening socket stop by shutdown(SHUT_RD), bound as it was, and listen again later; what had
queued up is reset. Where another host still has places on the same port, the connection that is one too many is closed
before a byte is answered.

Nothing is forked for a socket that has not said who it is (trap 31).
"""

import socket
from collections.abc import Callable

from ipc.loop import Loop, Timer
from protocol.limits import HANDSHAKE_TIMEOUT_S, HEADER_BYTES
from serverside.config_port import accept_all, listen_on

HALF_OPEN_MAX = 64
BACKLOG = 64
FREE_FAILURES = 20
"""Wrong tokens from one address that are answered at once, each FAILURE_WINDOW_S; each further one waits its turn."""
FAILURE_WINDOW_S = 10.0
SLOWED_BY_S = 1.0

OnFirst = Callable[["DataPort", socket.socket, str, bytes], None]


class DataPort:
    """One listening address for data sockets."""

    def __init__(self, loop: Loop, address: str, port: int, on_first: OnFirst) -> None:
        self.loop = loop
        self.key = (address, port)
        self.on_first = on_first
        self.sock = listen_on(address, port, backlog=None)
        self.listening = False
        self.half_open: dict[FirstHeader, None] = {}

    def set_listening(self, wanted: bool) -> None:
        """Listen, or refuse at connect."""
        if wanted and not self.listening:
            self.sock.listen(BACKLOG)
            self.loop.watch(self.sock, on_readable=self.accept)
        elif self.listening and not wanted:
            self.loop.forget(self.sock)
            self.sock.shutdown(socket.SHUT_RD)
        self.listening = wanted

    def accept(self) -> None:
        for sock, address in accept_all(self.sock):
            if len(self.half_open) >= HALF_OPEN_MAX:
                next(iter(self.half_open)).close()
            first = FirstHeader(self, sock, address[0])
            self.half_open[first] = None

    def close(self) -> None:
        self.loop.forget(self.sock)
        self.sock.close()
        for first in list(self.half_open):
            first.close()


class FirstHeader:
    """A data socket that has not yet said who it is: its first 512 bytes, within the deadline."""

    def __init__(self, port: DataPort, sock: socket.socket, peer_address: str) -> None:
        self.port = port
        self.sock = sock
        self.peer_address = peer_address
        self.data = b""
        self.timer: Timer = port.loop.call_later(HANDSHAKE_TIMEOUT_S, self.close)
        port.loop.watch(sock, on_readable=self.readable)

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
            self.release()
            self.port.on_first(self.port, self.sock, self.peer_address, self.data)

    def release(self) -> None:
        self.timer.cancel()
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
        self.counts[address] = self.counts.get(address, 0) + 1
        return SLOWED_BY_S if self.counts[address] > FREE_FAILURES else 0.0
