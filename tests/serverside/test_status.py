"""Proves that what the server tells of itself is plain, whole, and says in words who is not protected."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from protocol.config_base import UnitsUsed, units_mark
from protocol.events import Pong
from protocol.ops import Op
from protocol.v2.login import fingerprint
from serverside.status import describe_server, not_whole, slow_ones
from tests.serverside.rig import HERE, SECRET, turn
from tests.serverside.server_world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        yield world


def test_all_of_it_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
        world.open_path(one, 4).ask(Op.WRITE, 0, 0, bytes(1024))
        told = json.loads(json.dumps(describe_server(world.server)))
        assert (told["role"], told["name"], told["config_port"]) == ("server", "box1", world.config)
        assert told["cookie"] == world.server.storage.cookie
        ports = [(port["port"], port["listening"]) for port in told["data_ports"]]
        assert sorted(ports) == sorted([(world.port1, True), (world.port2, True)])
        first, second = told["sessions"]
        assert (first["host"], first["version"], first["epoch"] >> 32) == ("host1", 2, 1)
        assert (second["host"], second["version"], second["peer"], second["srws"]) == ("host2", 1, "127.0.0.3", [])
        (srw,) = first["srws"]
        assert (srw["path"], srw["port"], srw["writes"], srw["written_bytes"]) == (
            4,
            f"127.0.0.1:{world.port1}",
            1,
            1024,
        )
        assert srw["pid"] in [seated.child.pid for seated in world.server.srws.seated.values()]
        assert {timer["name"]: timer["value_s"] for timer in told["timers"]}["handshake"] == 5.0
        assert [word for word in told["warnings"] if "host2" in word and "not protected" in word]
        assert not [word for word in told["warnings"] if "host1" in word]
        assert [host["version"] for host in told["hosts"]] == [2, 1]
        two.close()


def test_which_units_a_host_uses_is_told_when_it_says_so_by_the_list_of_now(world: World) -> None:
    host = world.logged_in(world.host1())
    (session,) = describe_server(world.server)["sessions"]
    assert session["attached"] is None, "it has not said anything"
    units = world.server.storage.unit_records(world.server.settings.hosts[0])
    for used, names in (
        (UnitsUsed(units_mark(units), 0b1), [units[0].name]),
        (UnitsUsed(units_mark(units) + 1, 0b1), None),
        (UnitsUsed(units_mark(units), 0), []),
    ):
        host.dialogue.ping(used)
        host.next(Pong)
        (session,) = describe_server(world.server)["sessions"]
        assert session["attached"] == names


def test_an_array_that_is_not_whole_is_told_of() -> None:
    good = {"place": 0, "state": "good"}
    out = {"place": 1, "state": "out", "why_out": "a write failed"}
    rebuilding = {"place": 2, "state": "rebuilding", "rebuilt_percent": 40}
    array = {"name": "u", "level": "raid5", "drives": [good, out, rebuilding], "redundancy": {"stopped": True}}
    assert not_whole([array]) == [
        "array u: place 1 is out: a write failed",
        "array u: place 2 is being rebuilt, 40 % are done",
        "array u has stopped: more drives are lost than raid5 survives",
    ]
    assert not_whole([{"name": "j", "level": "jbod", "drives": [{"state": "failed"}]}]) == []


def test_a_drive_that_is_much_slower_than_the_others_is_told_of() -> None:
    def array(*means_us: int, operations: int = 100) -> dict[str, Any]:
        drives = [
            {"place": n, "state": "good", "operations": operations, "mean_us": us} for n, us in enumerate(means_us)
        ]
        return {"name": "u", "drives": drives}

    assert slow_ones(array(2000, 60_000, 3000)) == [
        "array u: the drive at place 1 is slow: 60 ms for an operation, the others 2 ms; nsu array replace takes it out"
    ]
    assert slow_ones(array(20, 600, 30)) == []  # nobody feels that
    assert slow_ones(array(20_000, 60_000, 30_000)) == []
    assert slow_ones(array(2000, 60_000, 3000, operations=99)) == []


def test_a_warning_of_a_change_is_told_until_the_next(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        world.server.warn("something is odd")
        assert "something is odd" in describe_server(world.server)["warnings"]


def test_an_srw_that_dies_by_itself_is_told_and_its_counts_stay(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    one = world.logged_in(world.host1())
    assert world.open_path(one, 0).ask(Op.WRITE, 0, 0, bytes(1024))[0].status == 0
    (srw,) = world.server.srws.seated.values()
    os.kill(srw.child.pid, signal.SIGKILL)
    turn(world.loop, lambda: world.srws() == 0)
    said = capsys.readouterr().err
    assert f"nsu: server: srw host1 {HERE}:{world.port1} #0 (pid {srw.child.pid}): it was killed by signal 9" in said
    assert world.open_path(one, 0).ask(Op.WRITE, 0, 0, bytes(512))[0].status == 0
    hosts = {host["name"]: host for host in describe_server(world.server)["hosts"]}
    first, *others = (unit["totals"] for unit in hosts["host1"]["units"])
    assert (first["writes"], first["written_bytes"]) == (2, 1536)
    assert sum(sum(each.values()) for each in others) == 0
    totals = {name: host["totals"] for name, host in hosts.items()}
    assert (totals["host1"]["writes"], totals["host1"]["written_bytes"]) == (2, 1536)
    assert totals["host2"]["writes"] == 0


def test_an_open_rotation_is_told_with_who_has_proven_what_and_what_is_next(world: World) -> None:
    new = bytes(range(32, 64))
    old_print, new_print = fingerprint(SECRET), fingerprint(new)
    assert rotations(world) == []
    one = world.logged_in(world.host1())
    world.change(replace(world.v2, secret_next=new, rotation_since_s=0.0), world.v1)
    told = describe_server(world.server)
    keys = [host["keys"] for host in told["hosts"]]
    assert keys == [{"current": old_print, "next": new_print, "rotation_since": 0.0}, None]
    assert [session["key"] for session in told["sessions"]] == [old_print]
    (words,) = rotations(world)
    assert words.startswith(f"HOST host1: a new key ({new_print}) holds beside the old one since 1970-01-01 00:00 UTC")
    assert f"has proven the old one ({old_print}): give it the new one by nsu key install" in words
    one.close()
    world.logged_in(world.host1(secret=new))
    (words,) = rotations(world)
    assert words.endswith("its session has proven the new one: nsu key rotate host1 --finish")
    assert all(secret.hex() not in json.dumps(told) for secret in (SECRET, new))


def rotations(world: World) -> list[str]:
    return [words for words in describe_server(world.server)["warnings"] if "a new key" in words]
