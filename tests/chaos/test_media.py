"""The truth about media, on media that really fail: a file system that is full, a device that can't be synced, a limit.

No error is made up here: the kernel itself says each of them, to real processes.
"""

import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from errno import EIO, ENOSPC
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hostside import open_disk
from hostside.client import Disk
from tests.harness import Machine, World, spawn_world
from tests.harness.file_systems import mounted
from tests.programs import needs, run

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(60),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root"),
]

MIB = 1 << 20
DISK_BYTES = 16 * MIB
BLOCKS = DISK_BYTES >> 9
ROOM_BYTES = 6 * MIB
"""Of the file system below the drive: less than the disk promises."""
PATHS = 2


@contextmanager
def tmpfs(folder: Path, room_bytes: int = ROOM_BYTES) -> Iterator[Path]:
    """A small file system in memory."""
    at = folder / "small"
    at.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={room_bytes}", "none", str(at))
    try:
        yield at
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@contextmanager
def small_ext4(folder: Path) -> Iterator[Path]:
    """A real one, which takes data first and finds room for it later (delayed allocation)."""
    image = folder / "ext4.img"
    with open(image, "wb") as file:
        file.truncate(ROOM_BYTES + 2 * MIB)
    run("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", str(image))
    with mounted(image) as at:
        yield at


SmallRoom = Callable[[Path], AbstractContextManager[Path]]


