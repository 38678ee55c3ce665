"""Looks for NSUs on every network of this machine: Ethernet frames, UDP broadcast and multicast, at the same time.

A question may be lost, so it is asked several times, each time anew. What cannot be had here (no CAP_NET_RAW, no IPv6)
is told in `troubles`; the other ways go on.
"""

import secrets
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from hostside.catalogue import Catalogue
from ipc.interfaces import Link, links_up
from ipc.link_socket import GROUP_MAC, LinkSocket
from ipc.loop import Loop, Timer
from protocol.discovery.frame import FRAME_BYTES_MAX
from protocol.discovery.ways import BROADCAST_V4, GROUP_V4, GROUP_V6, UDP_PORT, Way

ASK_AGAIN_S: Final = (0.0, 0.15, 0.5, 1.2)
"""When it is asked, after the beginning."""
TAKEN_MOST: Final = 100
_IP_PKTINFO: Final = 8
_PKTINFO_V4: Final = struct.Struct("=i4s4s")


class Search:
    """One search, in `loop`. `interfaces`: on these only; none: on every one that is up."""

    def __init__(
        self,
        loop: Loop,
        interfaces: Sequence[str] = (),
        name: str = "",
        read_links: Callable[[], tuple[Link, ...] | None] = links_up,
    ) -> None:
        self.loop = loop
        self.catalogue = Catalogue(secrets.token_bytes, name)
        found = read_links() or ()
        self.links = [link for link in found if not interfaces or link.name in interfaces]
        self.troubles = [f"this machine has no interface {name} that is up" for name in absent(interfaces, found)]
        self.ethernet: dict[str, LinkSocket] = {}
        self.udp: dict[int, socket.socket] = {}
        """By IP version."""
        self.timers: list[Timer] = []
        self._open()

    def start(self) -> None:
        """Ask, several times."""
        self.timers = [self.loop.call_later(delay_s, self.ask) for delay_s in ASK_AGAIN_S]

    def _open(self) -> None:
        for link in self.links:
            if link.is_ethernet:
                try:
                    self.ethernet[link.name] = link_socket = LinkSocket(link.name)
                except OSError as error:
                    self.troubles.append(error.strerror or str(error))
                else:
                    self.loop.watch(link_socket, on_readable=self._reader_of(link_socket))
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            try:
                sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            except OSError as error:
                self.troubles.append(f"no UDP over IPv{version}: {error.strerror}")
                continue
            if version == 4:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            self.udp[version] = sock
            self.loop.watch(sock, on_readable=self._datagrams_of(sock))

    def ask(self) -> None:
        """Ask once by every way. A way that is closed just now is asked again later."""
        for link in self.links:
            if link.name in self.ethernet:
                with suppress(OSError):
                    self.ethernet[link.name].send(GROUP_MAC, self.catalogue.question(Way.ETHERNET, link.name))
            if link.is_ethernet:
                self._ask_v4(link, Way.BROADCAST, BROADCAST_V4)
            self._ask_v4(link, Way.MULTICAST_V4, GROUP_V4)
            if 6 in self.udp:
                with suppress(OSError):
                    question = self.catalogue.question(Way.MULTICAST_V6, link.name)
                    self.udp[6].sendto(question, (GROUP_V6, UDP_PORT, 0, link.index))

    def _ask_v4(self, link: Link, way: Way, to: str) -> None:
        info = (socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO_V4.pack(link.index, bytes(4), bytes(4)))
        if 4 in self.udp:
            with suppress(OSError):
                self.udp[4].sendmsg([self.catalogue.question(way, link.name)], [info], 0, (to, UDP_PORT))

    def _reader_of(self, link_socket: LinkSocket) -> Callable[[], None]:
        def read() -> None:
            for _ in range(TAKEN_MOST):
                received = link_socket.receive()
                if received is None:
                    return
                self.catalogue.take(received[1])

        return read

    def _datagrams_of(self, sock: socket.socket) -> Callable[[], None]:
        def read() -> None:
            with suppress(OSError):
                for _ in range(TAKEN_MOST):
                    self.catalogue.take(sock.recv(FRAME_BYTES_MAX + 1))

        return read

    def close(self) -> None:
        """End it. Harmless twice."""
        for timer in self.timers:
            timer.cancel()
        ports: list[LinkSocket | socket.socket] = [*self.ethernet.values(), *self.udp.values()]
        for port in ports:
            self.loop.forget(port)
            port.close()
        self.ethernet.clear()
        self.udp.clear()


def absent(wanted: Sequence[str], links: Sequence[Link]) -> list[str]:
    """Name those that are not there."""
    return [name for name in wanted if name not in {link.name for link in links}]


def search(interfaces: Sequence[str], timeout_s: float) -> Search:
    """Search for so long, and give what was found. Blocks."""
    loop = Loop()
    found = Search(loop, interfaces)
    try:
        found.start()
        loop.call_later(timeout_s, loop.stop)
        loop.run()
    finally:
        found.close()
        loop.close()
    return found
