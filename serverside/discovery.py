"""How an NSU is found: it answers whoever asks, over Ethernet without any IP, and by UDP (protocol/discovery/).

Rules
  * It answers questions and says nothing unasked. An answer is never longer than its question, so that a forged address
    gets no more than the forger has sent.
  * Each interface has a bucket of answers, and all together one; what is beyond is not answered, and counted.
  * A flood costs little: no more than TAKEN_MOST frames of a socket are looked at in TICK_S, the kernel drops the rest.
  * The UDP port is shared: broadcast and multicast go to every NSU of the machine that has it open (SO_REUSEADDR).
  * An asker of another subnet, or one when we have no address, is answered by broadcast, on the interface he asked by.
  * What cannot be had (no CAP_NET_RAW, no IPv6, a port that another program keeps for itself) is said once. It is
    tried again, and never keeps the server from serving.
"""

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final, Protocol

from ipc.interfaces import Link, links_up
from ipc.link_socket import LinkSocket
from ipc.loop import Loop
from ipc.token_bucket import TokenBucket
from protocol.discovery import answer, frame
from protocol.discovery.answer import ANSWER_BYTES_MAX, Address, Answer, Interface
from protocol.discovery.frame import FRAME_BYTES_MAX, Frame, Kind
from protocol.discovery.ways import BROADCAST_V4, GROUP_V4, GROUP_V6, UDP_PORT
from serverside.settings import DiscoverySettings

INTERFACE_PER_S, INTERFACE_BURST = 50.0, 100.0
ALL_PER_S, ALL_BURST = 100.0, 200.0
"""Answers. A host asks four times by four ways: fifty hosts that look for their NSU at once are answered in seconds."""
TAKEN_MOST: Final = 100
TICK_S: Final = 0.1
LINKS_MOST: Final = 64
"""Interfaces on which it can be found: a machine with many containers has more, of which none leads anywhere."""

_IP_PKTINFO: Final = 8
_IP_MULTICAST_ALL: Final = 49
_PKTINFO_V4: Final = struct.Struct("=i4s4s")
"""struct in_pktinfo: interface, own address, destination."""
_PKTINFO_V6: Final = struct.Struct("=16si")
_MREQN: Final = struct.Struct("=4s4si")
_COUNTS: Final = ("questions", "answers", "malformed", "limited", "unanswered")

Describe = Callable[[Sequence[Link]], Answer]
"""Gives the answer of now, but for the MAC."""


class Socket(Protocol):
    """Where questions come in."""

    where: str

    def fileno(self) -> int: ...

    def take(self) -> bool:
        """Take one frame; False: there is none."""
        ...

    def close(self) -> None: ...