def write_until_refused(disk: Disk, *, sync: bool) -> tuple[int, OSError]:
    """Write more than there is room for; give how many MiB were taken, and what was said to the next."""
    for at in range(DISK_BYTES // MIB):
        try:
            disk.pwrite(letter(at), at * MIB)
            if sync:
                disk.flush()
        except OSError as error:
            return at, error
    raise AssertionError("it should have been full")


def sparse_file(at: Path, size_bytes: int = DISK_BYTES + 2 * MIB) -> Path:
    with open(at, "wb") as file:
        file.truncate(size_bytes)
    return at


@contextmanager
def world_on(drive: Path) -> Iterator[World]:
    """A world whose only drive is `drive`."""

    def prepare(machine: Machine) -> None:
        (machine.folder / "drive0.img").symlink_to(drive)

    with spawn_world(units={"unit_1": BLOCKS}, paths=PATHS, prepare=prepare) as world:
        yield world


def drive_states(world: World) -> list[str]:
    arrays = world.machine.status()["server"]["arrays"]
    return [drive["state"] for array in arrays for drive in array["drives"]]


def letter(number: int) -> bytes:
    return bytes([ord("a") + number % 26]) * MIB


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("small", [tmpfs, pytest.param(small_ext4, marks=needs("mkfs.ext4"))])
def test_a_full_file_system_is_an_error_and_no_loss(small: SmallRoom, tmp_path: Path, stack: ExitStack) -> None:
    folder = stack.enter_context(small(tmp_path))
    world = stack.enter_context(world_on(sparse_file(folder / "drive")))
    with open_disk(at=world.at("unit_1")) as disk:
        taken, error = write_until_refused(disk, sync=False)
        assert error.errno == ENOSPC
        assert "has no room to write" in str(error)
        assert taken >= 3
        disk.flush()  # what was taken is there
        assert [disk.pread(MIB, at * MIB) == letter(at) for at in range(taken)] == [True] * taken
        disk.pwrite(letter(1), 0)  # where there is room already
        assert drive_states(world) == ["good"]
        disk.trim(MIB, MIB)
        disk.pwrite(letter(9)[: MIB // 2], DISK_BYTES - MIB)  # room was given back
        disk.flush()
        assert disk.pread(MIB // 2, DISK_BYTES - MIB) == letter(9)[: MIB // 2]


@pytest.mark.parametrize(("level", "drives"), [("raid5", 3), ("raid10", 2)])
def test_a_full_file_system_puts_no_drive_out(level: str, drives: int, tmp_path: Path, stack: ExitStack) -> None:
    """One file system below all drives: its being full is nothing that one of them has done."""
    folder = stack.enter_context(tmpfs(tmp_path, 2 * ROOM_BYTES))
    world = stack.enter_context(redundant_world_on(folder, level, drives))
    good = ["good"] * drives
    with open_disk(at=world.at("unit_1")) as disk:
        taken, error = write_until_refused(disk, sync=False)
        assert error.errno == ENOSPC
        assert "has no room to write" in str(error)
        assert taken >= 3
        disk.flush()
        disk.pwrite(letter(1), 0)  # where there is room already
        assert disk.pread(MIB, 0) == letter(1)
        assert [disk.pread(MIB, at * MIB) == letter(at) for at in range(1, taken)] == [True] * (taken - 1)
        assert drive_states(world) == good
        world.machine.kill_process("nsu: driver unit0")  # its successor mends what it finds, in no more room
        assert disk.pread(MIB, MIB) == letter(1)
        disk.pwrite(letter(2), 0)
        run("mount", "-o", f"remount,size={8 * DISK_BYTES}", str(folder))
        for at in range(DISK_BYTES // MIB):
            disk.pwrite(letter(at + 3), at * MIB)
        disk.flush()
        assert [disk.pread(MIB, at * MIB) == letter(at + 3) for at in range(DISK_BYTES // MIB)] == [True] * 16
    assert drive_states(world) == good


@contextmanager
def redundant_world_on(folder: Path, level: str, drives: int) -> Iterator[World]:
    """A world whose drives are sparse files in `folder`."""

    def prepare(machine: Machine) -> None:
        for number in range(drives):
            (machine.folder / f"drive{number}.img").symlink_to(sparse_file(folder / f"drive{number}"))

    units = {"unit_1": BLOCKS}
    with spawn_world(units=units, paths=PATHS, level=level, drives=drives, prepare=prepare) as world:
        yield world


@contextmanager
def loop_device(backing: Path) -> Iterator[Path]:
    """A block device over a file."""
    device = run("losetup", "--find", "--show", str(backing)).strip()
    try:
        yield Path(device)
    finally:
        run("losetup", "--detach", device)


def check_failed_for_all(world: World) -> None:
    """Whoever asks, and by whatever process: EIO, and never again "all is well"."""
    assert drive_states(world) == ["failed"]
    for _ in range(2):
        with open_disk(at=world.at("unit_1")) as disk:
            acts: list[Callable[[], object]] = [
                disk.flush,
                partial(disk.pread, 512, 0),
                partial(disk.pwrite, bytes(512), 0),
            ]
            for act in acts:
                with pytest.raises(OSError, match="it stays failed until replaced") as caught:
                    act()
                assert caught.value.errno == EIO
        killed = world.machine.kill_process("nsu: srw")  # and those that come later
        world.machine.wait_for(partial(is_replaced, world, killed))
        world.machine.wait_paths(PATHS)


def is_replaced(world: World, killed: int, status: dict[str, Any]) -> bool:
    del status
    return len(set(world.machine.pids("nsu: srw")) - {killed}) == PATHS


def test_what_could_not_be_synced_fails_the_drive_for_good(tmp_path: Path, stack: ExitStack) -> None:
    """A device that takes writes into the page cache and can't put them away: its fsync says so once, and no more."""
    folder = stack.enter_context(tmpfs(tmp_path))
    device = stack.enter_context(loop_device(sparse_file(folder / "backing")))
    world = stack.enter_context(world_on(device))
    with open_disk(at=world.at("unit_1")) as disk:
        _, error = write_until_refused(disk, sync=True)  # the page cache takes all of it, the flush does not
        assert error.errno == EIO
        assert "has failed" in str(error)
    run("mount", "-o", f"remount,size={4 * DISK_BYTES}", str(folder))  # room: another sync would say "good"
    check_failed_for_all(world)
    world.machine.stop()


def test_a_write_that_the_kernel_refuses_fails_the_drive_for_good(tmp_path: Path, stack: ExitStack) -> None:
    world = stack.enter_context(world_on(sparse_file(tmp_path / "drive")))
    for pid in world.machine.pids("nsu: srw"):
        psutil.Process(pid).rlimit(resource.RLIMIT_FSIZE, (8 * MIB, 8 * MIB))
    with open_disk(at=world.at("unit_1")) as disk:
        disk.pwrite(letter(0), 0)
        with pytest.raises(OSError, match=r"a write at byte .* failed, File too large") as caught:
            disk.pwrite(letter(1), 9 * MIB)
        assert caught.value.errno == EIO
    check_failed_for_all(world)
