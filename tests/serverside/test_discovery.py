"""Proves that an NSU answers whoever asks by any way, tells no more than it should, and is not moved by a flood."""

import gc
import socket
import struct
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_interface
from uuid import UUID

import pytest

from ipc.interfaces import Link
from ipc.link_socket import BROADCAST_MAC, GROUP_MAC, LinkSocket
from ipc.loop import Loop
from protocol.discovery import answer, frame
from protocol.discovery.answer import ANSWER_BYTES_MAX, Answer
from protocol.discovery.frame import Frame, Kind
from protocol.discovery.ways import BROADCAST_V4, GROUP_V4, GROUP_V6, UDP_PORT
from serverside.discovery import ALL_BURST, INTERFACE_BURST, TAKEN_MOST, Discovery, interfaces_told
from serverside.settings import DiscoverySettings
from tests.harness.netns import Namespace, inside, needs_networks

NONCE = b"nonce--8"
QUESTION = frame.encode(Frame(Kind.QUESTION, NONCE, bytes(ANSWER_BYTES_MAX)))
EVERYWHERE = DiscoverySettings()
WITHIN_S = 10.0
_SO_BINDTODEVICE = 25


def told(links: object = ()) -> Answer:
    del links
    return Answer(UUID(int=7), "box1", bytes(6), 10001, 2, True)


@dataclass
class Rig:
    """A responder that has no sockets, with a clock of its own."""

    now_s: float = 0.0
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.loop = Loop(lambda: self.now_s)
        self.discovery = Discovery(self.loop, told, self.said.append, lambda: ())
        self.discovery.links = {n: link(n) for n in range(1, 9)}


def link(index: int, *networks: str) -> Link:
    return Link(f"e{index}", index, bytes([2, 0, 0, 0, 0, index]), tuple(map(ip_interface, networks)))


@pytest.fixture(name="rig")
def make_rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.loop.close()


def test_an_answer_has_the_nonce_and_is_no_longer_than_its_question(rig: Rig) -> None:
    data = rig.discovery.answer_to(QUESTION, 3)
    assert data is not None
    assert len(data) <= len(QUESTION)
    found = frame.decode(data)
    assert found is not None
    assert (found.kind, found.nonce) == (Kind.ANSWER, NONCE)
    answered = answer.decode(found.body)
    assert answered is not None
    assert answered.mac == bytes([2, 0, 0, 0, 0, 3])


def test_what_is_no_question_is_not_answered(rig: Rig) -> None:
    short = frame.encode(Frame(Kind.QUESTION, NONCE, bytes(ANSWER_BYTES_MAX - 1)))
    for data in (b"", QUESTION[:-1], short, frame.encode(Frame(Kind.ANSWER, NONCE)), frame.encode(Frame(20, NONCE))):
        assert rig.discovery.answer_to(data, 1) is None
    assert rig.discovery.answer_to(QUESTION, 99) is None, "an interface on which it is not to be found"
    assert rig.discovery.counts["malformed"] == 3
    assert rig.discovery.counts["questions"] == 1


def test_100_000_malformed_frames_are_counted_and_nothing_of_them_is_kept(rig: Rig) -> None:
    bad = [b"", b"NSU\0" + bytes(40), QUESTION[:-1] + b"\0", bytes(1500), QUESTION + bytes(5)]
    for number in range(95_000):
        rig.discovery.answer_to(bad[number % len(bad)], 1)
    tracemalloc.start()
    for number in range(5_000):
        rig.discovery.answer_to(bad[number % len(bad)], 1)
    gc.collect()
    kept_bytes, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rig.discovery.counts["malformed"] == 100_000
    assert kept_bytes < 50_000, "ten bytes of each would be seen"
    assert rig.discovery.answer_to(QUESTION, 1) is not None


