"""Proved: a partition is plain bytes in its place; with a zero map nothing old shows and nothing flushed is
lost.

The last is proved by cutting the power before every single step of I/O, on drives whose cache keeps of the
unsynced pages a random part, and on a map file that may be torn.
"""

import os
import random
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.ops import Op
from serverside.arrays.base import Array
from serverside.drives.base import DriveError
from serverside.partitions import zero_map as zero_map_module
from serverside.partitions.partition import Partition
from serverside.partitions.zero_file import ZeroFile
from serverside.partitions.zero_map import open_zero_map
from serverside.settings import PartitionSettings
from tests.serverside.faults import Cut, MemoryDrive, Steps, memory_array, until_cut

NAME = UUID(int=77)
CHUNK = 4096
FIRST_LBA = 3
BLOCKS = 40
OLD = b"\xee"
"""What the former owner left on the drive."""


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zero_map_module, "CHUNK_BYTES_MIN", CHUNK)


class CrashFile(ZeroFile):
    """A map file whose writes may be cut in the middle, and without a sync may be lost."""

    def __init__(self, folder: Path, steps: Steps, luck: random.Random) -> None:
        super().__init__(folder, NAME)
        self.steps = steps
        self.luck = luck
        self.before: bytes | None = None
        """The content as it was synced last, while there are writes behind that."""

    def write(self, data: bytes, offset_bytes: int) -> None:
        self.before = os.pread(self.fd, os.fstat(self.fd).st_size, 0)
        torn = data[: self.luck.randrange(80)]  # the header and the bits lie in the first 80 bytes
        try:
            self.steps.step()
        except Cut:
            super().write(torn, offset_bytes)
            raise
        super().write(data, offset_bytes)

    def sync(self) -> None:
        self.steps.step()
        self.before = None

    def discard(self) -> None:
        """Whoever lost power tidies up nothing."""

    def crash(self) -> None:
        if self.before is not None and self.luck.random() < 0.5:
            os.ftruncate(self.fd, 0)
            super().write(self.before, 0)
        self.close()


def plain(array: Array, read_only: bool = False) -> Partition:
    unit = PartitionSettings("unit_1", "unit0", FIRST_LBA, FIRST_LBA + BLOCKS - 1, read_only)
    return Partition(array, unit, None, 1, NAME)


def zeroed(array: Array, file: ZeroFile) -> Partition:
    unit = PartitionSettings("unit_1", "unit0", FIRST_LBA, FIRST_LBA + BLOCKS - 1, zero=True)
    first_bytes = FIRST_LBA * 512
    zero_map = open_zero_map(file, BLOCKS, lambda at, n: array.write_zeroes(first_bytes + at, n), array.flush)
    return Partition(array, unit, zero_map, 1, NAME)


def read(partition: Partition, lba: int = 0, blocks: int = BLOCKS) -> bytes:
    content = bytearray(blocks * 512)
    partition.read_into(memoryview(content), lba)
    return bytes(content)


