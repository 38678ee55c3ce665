"""Proves that who moves data keeps no privilege, and that all works as before: kills, growth, failures, the end."""

import json
import os
import pwd
import subprocess
import sys
from errno import EIO
from pathlib import Path
from typing import Any

import pytest

from hostside import open_disk
from ipc.landlock import landlock_version
from nsu.confined import READERS_WRITERS, confined_processes, status_fields
from serverside.drives.failed_journal import FailedJournal
from tests.harness import Machine, World, spawn_world
from tests.users import ONLY_ROOT

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

NOBODY = pwd.getpwuid(65_534).pw_name
MIB = 1 << 20


def nsu(machine: Machine, *words: str) -> str:
    command = [sys.executable, "-m", "nsu", *words, "-c", str(machine.conf)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def readers_writers(machine: Machine) -> list[dict[str, Any]]:
    assert machine.supervisor is not None
    told = confined_processes(machine.supervisor.pid)
    return [process for process in told if process["title"].startswith(READERS_WRITERS)]


def assert_confined(machine: Machine) -> None:
    """All are there, or soon: a successor is root while it opens its drives."""

    def are_there(_: dict[str, Any]) -> bool:
        told = readers_writers(machine)
        kinds = {process["title"].split()[1] for process in told}
        return kinds == {"srw", "agent", "driver"} and all(process["user"] == NOBODY for process in told)

    machine.wait_for(are_there)
    found = readers_writers(machine)
    for process in found:
        fields = status_fields(process["pid"])
        assert fields["Uid"].split() == ["65534"] * 4, process
        assert fields["Groups"] == ""
        assert (fields["NoNewPrivs"], fields["CapEff"], fields["CapPrm"]) == ("1", "0" * 16, "0" * 16)
        assert process["landlock"] == (landlock_version() > 0)


@ONLY_ROOT
@pytest.mark.parametrize(("level", "drives"), [("jbod", 1), ("raid5", 3)])
def test_all_works_confined_with_kills_growth_and_an_orderly_end(level: str, drives: int) -> None:
    units = {"unit_1": 16 * MIB // 512}
    with spawn_world(units=units, zero=["unit_1"], level=level, drives=drives, user=NOBODY, version=2) as world:
        machine = world.machine
        assert_confined(machine)
        with open_disk(at=world.at("unit_1")) as disk:
            data = os.urandom(4 * MIB)
            disk.pwrite(data, 4096)
            disk.flush()
            for title in READERS_WRITERS:
                machine.kill_process(title)
                disk.pwrite(data[:8192], 10 * MIB)
                assert disk.pread(len(data), 4096) == data
        machine.wait_paths(world.paths)
        assert_confined(machine)
        grow(world)
        assert_confined(machine)
        with open_disk(at=world.at("unit_1")) as disk:
            assert disk.pread(len(data), 4096) == data
            assert disk.pread(4096, 12 * MIB) == bytes(4096)
        assert "run as root" not in nsu(machine, "status")
        assert {process["user"] for process in json.loads(nsu(machine, "status", "--json"))["processes"]} == {
            "root",
            NOBODY,
        }
        assert machine.stop() == 0


def grow(world: World) -> None:
    """A mebibyte more, as an administrator would by the file."""
    unit = world.nsu.hosts[0].units[0]
    unit.last_lba += MIB // 512
    world.rewrite()
    blocks = unit.last_lba - unit.first_lba + 1

    def has_grown(status: dict[str, Any]) -> bool:
        return bool(status["server"]) and status["server"]["hosts"][0]["units"][0]["blocks"] == blocks

    world.machine.wait_for(has_grown)
    world.machine.wait_paths(world.paths)


@ONLY_ROOT
def test_a_drive_that_a_former_run_noted_as_failed_is_one_at_the_next_start() -> None:
    def note(machine: Machine) -> None:
        machine.state.mkdir(mode=0o700)
        journal = FailedJournal(machine.state / "failed.journal")
        journal.add(str(machine.folder / "drive0.img"), EIO)
        journal.close()

    with spawn_world(units={"unit_1": 2048}, user=NOBODY, prepare=note) as world:
        (drive,) = world.machine.status()["server"]["arrays"][0]["drives"]
        assert drive["state"] == "failed"
        assert Path(drive["note"]).exists()


@ONLY_ROOT
def test_without_a_user_status_says_in_one_line_that_they_run_as_root() -> None:
    with spawn_world(units={"unit_1": 2048}, paths=2, user="root") as world:
        assert {process["user"] for process in readers_writers(world.machine)} == {"root"}
        said = nsu(world.machine, "status")
        assert said.count("processes that move data run as root") == 1