class Discovery:
    """The responder. `look` is called once a second, with the settings of now."""

    def __init__(
        self,
        loop: Loop,
        describe: Describe,
        say: Callable[[str], object],
        read_links: Callable[[], tuple[Link, ...] | None] = links_up,
    ) -> None:
        self.loop = loop
        self.describe = describe
        self.say = say
        self.read_links = read_links
        self.counts = dict.fromkeys(_COUNTS, 0)
        self.links: dict[int, Link] = {}
        """Those on which it answers, by index."""
        self.ethernet: dict[int, Ethernet] = {}
        self.udp: dict[int, Udp] = {}
        """By IP version."""
        self.buckets: dict[int, TokenBucket] = {}
        self.all_bucket = TokenBucket(ALL_PER_S, ALL_BURST, loop.now)
        self.said: set[str] = set()

    def look(self, settings: DiscoverySettings | None) -> None:
        """Open what is missing and close what is too much."""
        links = self.read_links() if settings is not None else ()
        if links is None or (settings is None and not (self.ethernet or self.udp)):
            return
        wanted = () if settings is None else settings.interfaces
        chosen = [link for link in links if not wanted or link.name in wanted][:LINKS_MOST]
        self.links = {link.index: link for link in chosen}
        for index in [index for index in self.buckets if index not in self.links]:
            del self.buckets[index]
        self._look_at_ethernet()
        self._look_at_udp()

    def _look_at_ethernet(self) -> None:
        for index in [index for index in self.ethernet if index not in self.links]:
            self._forget(self.ethernet.pop(index))
        for index, link in self.links.items():
            if index not in self.ethernet and link.is_ethernet:
                with self._tried("Ethernet frames"):
                    self.ethernet[index] = self._watched(Ethernet(self, link))

    def _look_at_udp(self) -> None:
        for version in (4, 6):
            if not self.links and version in self.udp:
                self._forget(self.udp.pop(version))
            elif self.links and version not in self.udp:
                with self._tried(f"UDP over IPv{version}"):
                    self.udp[version] = self._watched(Udp(self, version))
        for port in self.udp.values():
            port.join(self.links)

    def _tried(self, what: str) -> "_Tried":
        return _Tried(self, what)

    def _watched(self, port: Any) -> Any:
        self.loop.watch(port, on_readable=lambda: self.readable(port))
        return port

    def _forget(self, port: Socket) -> None:
        self.loop.forget(port)
        port.close()

    def readable(self, port: Socket) -> None:
        """Take what has come; after TAKEN_MOST frames rest, for whoever sends so many asks nothing."""
        for _ in range(TAKEN_MOST):
            if not port.take():
                return
        self.loop.forget(port)
        self.loop.call_later(TICK_S, lambda: self._resume(port))

    def _resume(self, port: Socket) -> None:
        if port in self.ethernet.values() or port in self.udp.values():
            self._watched(port)

    def answer_to(self, data: bytes, index: int) -> bytes | None:
        """Give the frame that answers `data`, which came by interface `index`; None: nothing is to be said."""
        question = frame.decode(data)
        if question is None:
            self.counts["malformed"] += 1
            return None
        if question.kind != Kind.QUESTION:
            return None  # another NSU's answer, or somebody's set-up
        if len(question.body) < ANSWER_BYTES_MAX:
            self.counts["malformed"] += 1  # it would be answered by more than itself
            return None
        self.counts["questions"] += 1
        link = self.links.get(index)
        if link is None:
            return None
        bucket = self.buckets.setdefault(index, TokenBucket(INTERFACE_PER_S, INTERFACE_BURST, self.loop.now))
        if not (bucket.has() and self.all_bucket.has()):
            self.counts["limited"] += 1
            return None
        bucket.take()
        self.all_bucket.take()
        told = answer.encode(with_mac(self.describe(tuple(self.links.values())), link))
        return frame.encode(Frame(Kind.ANSWER, question.nonce, told))

    def note(self, *, sent: bool) -> None:
        """Count an answer."""
        self.counts["answers" if sent else "unanswered"] += 1

    def status(self) -> dict[str, Any]:
        """Give where it can be found, and the counters."""
        return {
            "ethernet": sorted(port.where for port in self.ethernet.values()),
            "udp": [f"IPv{version}" for version in sorted(self.udp)],
            **self.counts,
        }

    def close(self) -> None:
        """End it."""
        self.look(None)


class _Tried:
    """Whatever fails inside is said once, and tried again at the next look."""

    def __init__(self, owner: Discovery, what: str) -> None:
        self.owner = owner
        self.what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: object) -> bool:
        if not isinstance(error, OSError):
            return False
        if self.what not in self.owner.said:
            self.owner.said.add(self.what)
            self.owner.say(f"nsu: server: it cannot be found by {self.what}: {error.strerror or error}")
        return True


class Ethernet:
    """Questions in Ethernet frames, on one interface."""

    def __init__(self, owner: Discovery, link: Link) -> None:
        self.owner = owner
        self.link = link
        self.where = link.name
        self.socket = LinkSocket(link.name)

    def fileno(self) -> int:
        return self.socket.fileno()

    def take(self) -> bool:
        """Take one frame, and answer it to its sender."""
        received = self.socket.receive()
        if received is None:
            return False
        source_mac, payload = received
        told = self.owner.answer_to(payload, self.link.index)
        if told is not None:
            try:
                self.socket.send(source_mac, told)
            except OSError:
                self.owner.note(sent=False)
            else:
                self.owner.note(sent=True)
        return True

    def close(self) -> None:
        self.socket.close()


