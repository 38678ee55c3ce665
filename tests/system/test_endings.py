"""How a machine ends: SIGTERM drains first; whatever the end, nothing of it is left behind."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from hostside import open_disk
from tests.harness import World, spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


def family(world: World) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in world.machine.processes()]


def sockets_left(world: World) -> list[Path]:
    folder = world.machine.folder
    return [path for path in folder.rglob("*") if path.is_socket()]


def shared_memory() -> set[str]:
    return set(os.listdir("/dev/shm"))


def test_sigterm_leaves_nothing_and_loses_nothing() -> None:
    before = shared_memory()
    with spawn_world(units={"unit_1": 65536}) as world:
        processes = family(world)
        with open_disk(at=world.at("unit_1")) as disk:
            disk.pwrite(b"kept" * 1024, 8192)
        assert world.machine.stop() == 0
        assert psutil.wait_procs(processes, timeout=5)[1] == []
        assert sockets_left(world) == []
        assert shared_memory() == before
        drive = world.machine.folder / "drive0.img"
        assert drive.read_bytes()[8192:12288] == b"kept" * 1024


def test_sigterm_drains_what_is_in_flight() -> None:
    """Writes that were answered before the disk went are on the drive; the client's connection ends in order."""
    acknowledged: list[int] = []

    def write_until_gone(world: World) -> None:
        try:
            with open_disk(at=world.at("unit_1")) as disk:
                for index in range(20_000):
                    disk.pwrite(index.to_bytes(8, "big") * 512, index % 8000 * 4096)
                    acknowledged.append(index)
        except OSError:
            pass  # the disk went: that is the point

    with spawn_world(units={"unit_1": 65536}) as world:
        writer = threading.Thread(target=write_until_gone, args=(world,))
        writer.start()
        while len(acknowledged) < 200:
            pass
        assert world.machine.stop() == 0
        writer.join(10)
        drive = (world.machine.folder / "drive0.img").read_bytes()
        for index in acknowledged[-8000:]:
            assert drive[index % 8000 * 4096 :][:8] == index.to_bytes(8, "big")


def test_kill_9_of_the_supervisor_takes_all_and_the_next_start_clears_up() -> None:
    before = shared_memory()
    with spawn_world(units={"unit_1": 65536}) as world:
        processes = family(world)
        world.machine.kill()
        assert psutil.wait_procs(processes, timeout=5)[1] == []
        assert shared_memory() == before
        world.machine.start()
        world.machine.wait_paths(4)
        with open_disk(at=world.at("unit_1")) as disk:
            disk.pwrite(bytes(512), 0)
        assert world.machine.stop() == 0
        assert sockets_left(world) == []


@pytest.mark.parametrize("role", ["nsu: server", "nsu: host"])
def test_a_killed_role_comes_back(role: str) -> None:
    with spawn_world(units={"unit_1": 65536}) as world:
        killed = world.machine.kill_process(role)
        world.machine.wait_for(lambda _: world.machine.pids(role) not in ([], [killed]), 10)
        world.machine.wait_paths(4)
        with open_disk(at=world.at("unit_1")) as disk:
            disk.pwrite(b"again" * 1024, 0)
            assert disk.pread(5120, 0) == b"again" * 1024


def test_a_second_supervisor_is_refused() -> None:
    with spawn_world(units={"unit_1": 65536}) as world:
        second = subprocess.run(
            [sys.executable, "-m", "nsu", "run", "-c", str(world.machine.conf)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert second.returncode == 1
        assert "another supervisor is running" in second.stderr
