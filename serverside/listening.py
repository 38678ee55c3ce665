"""Listening TCP sockets of the server role, and what every accepted socket is set to.

A listener is bound from the start, whether its address is on this machine yet or not (IP_FREEBIND): an interface may
come up later than we do, and go and come again. What is missing is told by address_watch.py. It listens when told to.
Linux lets a listening socket stop by shutdown(SHUT_RD), bound as it was, and listen again later: connections are
refused meanwhile, and what had queued up is reset.

A peer that is gone without a word is found by the kernel (trap 20; `protocol/timers.py`): an idle socket by keepalive,
one with answers on their way by TCP_USER_TIMEOUT, which also ends one whose reader stands still.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from errno import EMFILE, ENFILE, ENOBUFS, ENOMEM

from ipc.endpoints import endpoint
from ipc.loop import Loop
from ipc.say import say
from ipc.tcp import keep_alive, limit_unacknowledged
from protocol.timers import KEEPALIVE_EVERY_S, KEEPALIVE_IDLE_S, KEEPALIVE_PROBES, USER_TIMEOUT_S

BACKLOG = 128
EXHAUSTED = frozenset({EMFILE, ENFILE, ENOBUFS, ENOMEM})
IP_FREEBIND, IPV6_FREEBIND = 15, 78
"""linux/in.h and in6.h; the socket module does not name them. Anybody may use them."""
PAUSE_S = 0.1
"""How long nothing is accepted when descriptors or memory ran out: asking again at once would only burn time."""

OnAccepted = Callable[[socket.socket, tuple[str, int]], None]


class Listener:
    """One bound address. `on_accepted` gets each nonblocking socket and its peer's address and port."""

    def __init__(self, loop: Loop, address: str, port: int, on_accepted: OnAccepted) -> None:
        self.loop = loop
        self.on_accepted = on_accepted
        self.where = endpoint(address, port)
        self.sock = bound_socket(address, port)
        self.listening = False
        self.complained = False

    def listen(self) -> None:
        """Accept from now on. Where somebody else has taken the port meanwhile, say so, once; ask again later."""
        if self.listening:
            return
        try:
            self.sock.listen(BACKLOG)
        except OSError as error:
            if not self.complained:
                say(f"nsu: server: can't listen on {self.where}: {error.strerror}; it is tried again")
            self.complained = True
            return
        self.complained = False
        self.listening = True
        self.loop.watch(self.sock, on_readable=self.accept)

    def refuse(self) -> None:
        """Refuse connections from now on."""
        if self.listening:
            self.listening = False
            self.loop.forget(self.sock)
            self.sock.shutdown(socket.SHUT_RD)

    def accept(self) -> None:
        """Accept what waits, at most a backlog's worth; a connection that went away meanwhile is passed over."""
        for _ in range(BACKLOG):
            if not self.listening:
                return  # the last one took the last place
            try:
                sock, address = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.pause()
                    return
                continue  # the peer had reset it
            set_up(sock)
            self.on_accepted(sock, (address[0], address[1]))

    def pause(self) -> None:
        """Let those that wait wait on, until somebody has given something back."""
        self.loop.forget(self.sock)
        self.loop.call_later(PAUSE_S, self.resume)

    def resume(self) -> None:
        if self.listening:
            self.loop.watch(self.sock, on_readable=self.accept)

    def close(self) -> None:
        """Refuse, then close: a child just forked has a duplicate till it closes it, which would go on listening."""
        self.refuse()
        self.sock.close()


def bound_socket(address: str, port: int) -> socket.socket:
    """Bind a nonblocking TCP socket. OSError names the address."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    try:
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        raise OSError(error.errno, f"can't open {endpoint(address, port)}: {error.strerror}") from error
    return sock


def set_up(sock: socket.socket) -> None:
    """Set what every accepted socket has."""
    sock.setblocking(False)
    with suppress(OSError):  # the peer is gone already: the first receive will tell
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        keep_alive(sock, idle_s=KEEPALIVE_IDLE_S, every_s=KEEPALIVE_EVERY_S, probes=KEEPALIVE_PROBES)
        limit_unacknowledged(sock, USER_TIMEOUT_S)