class Udp:
    """Questions in datagrams of one IP version, on all interfaces."""

    def __init__(self, owner: Discovery, version: int) -> None:
        self.owner = owner
        self.version = version
        self.where = f"IPv{version}"
        self.joined: set[int] = set()
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        self.socket = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if version == 4:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                self.socket.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
                self.socket.setsockopt(socket.IPPROTO_IP, _IP_MULTICAST_ALL, 0)
                self.socket.bind(("0.0.0.0", UDP_PORT))
            else:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
                self.socket.bind(("::", UDP_PORT))
        except BaseException:
            self.socket.close()
            raise

    def join(self, links: dict[int, Link]) -> None:
        """Join our group on each interface. One that is gone has left it by itself."""
        self.joined &= links.keys()
        for index in links.keys() - self.joined:
            with suppress(OSError):  # it cannot multicast, or went away: the next look tries again
                if self.version == 4:
                    membership = _MREQN.pack(socket.inet_aton(GROUP_V4), bytes(4), index)
                    self.socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
                else:
                    membership = socket.inet_pton(socket.AF_INET6, GROUP_V6) + struct.pack("=i", index)
                    self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, membership)
                self.joined.add(index)

    def fileno(self) -> int:
        return self.socket.fileno()

    def take(self) -> bool:
        """Take one datagram, and answer it by the interface by which it came."""
        try:
            data, ancillary, _, peer = self.socket.recvmsg(FRAME_BYTES_MAX + 1, 128)
        except OSError:
            return False
        index = self._index(ancillary)
        told = self.owner.answer_to(data, index)
        if told is not None:
            try:
                self._send(told, index, peer)
            except OSError:
                self.owner.note(sent=False)  # no way back to whoever asked
            else:
                self.owner.note(sent=True)
        return True

    def _index(self, ancillary: list[tuple[int, int, bytes]]) -> int:
        for level, kind, value in ancillary:
            if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
                return int(_PKTINFO_V4.unpack(value)[0])
            if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
                return int(_PKTINFO_V6.unpack(value)[1])
        return 0

    def _send(self, told: bytes, index: int, peer: Any) -> None:
        if self.version == 6:
            info = (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO, _PKTINFO_V6.pack(bytes(16), index))
            self.socket.sendmsg([told], [info], 0, peer)
            return
        info = (socket.IPPROTO_IP, _IP_PKTINFO, _PKTINFO_V4.pack(index, bytes(4), bytes(4)))
        source = ip_address(peer[0])
        near = any(network.version == 4 and source in network.network for network in self.owner.links[index].networks)
        self.socket.sendmsg([told], [info], 0, (peer[0] if near else BROADCAST_V4, peer[1]))

    def close(self) -> None:
        self.socket.close()


def with_mac(told: Answer, link: Link) -> Answer:
    """Give the answer as it goes by this interface."""
    mac = link.mac or bytes(6)
    return Answer(told.instance, told.name, mac, told.config_port, told.versions, told.is_set_up, told.interfaces)


def interfaces_told(links: Sequence[Link], listen: Sequence[str]) -> tuple[Interface, ...]:
    """Give what an answer says of interfaces: those of Ethernet, and no address of this machine or this link alone."""
    everywhere = {"0.0.0.0": 4, "::": 6}
    open_versions = {everywhere[address] for address in listen if address in everywhere}
    return tuple(
        Interface(
            link.name,
            link.mac,
            tuple(
                Address(str(each.ip), str(each.ip) in listen or each.version in open_versions)
                for each in link.networks
                if not (each.is_loopback or (each.version == 6 and each.is_link_local))
            ),
        )
        for link in links
        if link.is_ethernet
    )
