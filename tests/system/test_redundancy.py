"""Proved with both sides running: raid5 and raid10 keep every block through loss, replacement, rebuild and scrub."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from errno import EIO
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from hostside import open_disk
from ipc.control import control_call
from nsu.arrays import begin_scrub, replace
from serverside.arrays.groups import Layout
from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10
from tests.harness import Machine, spawn_world
from tests.harness.slow_drive import SlowDrive
from tests.harness.world import World
from tests.hostside.frontends.file_server import NEEDS_FUSE
from tests.programs import needs

pytestmark = pytest.mark.system

MIB = 1 << 20
BLOCKS = 3 * MIB // 512


@contextmanager
def array_world(level: str, drives: int) -> Iterator[World]:
    units = {"unit_1": BLOCKS, "busy": BLOCKS}
    with spawn_world(units=units, paths=4, level=level, drives=drives, zero=["unit_1"]) as world:
        yield world


def nsu(world: World, *words: str) -> str:
    command = [sys.executable, "-m", "nsu", *words, "-c", str(world.machine.conf)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def array_of(world: World) -> dict[str, Any]:
    answer = control_call(world.machine.state / "server.sock", "status")
    (array,) = answer["arrays"]
    assert isinstance(array, dict)
    return array


def wait_for(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def states(world: World) -> list[str]:
    return [drive["state"] for drive in array_of(world)["drives"] if "place" in drive]


def fio(world: World, name: str, *options: str) -> None:
    common = ["fio", f"--name={name}", "--ioengine=nbd", f"--uri={world.uri('unit_1')}", "--verify=crc32c", "--bs=4k"]
    places = [
        f"--size={BLOCKS * 512}",
        "--verify_state_save=0",
        "--serialize_overlap=1",
        "--iodepth=16",
        "--rw=randwrite",
    ]
    subprocess.run([*common, *places, *options], check=True, capture_output=True, timeout=100, cwd=world.machine.folder)


def write(world: World) -> None:
    fio(world, "write", "--do_verify=0", "--bs=64k", "--end_fsync=1")


def verify(world: World) -> None:
    fio(world, "write", "--verify_only", "--bs=64k")


@contextmanager
def busy(world: World) -> Iterator[None]:
    """Somebody writes and verifies all the while, on another partition of the same array."""
    command = [
        "fio", "--name=busy", "--ioengine=nbd", f"--uri={world.uri('busy')}", "--rw=randwrite", "--iodepth=16",
        "--bssplit=4k/60:64k/40", f"--size={BLOCKS * 512}", "--verify=crc32c", "--verify_fatal=1",
        "--verify_backlog=64", "--serialize_overlap=1", "--time_based", "--runtime=600", "--verify_state_save=0",
    ]  # fmt: skip
    fio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert fio.poll() is None, fio.communicate()[0]
        fio.send_signal(signal.SIGINT)
        told, _ = fio.communicate(timeout=60)
        assert "err= 0" in told, told
    finally:
        fio.kill()
        fio.communicate()


@needs("fio")
@pytest.mark.parametrize(("level", "drives"), [("raid5", 4), ("raid10", 4)])
def test_data_outlives_a_drive_and_its_replacement(level: str, drives: int) -> None:
    with array_world(level, drives) as world:
        write(world)
        with busy(world):
            assert "put out" in nsu(world, "array", "replace", "unit0", "1")
            wait_for(lambda: states(world)[1] == "out")
            verify(world)
            fresh = Path(world.machine.folder / "fresh.img")
            with fresh.open("wb") as file:
                file.truncate(Path(world.machine.folder / "drive1.img").stat().st_size)
            assert "rebuilt on" in nsu(world, "array", "replace", "unit0", "1", str(fresh))
            wait_for(lambda: states(world) == ["good"] * drives)
        verify(world)
        nsu(world, "array", "scrub", "unit0")
        wait_for(lambda: array_of(world)["redundancy"]["scrubs"] == 1)
        assert array_of(world)["redundancy"]["mismatches"] == 0
        assert str(fresh) in nsu(world, "array", "list")


@needs("fio")
@pytest.mark.parametrize(("level", "drives"), [("raid5", 3), ("raid10", 2)])
def test_a_machine_killed_as_a_whole_starts_with_all_that_was_written(level: str, drives: int) -> None:
    with array_world(level, drives) as world:
        write(world)
        world.machine.kill()
        (world.machine.folder / "drive1.img").rename(world.machine.folder / "lost.img")
        world.machine.start()
        world.machine.wait_paths(4)
        wait_for(lambda: states(world)[0] == "good")
        verify(world)


@needs("fio")
def test_a_killed_owner_loses_nothing() -> None:
    with array_world("raid5", 3) as world:
        write(world)
        for _ in range(3):
            world.machine.kill_process("nsu: driver unit0")
            write(world)
        verify(world)
        nsu(world, "array", "scrub", "unit0")
        wait_for(lambda: array_of(world)["redundancy"]["scrubs"] == 1)
        assert array_of(world)["redundancy"]["mismatches"] == 0


def put_out(world: World, places: Sequence[int]) -> None:
    for place in places:
        replace(world.machine.state, "unit0", str(place), None, force=False)
    wait_for(lambda: all(states(world)[place] == "out" for place in places))


def put_in(world: World, places: Sequence[int], name: str) -> None:
    size_bytes = Path(world.machine.folder / "drive0.img").stat().st_size
    for place in places:
        fresh = world.machine.folder / f"{name}-{place}.img"
        with fresh.open("wb") as file:
            file.truncate(size_bytes)
        replace(world.machine.state, "unit0", str(place), fresh, force=False)
    wait_for(lambda: set(states(world)) == {"good"})


@needs("fio")
@pytest.mark.parametrize(("layout", "drives"), [(Raid5, 3), (Raid10, 4)])
def test_every_pattern_of_losses_that_a_level_promises_to_survive(layout: type[Layout], drives: int) -> None:
    """Data is right before, during and after each loss and its rebuild, with others writing all the while."""
    level = layout(drives, 65536, 65536)
    patterns = [lost for count in (1, 2) for lost in combinations(range(drives), count) if level.survives(set(lost))]
    with array_world(layout.level, drives) as world:
        write(world)
        with busy(world):
            for number, lost in enumerate(patterns):
                put_out(world, lost)
                verify(world)
                put_in(world, lost, f"fresh{number}")
            verify(world)
        print(f"{layout.level}, {drives} drives: {len(patterns)} patterns of losses survived")
        begin_scrub(world.machine.state, "unit0")
        wait_for(lambda: array_of(world)["redundancy"]["scrubs"] == 1)
        assert array_of(world)["redundancy"]["mismatches"] == 0


@NEEDS_FUSE
@pytest.mark.parametrize(("level", "drives"), [("raid5", 3), ("raid10", 4)])
def test_one_loss_more_is_errors_and_never_wrong_data(level: str, drives: int, tmp_path: Path) -> None:
    pulled = (0, 1)  # of raid10 they are a pair
    with ExitStack() as stack:
        slow = [stack.enter_context(SlowDrive(made(tmp_path / str(n)), 16 * MIB)) for n in pulled]

        def prepare(machine: Machine) -> None:
            for number, drive in zip(pulled, slow, strict=True):
                (machine.folder / f"drive{number}.img").symlink_to(drive.path)

        world = stack.enter_context(spawn_world(units={"unit_1": BLOCKS}, level=level, drives=drives, prepare=prepare))
        wait_for(lambda: set(states(world)) == {"good"})
        with open_disk(at=world.at("unit_1")) as disk:
            content = random.Random(1).randbytes(BLOCKS * 512)
            disk.pwrite(content, 0)
            disk.flush()
            slow[0].pull()
            assert disk.pread(len(content), 0) == content
            slow[1].pull()
            right, refused = 0, 0
            for at in range(0, len(content), 4096):
                try:
                    assert disk.pread(4096, at) == content[at : at + 4096]
                    right += 1
                except OSError:
                    refused += 1
            assert refused > 0
            with pytest.raises(OSError, match=r"could not be read|has stopped") as caught:
                disk.pwrite(content, 0)
            assert caught.value.errno == EIO
            print(f"{level}: {right} blocks read, all right; {refused} refused")
        assert states(world)[0] == "out"


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder
