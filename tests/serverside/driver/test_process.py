"""Proved with real processes: commands are served, a killed driver is followed by another, SIGTERM settles first."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ipc.child import Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.exits import Exit
from protocol.ops import Op
from serverside.arrays.base import Array
from serverside.arrays.open import open_array
from serverside.arrays.redundant import Redundant
from serverside.driver.channel import NO_SEAT, DriverChannel, SeatDoor
from serverside.driver.driver import ServerDriver
from serverside.driver.packets import PUT_OUT, Command
from serverside.driver.process import run_driver
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.partitions.partition import Partition
from serverside.partitions.zero_file import ZeroFile
from serverside.partitions.zero_map import open_zero_map
from serverside.redundancy.superblock import State
from serverside.settings import ArraySettings, DriveSettings, PartitionSettings

NAME = UUID(int=77)
BLOCKS = 4096
OLD = b"\xee"


class World:
    """An array on a real file, its ZERO partition, and driver processes for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "drive.img"
        self.path.write_bytes(OLD * BLOCKS * 512)
        self.health = DriveHealth(1)
        self.array = self.open_array(self.health)
        self.partition = self.open_partition(self.array)
        self.channel = DriverChannel(2)
        self.hearts = CounterTable(1, ("beat",))
        self.children: list[Child] = []

    def open_array(self, health: DriveHealth) -> Array:
        drive = DriveSettings(self.path)
        return open_array(ArraySettings("unit0", "jbod", (drive,)), [open_drive(drive, health, 0)])

    def open_partition(self, array: Array) -> Partition:
        unit = PartitionSettings("unit_1", "unit0", 0, BLOCKS - 1, zero=True)
        zero_map = open_zero_map(ZeroFile(self.folder / "zero", NAME), BLOCKS, array.write_zeroes, array.flush)
        return Partition(array, unit, zero_map, 1, NAME)

    def fork(self) -> Child:
        def main(life: Life) -> int:
            return run_driver(life, ServerDriver(self.array, {5: self.partition}), self.channel, lambda: None)

        assert self.partition.zero_map is not None
        keep = {*self.channel.driver_descriptors(), *self.array.descriptors(), self.partition.zero_map.file.fd}
        child = fork_child("nsu: driver unit0", main, hearts=self.hearts, heart_row=0, keep=keep)
        self.children.append(child)
        until(lambda: child.is_ready)
        return child

    def write(self, lba: int, data: bytes) -> None:
        door = SeatDoor(self.channel, 0)
        assert door.execute(5, Op.WRITE, lba, len(data) // 512, False, memoryview(data)) == (0, "")

    def read(self, partition: Partition, lba: int) -> bytes:
        block = bytearray(512)
        partition.read_into(memoryview(block), lba)
        return bytes(block)

    def close(self) -> None:
        for child in self.children:
            child.kill_and_reap()
            child.close()
        self.channel.close()
        self.close_storage(self.array, self.partition)

    @staticmethod
    def close_storage(array: Array, partition: Partition) -> None:
        assert partition.zero_map is not None
        partition.zero_map.file.close()
        array.close()


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_first_write_through_the_process_is_seen_here(world: World) -> None:
    world.fork()
    world.write(100, b"d" * 512)
    assert not world.partition.needs_owner(Op.WRITE, 100, 1, False)
    assert world.partition.needs_owner(Op.FLUSH, 0, 0)
    assert world.read(world.partition, 100) == b"d" * 512
    assert world.read(world.partition, 99) == bytes(512)
    assert world.read(world.partition, 3000) == bytes(512)
    assert SeatDoor(world.channel, 1).execute(5, Op.FLUSH, 0, 0, False, None) == (0, "")
    assert not world.partition.needs_owner(Op.FLUSH, 0, 0)
    world.channel.drain(0)


def test_a_killed_driver_loses_nothing_that_somebody_waits_for(world: World) -> None:
    first = world.fork()
    first.signal(signal.SIGSTOP)
    replaced: list[Child] = []

    def alive() -> bool:
        # The one who waits looks up: the driver hangs, is killed, and another one comes.
        if not replaced:
            first.kill_and_reap()
            replaced.append(world.fork())
        return True

    data = b"k" * 512
    assert SeatDoor(world.channel, 0, alive).execute(5, Op.WRITE, 7, 1, False, memoryview(data)) == (0, "")
    assert replaced
    assert world.read(world.partition, 7) == data
    assert world.channel.incarnation == 2


def test_sigterm_makes_everything_durable_first(world: World) -> None:
    child = world.fork()
    world.write(0, b"t" * 512)
    child.signal(signal.SIGTERM)
    started = time.monotonic()
    assert child.wait(10) == Exit.OK
    assert time.monotonic() - started < 0.9  # it did not sleep its idle second out
    assert not world.partition.has_news


def test_a_failed_drive_ends_a_sigterm_with_failed(world: World) -> None:
    child = world.fork()
    world.write(0, b"t" * 512)
    world.health.fail(0, 5)
    child.signal(signal.SIGTERM)
    assert child.wait(10) == Exit.FAILED


class RedundantWorld:
    """A raid5 with a spare and its driver process, and users who ask for one block after the other."""

    def __init__(self, folder: Path) -> None:
        names = tuple(DriveSettings(folder / f"d{n}", 192 << 20) for n in range(4))
        health = DriveHealth(4)
        drives = [open_drive(name, health, index) for index, name in enumerate(names)]
        array = open_array(ArraySettings("unit0", "raid5", names[:3], names[3:], 65536), drives)
        assert isinstance(array, Redundant)
        self.array = array
        unit = PartitionSettings("unit_1", "unit0", 0, self.array.capacity_blocks - 1)
        self.partition = Partition(self.array, unit, None, 1, NAME)
        self.channel = DriverChannel(2)
        self.hearts = CounterTable(1, ("beat",))
        self.child = fork_child(
            "nsu: driver unit0",
            lambda life: run_driver(life, ServerDriver(self.array, {5: self.partition}), self.channel, lambda: None),
            hearts=self.hearts,
            heart_row=0,
            keep={*self.channel.driver_descriptors(), *self.array.descriptors()},
        )
        until(lambda: self.child.is_ready)
        self.door = SeatDoor(self.channel, 0)

    def rows_done(self) -> int:
        return self.array.board.rows[0].get("rows_done")

    def is_rebuilding(self) -> bool:
        return self.array.board.rows[0].get("state") == State.REBUILDING

    def writes(self, seconds: float) -> int:
        """Write one block after the other; give how many."""
        data, count, until_s = memoryview(b"w" * 4096), 0, time.monotonic() + seconds
        while time.monotonic() < until_s:
            assert self.door.execute(5, Op.WRITE, count * 8 % 4096, 8, False, data) == (0, "")
            count += 1
        return count

    def reads(self, seconds: float) -> int:
        """Read directly, as an SRW does."""
        back, count, until_s = memoryview(bytearray(4096)), 0, time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.array.read_into(back, 65536)  # on place 1
            count += 1
        return count

    def rebuild(self) -> None:
        self.channel.commands.put_many(Command(0, NO_SEAT, PUT_OUT, False, 0, 0, 0).pack())
        until(self.is_rebuilding)

    def close(self) -> None:
        self.child.kill_and_reap()
        self.child.close()
        self.channel.close()
        self.array.close()


@pytest.fixture
def redundant(tmp_path: Path) -> Iterator[RedundantWorld]:
    made = RedundantWorld(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["writes", "reads"])
def test_a_rebuild_yields_to_users_and_goes_on(redundant: RedundantWorld, kind: str) -> None:
    """Users keep most of their speed; the rebuild goes on beside them, and runs when they pause."""
    use = redundant.writes if kind == "writes" else redundant.reads
    use(0.2)
    alone = use(0.5)
    redundant.rebuild()
    use(0.1)
    before = redundant.rows_done()
    beside = use(0.5)
    stepped = redundant.rows_done() - before
    assert redundant.is_rebuilding()
    before, began_s = redundant.rows_done(), time.monotonic()
    until(lambda: not redundant.is_rebuilding())
    free = (redundant.array.layout.rows - before) / (time.monotonic() - began_s)
    print(
        f"{kind} beside a rebuild: {beside / alone:.0%} of those without one; rebuilt {stepped / 8:.0f} MB/s"
        f" beside users, {free / 16:.0f} MB/s alone"
    )
    assert beside > 0.4 * alone
    assert stepped > 0
    assert free > 2 * stepped / 0.5
