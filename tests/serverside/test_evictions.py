"""Proves that a lost connection is no fight, and that two machines with one login are named, while they fight."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from protocol.events import Notice, Notified
from serverside.evictions import FIGHT_WITHIN_S, SOURCES_MAX, Evictions
from serverside.status import describe_server
from tests.serverside.rig import HERE, turn
from tests.serverside.server_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        yield world


def test_one_eviction_is_a_lost_connection() -> None:
    evictions = Evictions()
    evictions.note("host1", "10.0.0.1", "10.0.0.1", 100.0)
    evictions.note("host2", "10.0.0.2", "10.0.0.2", 100.0)
    assert evictions.warnings(101.0) == []


def test_two_are_a_fight_until_it_is_over() -> None:
    evictions = Evictions()
    evictions.note("host1", "10.0.0.1", "10.0.0.2", 100.0)
    evictions.note("host1", "10.0.0.2", "10.0.0.1", 110.0)
    (warning,) = evictions.warnings(111.0)
    assert warning.startswith("HOST host1 logs in again and again, from 10.0.0.1 and 10.0.0.2,")
    assert evictions.warnings(100.0 + FIGHT_WITHIN_S) == []


def test_a_long_fight_takes_no_more_memory() -> None:
    evictions = Evictions()
    for number in range(1000):
        evictions.note("host1", "10.0.0.1", "10.0.0.2", float(number))
    assert len(evictions.of_host["host1"]) == SOURCES_MAX


def test_an_evicted_host_is_told_by_whom(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    old = world.logged_in(world.host1())
    world.open_path(old)
    world.logged_in(world.host1())
    notice = old.next(Notified)
    assert (notice.kind, notice.sentence) == (Notice.EVICTED, f"another machine logged in as host1 from {HERE}")
    turn(world.loop, old.is_over)
    assert describe_server(world.server)["warnings"][0].startswith("HOST host2"), "a lost connection is no fight"
    world.logged_in(world.host1())
    said = capsys.readouterr().err
    assert said.count(f"nsu: server: host1 logged in from {HERE} (version 0x02)") == 3
    assert f"the session of host1 from {HERE} has ended: host1 logged in again, from {HERE}" in said
    assert "signal 9" not in said, "we have killed its SRWs ourselves"
    assert describe_server(world.server)["warnings"][0].startswith("HOST host1 logs in again and again")
