"""Proves on a running NSU that a plan comes into force as a whole, and a refused one leaves everything as it was."""

import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from nsu.conf.errors import ChangeRefused, ConfErrors
from nsu.history import BY_HAND, History
from nsu.partitions.apply import Applied, Ground, apply, ground
from nsu.partitions.errors import NotSavedError, Refused
from nsu.partitions.plan import plan
from nsu.partitions.size import Size
from nsu.partitions.verbs import Creation, Grant, create, delete
from nsu.partitions.view import find
from nsu.web.refusals import refusal_of
from tests.harness import World, spawn_world
from tests.nsu.conf.conftest import no_name
from tests.nsu.partitions.conftest import CONF

MIB = Size.parse("1MiB")


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with spawn_world(units={"unit_1": 2048}, paths=2) as world:
        yield world


def carry_out(at: Ground, new: str, *, force: bool = False) -> Applied:
    found = plan(at.base, new, at.facts, path=at.conf)
    return apply(found, at, who="tester", when_s=time.time(), force=force)


def units(world: World) -> dict[str, int]:
    """What the server says that host1 has, with its blocks."""
    (host,) = world.machine.status()["server"]["hosts"]
    return {unit["name"]: unit["blocks"] for unit in host["units"]}


@pytest.mark.system
def test_when_it_comes_back_the_server_goes_by_it(world: World) -> None:
    at = ground(world.machine.conf)
    assert at.facts.runs
    assert at.facts.uses("host1", "unit_1")
    done = carry_out(at, create(at.base, Creation("data", MIB, grants=[Grant("host1")]), at.facts))
    assert done.in_force
    assert units(world) == {"unit_1": 2048, "data": 2048}, "at once, not in a second"
    versions = History(at.state_dir).versions()
    assert [version.who for version in versions] == [BY_HAND, "tester"]
    assert versions[-1].number == done.version
    assert versions[-1].text == world.machine.conf.read_text()
    again = ground(world.machine.conf)
    assert carry_out(again, again.text) == Applied(None, True, "nothing changes")
    carry_out(again, delete(again.base, "data"), force=True)
    assert units(world) == {"unit_1": 2048}


@pytest.mark.system
def test_what_stands_against_it_changes_nothing(world: World) -> None:
    before, at = world.machine.conf.read_text(), ground(world.machine.conf)
    with pytest.raises(Refused, match="host1/unit_1 is in use by host1"):
        carry_out(at, delete(at.base, "unit_1"))
    assert world.machine.conf.read_text() == before
    with pytest.raises(ConfErrors, match="COLOUR"):
        plan(at.base, before + "  COLOUR = red\n", at.facts, path=at.conf)


@pytest.mark.system
def test_what_came_up_after_the_plan_is_not_overruled(world: World) -> None:
    """Somebody attached the disk while the administrator read the plan: neither his yes nor his force was for that."""
    before, at = world.machine.conf.read_text(), ground(world.machine.conf)
    then = replace(at.facts, attached={"host1": frozenset()})
    found = plan(at.base, delete(at.base, "unit_1"), then, path=at.conf)
    assert not found.refusals, "nobody used it then"
    for force in (False, True):
        with pytest.raises(Refused, match="came up after the plan was made: host1/unit_1 is in use by host1"):
            apply(found, at, who="tester", when_s=time.time(), force=force)
    assert world.machine.conf.read_text() == before


@pytest.mark.system
def test_what_the_server_cannot_take_is_taken_back(world: World) -> None:
    """The file is good; that another program has the port, the server finds out."""
    before, at = world.machine.conf.read_text(), ground(world.machine.conf)
    count = len(History(at.state_dir).versions())
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        new = re.sub(r"(DATA_PORT *= *127\.0\.0\.1):\d+", rf"\1:{port}", before)
        with pytest.raises(Refused, match="in use"):
            carry_out(at, new)
    assert world.machine.conf.read_text() == before
    assert units(world) == {"unit_1": 2048}
    assert len(History(at.state_dir).versions()) == count, "what never was in force is no version"
    conf = world.machine.status()["server"]["conf"]
    assert (conf["refused"], conf["errors"]) == ("", [])