def write(partition: Partition, lba: int, data: bytes, durable: bool = False) -> None:
    """Write as the owner does."""
    partition.prepare_write(lba, len(data) // 512)
    partition.write_from(memoryview(data), lba, durable)
    if durable and partition.has_news:
        partition.settle()


def test_a_partition_lies_in_its_place() -> None:
    drive = MemoryDrive(OLD * 64 * 512)
    partition = plain(memory_array([drive]))
    partition.write_from(memoryview(b"a" * 512), 0)
    partition.write_from(memoryview(b"z" * 512), BLOCKS - 1)
    partition.write_zeroes(1, 1)
    partition.trim(2, 1)
    assert drive.cached[: 3 * 512] == OLD * 3 * 512
    assert drive.cached[3 * 512 : 6 * 512] == b"a" * 512 + bytes(512) + b"\xdd" * 512
    assert drive.cached[42 * 512 :] == b"z" * 512 + OLD * 21 * 512
    assert (partition.blocks, partition.read_only) == (BLOCKS, False)
    assert not any(partition.needs_owner(op, 0, 1) for op in Op)


@pytest.mark.parametrize("wrong", [(0, BLOCKS + 1), (BLOCKS, 1), (-1, 1), (0, 0)])
def test_unchecked_ranges_are_a_bug_of_the_caller(wrong: tuple[int, int]) -> None:
    partition = plain(memory_array([MemoryDrive(bytes(64 * 512))]))
    lba, blocks = wrong
    with pytest.raises(AssertionError):
        partition.read_into(memoryview(bytearray(blocks * 512)), lba)
    with pytest.raises(AssertionError):
        partition.trim(lba, blocks)


def test_a_read_only_partition_asserts() -> None:
    partition = plain(memory_array([MemoryDrive(bytes(64 * 512))]), read_only=True)
    with pytest.raises(AssertionError):
        partition.write_from(memoryview(bytes(512)), 0)
    with pytest.raises(AssertionError):
        partition.execute(Op.WRITE_ZEROES, 0, 1)


@pytest.mark.parametrize("op", [Op.FLUSH, Op.TRIM, Op.WRITE_ZEROES])
def test_execute_makes_durable_what_it_is_told_to(op: Op) -> None:
    drive = MemoryDrive(OLD * 64 * 512)
    partition = plain(memory_array([drive]))
    partition.write_from(memoryview(b"a" * 512), 5)
    partition.execute(op, 0, 1, True)
    assert drive.stable == drive.cached


def test_what_needs_the_owner(tmp_path: Path) -> None:
    partition = zeroed(memory_array([MemoryDrive(OLD * 64 * 512)]), ZeroFile(tmp_path, NAME))

    def asked() -> dict[str, bool]:
        return {
            "write": partition.needs_owner(Op.WRITE, 0, 1, False),
            "durable write": partition.needs_owner(Op.WRITE, 0, 1, True),
            "write over a border": partition.needs_owner(Op.WRITE, 7, 2, False),
            "flush": partition.needs_owner(Op.FLUSH, 0, 0),
            "others": any(partition.needs_owner(op, 0, 1) for op in (Op.READ, Op.TRIM, Op.WRITE_ZEROES)),
        }

    new = {"write": True, "durable write": True, "write over a border": True, "flush": False, "others": False}
    assert asked() == new
    write(partition, 0, b"a" * 512)
    claimed = {**new, "write": False, "flush": True}
    assert asked() == claimed
    partition.settle()
    assert asked() == {**claimed, "durable write": False, "flush": False}


def test_trim_and_zeroes_of_chunks_not_ours_touch_no_drive(tmp_path: Path) -> None:
    drive = MemoryDrive(OLD * 64 * 512)
    partition = zeroed(memory_array([drive]), ZeroFile(tmp_path, NAME))
    write(partition, 8, b"a" * 512)
    partition.write_zeroes(0, BLOCKS)
    partition.trim(0, 8)
    assert read(partition) == bytes(BLOCKS * 512)
    assert drive.cached[FIRST_LBA * 512 :][:CHUNK] == OLD * CHUNK


def test_a_write_that_skips_the_owner_is_a_bug_of_the_caller(tmp_path: Path) -> None:
    partition = zeroed(memory_array([MemoryDrive(OLD * 64 * 512)]), ZeroFile(tmp_path, NAME))
    with pytest.raises(AssertionError):
        partition.write_from(memoryview(bytes(512)), 0)


def test_a_first_write_that_finds_no_room_leaves_zeros(tmp_path: Path) -> None:
    class Full(MemoryDrive):
        def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
            raise DriveError(28, "no room")

    partition = zeroed(memory_array([Full(OLD * 64 * 512)]), ZeroFile(tmp_path, NAME))
    with pytest.raises(DriveError):
        write(partition, 0, b"a" * 512)
    assert read(partition) == bytes(BLOCKS * 512)


Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "durable", "zeroes", "flush"]),
        st.integers(0, BLOCKS - 1),
        st.integers(1, 12),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS, drives=st.integers(1, 3))
def test_a_zero_partition_is_plain_bytes_that_begin_as_zeros(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Step], drives: int
) -> None:
    array = memory_array([MemoryDrive(OLD * 64 * 512) for _ in range(drives)], "raid0", 1024)
    partition = zeroed(array, ZeroFile(tmp_path_factory.mktemp("zero"), NAME))
    world = World(partition)
    for number, step in enumerate(steps, 1):
        world.do(number, step)
    assert read(partition) == bytes(world.content)
    assert world.partition.zero_map is not None
    world.partition.zero_map.file.close()


class World:
    """What a host knows: the content, and for each block what it may be after a crash."""

    def __init__(self, partition: Partition) -> None:
        self.partition = partition
        self.content = bytearray(BLOCKS * 512)
        self.may_be: list[set[bytes]] = [{bytes(512)} for _ in range(BLOCKS)]

    def do(self, number: int, step: Step) -> None:
        kind, lba, blocks = step
        blocks = min(blocks, BLOCKS - lba)
        if kind == "flush":
            self.partition.settle()
            self.settled(0, BLOCKS)
            return
        data = bytes(blocks * 512) if kind == "zeroes" else bytes([number]) * (blocks * 512)
        self.content[lba * 512 : (lba + blocks) * 512] = data
        for block in range(lba, lba + blocks):
            # From the moment it is sent on, a write may have happened.
            self.may_be[block].add(bytes(self.content[block * 512 : block * 512 + 512]))
        if kind == "zeroes":
            self.partition.write_zeroes(lba, blocks)
        else:
            write(self.partition, lba, data, kind == "durable")
        if kind == "durable":
            self.settled(lba, blocks)

    def settled(self, lba: int, blocks: int) -> None:
        for block in range(lba, lba + blocks):
            self.may_be[block] = {bytes(self.content[block * 512 : block * 512 + 512])}

    def check(self, partition: Partition) -> None:
        content = read(partition)
        for block in range(BLOCKS):
            assert content[block * 512 : block * 512 + 512] in self.may_be[block], f"block {block}"


SCRIPT: list[Step] = [
    ("write", 0, 3),
    ("write", 7, 2),
    ("flush", 0, 1),
    ("write", 1, 1),
    ("durable", 24, 1),
    ("zeroes", 6, 6),
    ("write", 30, 10),
    ("flush", 0, 1),
    ("durable", 0, 1),
    ("durable", 16, 12),
    ("write", 39, 1),
]


@pytest.mark.parametrize("seed", range(6))
def test_wherever_the_power_goes_nothing_old_shows_and_nothing_flushed_is_lost(tmp_path: Path, seed: int) -> None:
    last = 0
    while crash_at(tmp_path / str(last), seed, last):
        last += 1
    assert last > 30  # or the steps were not counted


def crash_at(folder: Path, seed: int, last: int) -> bool:
    """Run the script till step `last`, crash, start again and check. False: it ran to its end."""
    luck = random.Random(seed * 1000 + last)
    steps = Steps()
    drives = [MemoryDrive(OLD * 64 * 512, steps) for _ in range(2)]
    file = CrashFile(folder, steps, luck)
    partition = zeroed(memory_array(drives, "raid0", 1024), file)
    world = World(partition)
    steps.last = steps.count + last

    def run() -> None:
        for number, step in enumerate(SCRIPT, 1):
            world.do(number, step)

    cut = until_cut(run)
    file.crash()
    world.check(restarted(folder, drives, luck))
    return cut


def restarted(folder: Path, drives: list[MemoryDrive], luck: random.Random) -> Partition:
    """Start again on what a crash left."""
    found = [MemoryDrive(drive.crash(luck)) for drive in drives]
    partition = zeroed(memory_array(found, "raid0", 1024), ZeroFile(folder, NAME))
    content = read(partition)
    assert OLD not in content
    assert partition.zero_map is not None
    partition.zero_map.file.close()
    return partition


def test_an_interrupted_resize_leaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The range grows from 10 to 40 blocks, and the power goes at every step of that."""
    last, cut = 0, True
    while cut:
        cut = resize_cut_at(tmp_path / str(last), last)
        last += 1
    assert last > 3


def resize_cut_at(folder: Path, last: int) -> bool:
    luck = random.Random(last)
    steps = Steps()
    drive = MemoryDrive(OLD * 64 * 512, steps)
    array = memory_array([drive])
    first_bytes = FIRST_LBA * 512

    def zero(at: int, length: int) -> None:
        array.write_zeroes(first_bytes + at, length)

    small = open_zero_map(CrashFile(folder, steps, luck), 10, zero, array.flush)
    small.claim(0, 10 * 512)
    array.write_from(memoryview(b"a" * 512 * 10), first_bytes)
    small.persist()
    small.file.close()
    steps.last = steps.count + last
    grown = CrashFile(folder, steps, luck)
    cut = until_cut(lambda: zeroed(array, grown))
    grown.crash()
    again = zeroed(memory_array([MemoryDrive(drive.crash(luck))]), ZeroFile(folder, NAME))
    assert read(again) == b"a" * 5120 + bytes((BLOCKS - 10) * 512)
    return cut