def test_too_many_questions_of_one_interface_leave_answers_for_the_others(rig: Rig) -> None:
    answered = sum(rig.discovery.answer_to(QUESTION, 1) is not None for _ in range(1000))
    assert answered == INTERFACE_BURST
    assert rig.discovery.counts["limited"] == 1000 - INTERFACE_BURST
    assert rig.discovery.answer_to(QUESTION, 2) is not None
    rig.now_s += 0.1
    assert rig.discovery.answer_to(QUESTION, 1) is not None


def test_all_together_have_a_limit_too(rig: Rig) -> None:
    answered = sum(rig.discovery.answer_to(QUESTION, n) is not None for n in range(1, 9) for _ in range(1000))
    assert answered == ALL_BURST


def test_a_flood_is_looked_at_in_small_pieces(rig: Rig) -> None:
    class Flood:
        where, taken = "e1", 0

        def fileno(self) -> int:
            return ends[0].fileno()

        def take(self) -> bool:
            self.taken += 1
            return True

        def close(self) -> None:
            pass

    ends = socket.socketpair()
    flood = Flood()
    rig.discovery.readable(flood)
    assert flood.taken == TAKEN_MOST
    for end in ends:
        end.close()


def test_what_is_told_of_interfaces() -> None:
    links = [
        Link("lo", 1, bytes(6), (ip_interface("127.0.0.1/8"),)),
        link(2, "10.0.0.5/24", "10.0.0.6/24", "fe80::1/64", "fd00::1/64"),
        Link("tun0", 3, b"", (ip_interface("10.9.0.1/24"),)),
    ]
    (only,) = interfaces_told(links, ["10.0.0.6", "::"])
    assert [(each.address, each.is_open) for each in only.addresses] == [
        ("10.0.0.5", False), ("10.0.0.6", True), ("fd00::1", True),
    ]  # fmt: skip


def test_what_cannot_be_had_is_said_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    said: list[str] = []
    loop = Loop()
    discovery = Discovery(loop, told, said.append, lambda: (link(1), link(2)))
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", refuse)
        discovery.look(EVERYWHERE)
        discovery.look(EVERYWHERE)
    assert len([line for line in said if "Ethernet" in line and "CAP_NET_RAW" in line]) == 1
    assert len(said) == 3
    discovery.look(EVERYWHERE)
    assert discovery.udp[4]
    discovery.close()
    assert not discovery.udp
    loop.close()


# -- over real interfaces, in two namespaces ---------------------------------------------------------------------------


@dataclass
class Pair:
    """The NSU's end and the asker's end of one cable; neither has an IPv4 address."""

    nsu: Namespace
    asker: Namespace
    loop: Loop
    discovery: Discovery
    link: Link

    def turn(self, sock: socket.socket | LinkSocket) -> None:
        """Turn the responder's loop until `sock` has something."""
        self.loop.watch(sock, on_readable=self.loop.stop)
        timer = self.loop.call_later(WITHIN_S, self.loop.stop)
        self.loop.run()
        timer.cancel()
        self.loop.forget(sock)

    def look(self, *networks: str, settings: DiscoverySettings | None = EVERYWHERE) -> None:
        self.link = Link("e0", self.link.index, self.link.mac, tuple(map(ip_interface, networks)))
        inside(self.nsu, lambda: self.discovery.look(settings))