@pytest.mark.system
def test_a_change_made_meanwhile_is_not_overwritten(world: World) -> None:
    at = ground(world.machine.conf)
    by_hand = at.text + "# by somebody else\n"
    world.machine.conf.write_text(by_hand)
    with pytest.raises(ChangeRefused, match="changed by somebody else meanwhile"):
        carry_out(at, create(at.base, Creation("data", MIB), at.facts))
    assert world.machine.conf.read_text() == by_hand
    world.machine.conf.write_text(at.text)


@pytest.mark.system
def test_a_bad_file_is_overcome_from_the_last_good_version(world: World) -> None:
    good = world.machine.conf.read_text()
    world.machine.conf.write_text(good + "HOST x\n  COLOUR = red\n")
    world.machine.wait_for(lambda status: status["server"]["conf"]["errors"])
    at = ground(world.machine.conf)
    assert at.base == good
    with pytest.raises(Refused, match=rf"nsu\.conf:{good.count(chr(10)) + 2}: COLOUR"):
        assert at.editable, "what was written by hand would be lost"
    assert carry_out(at, good).in_force
    assert world.machine.conf.read_text() == good
    world.machine.wait_for(lambda status: not status["supervisor"]["warnings"])


@pytest.mark.system
def test_what_the_server_refused_is_no_version_and_no_ground(world: World) -> None:
    """A text by hand that reads well, and that the server can't take: what is in force is the one before."""
    good = world.machine.conf.read_text()
    versions = History(world.machine.state).versions()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        world.machine.conf.write_text(re.sub(r"(DATA_PORT *= *127\.0\.0\.1):\d+", rf"\1:{port}", good))
        world.machine.wait_for(lambda status: status["server"]["conf"]["refused"])
        at = ground(world.machine.conf)
        assert (at.base, at.text) == (good, world.machine.conf.read_text())
        assert History(at.state_dir).versions() == versions
        with pytest.raises(Refused, match="in use"):
            assert at.editable, "what was written by hand would be lost"
        assert carry_out(at, good).in_force
    assert not world.machine.status()["server"]["conf"]["refused"]


@pytest.mark.system
def test_where_nothing_runs_it_is_saved_for_the_next_start(world: World) -> None:
    state = world.machine.folder / "idle"
    conf = world.machine.folder / "idle.conf"
    conf.write_text(world.machine.conf.read_text().replace(f"STATE = {world.machine.state}", f"STATE = {state}"))
    at = ground(conf)
    done = carry_out(at, create(at.base, Creation("data", MIB), at.facts))
    assert not done.in_force
    assert "does not run" in done.sentence
    assert find(conf.read_text(), "data").blocks == 2048
    assert [version.who for version in History(state).versions()] == [BY_HAND, "tester"]


def not_done(conf: Path) -> NotSavedError:
    """Resize by a plan that nothing stands against, where the file system does not let it be written."""
    at = ground(conf, resolve=no_name)
    new = at.base.replace("unit0(2048,6143)", "unit0(2048,8191)")
    found = plan(at.base, new, at.facts, path=conf, resolve=no_name)
    with pytest.raises(NotSavedError, match="can't be written down") as refusal:
        apply(found, at, who="tester", when_s=time.time(), resolve=no_name)
    assert conf.read_text() == at.text
    return refusal.value


def test_what_cannot_be_recorded_is_not_saved(tmp_path: Path) -> None:
    """Nothing comes into force of which there is no version."""
    conf = tmp_path / "nsu.conf"
    conf.write_text(CONF.replace("/var/lib/nsu", str(tmp_path / "state")))
    history = History(tmp_path / "state")
    with history.locked():
        history.record(conf.read_text(), who="before", what=(), at_s=0)
    full = history.folder / "000099.json"
    full.touch()  # so the next is 100
    (history.folder / "000100.json.new").mkdir()
    assert not_done(conf)


def test_what_cannot_be_saved_is_no_version(tmp_path: Path) -> None:
    conf = tmp_path / "nsu.conf"
    conf.write_text(CONF.replace("/var/lib/nsu", str(tmp_path / "state")))
    (tmp_path / "nsu.conf.bak").mkdir()
    (tmp_path / "nsu.conf.bak" / "x").touch()
    answer = refusal_of(not_done(conf))
    assert answer is not None
    assert answer.status == 503
    assert [version.who for version in History(tmp_path / "state").versions()] == [BY_HAND]
