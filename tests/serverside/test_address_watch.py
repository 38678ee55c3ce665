"""Proves that an address that goes or comes is told of once, and that hosts hear of a way that may be back."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ipc.interfaces import Interfaces
from protocol.events import Notice, Notified
from serverside import address_watch
from serverside.address_watch import AddressWatch, is_here
from serverside.status import describe_server
from tests.serverside.server_world import World

NOWHERE = "192.0.2.1"
"""TEST-NET-1 (RFC 5737): nobody has it."""


class Machine:
    """Its addresses, and its interfaces that are up."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = {"10.1.1.1", "fd00::1"}
        self.up = {("a", "10.1.1.1"), ("b", "fd00::1")}
        self.said: list[str] = []
        monkeypatch.setattr(address_watch, "is_here", lambda address: address in self.here)
        self.watch = AddressWatch(self.said.append, Interfaces(lambda: frozenset(self.up)))

    def look(self, *addresses: str) -> frozenset[str]:
        return self.watch.look(addresses)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def test_what_is_there_from_the_start_is_no_news(machine: Machine) -> None:
    assert machine.look("10.1.1.1", "fd00::1") == frozenset()
    assert machine.said == machine.watch.warnings() == []


def test_an_address_that_is_missing_is_warned_of_until_it_comes(machine: Machine) -> None:
    for _ in range(3):
        assert machine.look("10.1.1.1", NOWHERE) == frozenset()
        assert [words.split()[0] for words in machine.watch.warnings()] == [NOWHERE]
    machine.here.add(NOWHERE)
    assert machine.look("10.1.1.1", NOWHERE) == {NOWHERE}
    assert machine.look("10.1.1.1", NOWHERE) == frozenset()
    assert machine.watch.warnings() == []
    assert len(machine.said) == 2
    machine.here.remove(NOWHERE)
    machine.look("10.1.1.1", NOWHERE)
    assert "nobody can connect" in machine.said[-1]


def test_one_that_is_not_wanted_any_more_has_not_come(machine: Machine) -> None:
    machine.look(NOWHERE)
    assert machine.look("10.1.1.1") == frozenset()
    assert machine.watch.warnings() == []


def test_a_cable_that_is_put_back_is_news_though_the_address_was_there_all_the_time(machine: Machine) -> None:
    machine.look("10.1.1.1", "fd00::1")
    machine.up.remove(("b", "fd00::1"))
    assert machine.look("10.1.1.1", "fd00::1") == frozenset()
    machine.up |= {("b", "fd00::1"), ("c", "10.9.9.9")}
    assert machine.look("10.1.1.1", "fd00::1") == {"fd00::1"}
    assert machine.said == []


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", True),
        (NOWHERE, False),
        ("2001:db8::1", False),
    ],
)
def test_the_kernel_is_asked(address: str, here: bool) -> None:
    """127.9.9.9 is on no interface by name, and connections to it work."""
    assert is_here(address) == here


# -- a whole server ------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        yield world


def test_an_address_that_comes_is_told_to_those_who_have_a_port_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world.logged_in(world.host1())
    two = world.logged_in(world.host2())
    monkeypatch.setattr("serverside.address_watch.is_here", lambda address: False)
    world.server.look_at_addresses()
    assert any(
        "127.0.0.1 is no address of this machine now" in words for words in describe_server(world.server)["warnings"]
    )
    monkeypatch.setattr("serverside.address_watch.is_here", lambda address: True)
    world.server.look_at_addresses()
    assert one.next(Notified).kind == Notice.PORTS_CHANGED
    world.a_while()
    assert not two.is_over(), "0x01 can't be told, and is left alone"
    assert not any("no address" in words for words in describe_server(world.server)["warnings"])
