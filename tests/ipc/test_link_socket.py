"""Proves that frames go between two interfaces without an address, and which of them a socket does not hear."""

import errno
import select
import socket
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from ipc.link_socket import BROADCAST_MAC, GROUP_MAC, PAYLOAD_BYTES_MAX, LinkSocket, mac_text
from tests.harness.netns import Namespace, enter_namespace, needs_networks

T = TypeVar("T")
ANSWER_WITHIN_S = 10.0

pytestmark = needs_networks


def inside(namespace: Namespace, make: Callable[[], T]) -> T:
    """Call `make` in the namespace, in a thread of its own: a socket stays where it was made."""
    made: list[T] = []
    errors: list[OSError] = []

    def call() -> None:
        enter_namespace(namespace.holder.pid)
        try:
            made.append(make())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


@pytest.fixture(name="ends")
def make_ends() -> Iterator[tuple[Namespace, Namespace]]:
    """Two namespaces with one cable between them, e0 at each end, without any address."""
    one, other = Namespace(), Namespace()
    one.ip(f"link add e0 type veth peer name e0 netns {other.holder.pid}")
    for end in (one, other):
        end.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/e0/disable_ipv6")
        end.ip("link set e0 up")
    yield one, other
    one.close()
    other.close()


@pytest.fixture(name="pair")
def make_pair(ends: tuple[Namespace, Namespace]) -> Iterator[tuple[LinkSocket, LinkSocket]]:
    sockets = [inside(end, lambda: LinkSocket("e0")) for end in ends]
    yield sockets[0], sockets[1]
    for link in sockets:
        link.close()


def received(link: LinkSocket) -> tuple[bytes, bytes] | None:
    select.select([link], [], [], ANSWER_WITHIN_S)
    return link.receive()


@pytest.mark.parametrize("kind", ["its own address", "the group", "everybody"])
def test_a_frame_arrives_whole_with_its_sender(pair: tuple[LinkSocket, LinkSocket], kind: str) -> None:
    one, other = pair
    to = {"its own address": other.mac, "the group": GROUP_MAC, "everybody": BROADCAST_MAC}[kind]
    payload = bytes(range(250)) * 6
    assert len(payload) == PAYLOAD_BYTES_MAX
    assert other.receive() is None
    one.send(to, payload)
    assert received(other) == (one.mac, payload)
    assert other.receive() is None
    assert one.receive() is None, "nobody hears himself"


def test_what_is_not_for_it_is_passed_over(
    ends: tuple[Namespace, Namespace], pair: tuple[LinkSocket, LinkSocket]
) -> None:
    one, other = pair
    stranger = inside(ends[0], lambda: LinkSocket("e0", 0x88B6))
    stranger.send(BROADCAST_MAC, b"of another type")
    stranger.close()
    # A frame that a loop in the network brings back: it says that it comes from the one that hears it.
    forged = inside(ends[0], lambda: raw_socket("e0"))
    forged.send(BROADCAST_MAC + other.mac + b"\x88\xb5" + b"our own")
    forged.close()
    one.send(BROADCAST_MAC, b"good")
    found = received(other)
    assert found is not None
    assert found[1].rstrip(b"\0") == b"good"


def raw_socket(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind((interface, 0))
    return raw


def test_a_frame_that_is_too_long_is_refused_on_both_sides(
    ends: tuple[Namespace, Namespace], pair: tuple[LinkSocket, LinkSocket]
) -> None:
    one, other = pair
    with pytest.raises(ValueError, match="1501 bytes"):
        one.send(other.mac, bytes(PAYLOAD_BYTES_MAX + 1))
    for end in ends:
        end.ip("link set e0 mtu 4000")
    raw = inside(ends[0], lambda: raw_socket("e0"))
    raw.send(other.mac + one.mac + b"\x88\xb5" + bytes(PAYLOAD_BYTES_MAX + 1))
    raw.close()
    one.send(other.mac, b"good")
    found = received(other)
    assert found is not None
    assert found[1] == b"good"


def test_an_interface_that_was_down_is_heard_again(
    ends: tuple[Namespace, Namespace], pair: tuple[LinkSocket, LinkSocket]
) -> None:
    one, other = pair
    ends[1].ip("link set e0 down")
    with pytest.raises(OSError, match="down"):
        other.send(one.mac, b"into nothing")
    assert other.receive() is None
    ends[1].ip("link set e0 up")
    one.send(other.mac, b"again")
    assert received(other) == (one.mac, b"again")


def test_no_such_interface_and_no_ethernet_are_told_in_words(ends: tuple[Namespace, Namespace]) -> None:
    with pytest.raises(OSError, match="no interface nowhere") as told:
        inside(ends[0], lambda: LinkSocket("nowhere"))
    assert told.value.errno == errno.ENODEV
    with pytest.raises(OSError, match="lo is no Ethernet"):
        inside(ends[0], lambda: LinkSocket("lo"))


def test_without_the_right_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(PermissionError, match="CAP_NET_RAW"):
        LinkSocket("e0")


def test_an_address_is_written_as_people_write_it() -> None:
    assert mac_text(GROUP_MAC) == "03:4e:53:55:00:01"