@pytest.fixture(name="pair")
def make_pair() -> Iterator[Pair]:
    nsu, asker, loop = Namespace(), Namespace(), Loop()
    nsu.ip(f"link add e0 type veth peer name e0 netns {asker.holder.pid}")
    for end in (nsu, asker):
        end.run("sh", "-c", "for i in all e0; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
        end.ip("link set e0 addrgenmode none", "link set e0 up")
    nsu.ip("addr add fe80::2/64 dev e0 nodad")
    asker.ip("addr add fe80::1/64 dev e0 nodad")
    probe = inside(nsu, lambda: LinkSocket("e0"))
    found = Link("e0", probe.index, probe.mac, ())
    probe.close()
    discovery = Discovery(loop, told, lambda _: None, lambda: (pair.link,))
    pair = Pair(nsu, asker, loop, discovery, found)
    pair.look()
    yield pair
    discovery.close()
    loop.close()
    for namespace in (nsu, asker):
        namespace.close()


def check(data: bytes, pair: Pair) -> None:
    found = frame.decode(data)
    assert found is not None
    answered = answer.decode(found.body)
    assert answered is not None
    assert (found.nonce, answered.mac) == (NONCE, pair.link.mac)


@needs_networks
@pytest.mark.parametrize("to", [GROUP_MAC, BROADCAST_MAC])
def test_it_is_found_by_ethernet(pair: Pair, to: bytes) -> None:
    with_socket = inside(pair.asker, lambda: LinkSocket("e0"))
    with_socket.send(to, QUESTION)
    pair.turn(with_socket)
    received = with_socket.receive()
    with_socket.close()
    assert received is not None
    assert received[0] == pair.link.mac
    check(received[1], pair)
    assert pair.discovery.status()["ethernet"] == ["e0"]
    assert pair.discovery.counts["answers"] == 1


def asker4() -> socket.socket:
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    asker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    asker.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, b"e0\0")
    asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", bytes(4), bytes(4), 0))
    return asker


@needs_networks
@pytest.mark.parametrize(
    ("nsu", "asker", "to"),
    [
        ("", "", BROADCAST_V4),  # and no multicast: from 0.0.0.0 Linux takes none beyond 224.0.0.0/24
        ("", "10.1.0.1/24", BROADCAST_V4),
        ("", "10.1.0.1/24", GROUP_V4),
        ("10.1.0.2/24", "10.1.0.1/24", BROADCAST_V4),
        ("10.1.0.2/24", "10.1.0.1/24", GROUP_V4),
        ("10.2.0.2/24", "10.1.0.1/24", BROADCAST_V4),
        ("10.2.0.2/24", "10.1.0.1/24", GROUP_V4),
    ],
)
def test_it_is_found_by_ipv4(pair: Pair, nsu: str, asker: str, to: str) -> None:
    if nsu:
        pair.nsu.ip(f"addr add {nsu} dev e0")
        pair.look(nsu)
    if asker:
        pair.asker.ip(f"addr add {asker} dev e0")
    sock = inside(pair.asker, asker4)
    sock.sendto(QUESTION, (to, UDP_PORT))
    pair.turn(sock)
    sock.setblocking(False)
    data = sock.recv(2000)
    sock.close()
    check(data, pair)


@needs_networks
def test_it_is_found_by_ipv6_multicast(pair: Pair) -> None:
    sock = inside(pair.asker, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
    index = inside(pair.asker, lambda: socket.if_nametoindex("e0"))
    sock.sendto(QUESTION, (GROUP_V6, UDP_PORT, 0, index))
    pair.turn(sock)
    sock.setblocking(False)
    data = sock.recv(2000)
    sock.close()
    check(data, pair)


@needs_networks
def test_two_nsus_of_one_machine_both_answer(pair: Pair) -> None:
    other = Discovery(pair.loop, told, lambda _: None, lambda: (pair.link,))
    inside(pair.nsu, lambda: other.look(EVERYWHERE))
    pair.asker.ip("addr add 10.1.0.1/24 dev e0")
    sock = inside(pair.asker, asker4)
    sock.sendto(QUESTION, (GROUP_V4, UDP_PORT))
    pair.turn(sock)
    check(sock.recv(2000), pair)
    pair.turn(sock)
    check(sock.recv(2000), pair)
    assert (pair.discovery.counts["answers"], other.counts["answers"]) == (1, 1)
    other.close()
    sock.close()


@needs_networks
def test_switched_off_or_on_another_interface_it_is_silent(pair: Pair) -> None:
    pair.look(settings=DiscoverySettings(("e1",)))
    assert not pair.discovery.status()["ethernet"] + pair.discovery.status()["udp"]
    pair.look(settings=DiscoverySettings(("e0",)))
    assert pair.discovery.status()["udp"] == ["IPv4", "IPv6"]
    pair.look(settings=None)
    assert not pair.discovery.status()["ethernet"] + pair.discovery.status()["udp"]
