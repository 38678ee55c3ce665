"""Proves that disks come to and go from a running host role, in time and in order, whatever is in the way."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from hostside.attachment import FORCED_MOST_S
from hostside.client import open_disk
from ipc.control import ControlError, RefusedError, control_call
from tests.harness import World, spawn_world

pytestmark = pytest.mark.system

BLOCKS = 4096
HOLD = """
import sys, hostside
with hostside.open_disk(at=sys.argv[1]) as disk:
    print("open", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with spawn_world(units={"unit_1": BLOCKS, "unit_2": BLOCKS, "unit_3": BLOCKS}, paths=2) as world:
        yield world


@pytest.fixture(autouse=True)
def attached(world: World) -> Iterator[None]:
    """All three as nsu.conf has them, before each test."""
    yield
    for name in ("unit_1", "unit_2", "unit_3"):
        if not of(world, name)["shown"]:
            attach(world, name)


def ask(world: World, verb: str, **arguments: Any) -> dict[str, Any]:
    return control_call(world.machine.state / "host.sock", verb, timeout_s=15, **arguments)


def attach(world: World, name: str, at: Path | None = None, server: str = "box1", number: int = 0) -> dict[str, Any]:
    disk = {"name": name, "number": number, "show": "socket", "at": str(at or world.at(name))}
    return ask(world, "attach", server=server, disk=disk)


def of(world: World, name: str) -> dict[str, Any]:
    return next(disk for disk in ask(world, "disks")["disks"] if disk["name"] == name)


def session(world: World) -> object:
    return world.machine.status()["host"]["servers"][0]["session"]


def test_a_disk_goes_and_comes_while_another_is_used(world: World) -> None:
    """The session stands, and so do the paths: the other disk notices nothing."""
    before = session(world)
    with open_disk(at=world.at("unit_2")) as other, open_disk(at=world.at("unit_1")) as disk:
        disk.pwrite(b"\1" * 4096, 0)
        other.pwrite(b"\2" * 4096, 0)
        disk.close()
        for _ in range(5):
            answer = ask(world, "detach", name="unit_1")
            assert (answer["users"], answer["killed"]) == ([], False)
            assert of(world, "unit_1")["detached"]
            assert not world.at("unit_1").exists()
            assert attach(world, "unit_1")["at"] == str(world.at("unit_1"))
            assert other.pread(4096, 0) == b"\2" * 4096
        with open_disk(at=world.at("unit_1")) as again:
            assert again.pread(4096, 0) == b"\1" * 4096
    assert session(world) == before


def test_who_uses_it_is_named_and_keeps_it_unless_it_is_forced(world: World) -> None:
    command = [sys.executable, "-c", HOLD, str(world.at("unit_1"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        with pytest.raises(RefusedError, match=rf"unit_1 stays attached: NBD client \S+ \(pid {holder.pid}\)"):
            ask(world, "detach", name="unit_1")
        assert of(world, "unit_1")["shown"]
        answer = ask(world, "detach", name="unit_1", force=True)
        assert str(holder.pid) in answer["users"][0]
        assert of(world, "unit_1")["detached"]


def test_a_process_that_is_stuck_is_told_of_and_killed_by_force(world: World) -> None:
    (pid,) = world.machine.pids("nsu: disk unit_1")
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(RefusedError, match=r"unit_1 stays attached: no answer .*«--force» kills it"):
        ask(world, "detach", name="unit_1")
    began_s = time.monotonic()
    answer = ask(world, "detach", name="unit_1", force=True)
    assert time.monotonic() - began_s < FORCED_MOST_S
    # Or the host process, which looks after its children, was faster: one that stands still for 3 s is killed anyhow.
    assert answer["killed"] or "unit_1 is killed: it was stopped" in world.machine.log()
    assert not psutil.pid_exists(pid)
    assert not world.at("unit_1").exists(), "its socket was swept away"
    attach(world, "unit_1")
    with open_disk(at=world.at("unit_1")) as disk:
        disk.pwrite(b"\3" * 512, 0)


def test_requests_that_hang_do_not_keep_a_forced_detach(world: World) -> None:
    """All SRWs stand still: what is in flight never comes back, and must be fenced before the disk is there again."""
    stopped = world.machine.pids("nsu: srw")
    with open_disk(at=world.at("unit_1")) as disk, ThreadPoolExecutor(1) as threads:
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            written = threads.submit(disk.pwrite, b"\4" * 4096, 4096)
            world.machine.wait_for(lambda status: not disk_process(status, "unit_1")["idle"])
            began_s = time.monotonic()
            ask(world, "detach", name="unit_1", force=True)
            assert time.monotonic() - began_s < FORCED_MOST_S
            with pytest.raises(OSError, match=r"nsu|hung|closed|ended|reset|broken|shut"):
                written.result(timeout=10)
        finally:
            for pid in stopped:
                if psutil.pid_exists(pid):
                    os.kill(pid, signal.SIGCONT)
    attach(world, "unit_1")
    world.machine.wait_paths(2)


def disk_process(status: dict[str, Any], name: str) -> dict[str, Any]:
    return next(disk["process"] for disk in status["host"]["disks"] if disk["name"] == name)


def test_two_who_detach_at_once_both_hear(world: World) -> None:
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask, world, "detach", name="unit_3", force=True) for _ in range(2)]
        assert all("seconds" in answer.result() for answer in asked)
    assert of(world, "unit_3")["detached"]


def test_what_cannot_be_attached_is_refused_with_a_reason(world: World, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="has no SERVER box9"):
        attach(world, "unit_1", server="box9")
    with pytest.raises(RefusedError, match=r"unit_1 is attached already, as socket at .*; detach it first"):
        attach(world, "unit_1", at=tmp_path / "elsewhere.sock")
    with pytest.raises(RefusedError, match=r"unit_2.sock is where unit_2 is shown"):
        attach(world, "unit_9", at=world.at("unit_2"))
    ask(world, "detach", name="unit_1")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RefusedError, match=r"unit_1: it can't be shown at .*file is no socket and stays"):
        attach(world, "unit_1", at=tmp_path / "file")
    assert of(world, "unit_1")["detached"], "it is not tried for ever behind the asker's back"
    assert (tmp_path / "file").read_text() == "mine"
    with pytest.raises(RefusedError, match="there is no disk unit_8 here; there are: unit_1, unit_2, unit_3"):
        ask(world, "detach", name="unit_8")
    with pytest.raises(RefusedError, match="unit_1 is detached already"):
        ask(world, "detach", name="unit_1")


def test_what_is_asked_wrongly_ends_nobody(world: World) -> None:
    for arguments in ({}, {"server": "box1", "disk": {"name": "x"}}, {"server": "box1", "disk": 7}):
        with pytest.raises(ControlError, match="attach: "):
            ask(world, "attach", **arguments)
    with pytest.raises(ControlError, match="detach: "):
        ask(world, "detach")
    assert of(world, "unit_1")["shown"]
