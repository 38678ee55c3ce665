"""Proved: the owner does each operation on the right partition, and errors come back as number and sentence."""

from pathlib import Path
from uuid import UUID

import pytest

from protocol.ops import Op
from serverside.driver.driver import BATCH_MOST, ServerDriver, runs_of
from serverside.driver.packets import MARK, Command
from serverside.partitions.partition import Partition
from serverside.partitions.zero_file import ZeroFile
from serverside.partitions.zero_map import open_zero_map
from serverside.settings import PartitionSettings
from tests.serverside.faults import MemoryDrive, memory_array

NAME = UUID(int=77)
OLD = b"\xee"


class Owner:
    """A driver over one drive with a ZERO partition (index 4) and a plain one (index 6)."""

    def __init__(self, folder: Path) -> None:
        self.drive = MemoryDrive(OLD * 64 * 512)
        array = memory_array([self.drive])
        self.zero_map = open_zero_map(ZeroFile(folder, NAME), 32, array.write_zeroes, array.flush)
        self.zero = Partition(array, PartitionSettings("a", "unit0", 0, 31, zero=True), self.zero_map, 1, NAME)
        plain = Partition(array, PartitionSettings("b", "unit0", 32, 63), None, 1, UUID(int=78))
        self.driver = ServerDriver(array, {4: self.zero, 6: plain})

    def do(self, op: int, partition: int, lba: int, data: bytes | int = 0, *, durable: bool = False) -> bytes:
        buffer = bytearray(data if isinstance(data, bytes) else data * 512)
        command = Command(1, 0, op, durable, partition, lba, len(buffer) // 512)
        assert self.driver.execute(command, memoryview(buffer)) == (0, "")
        return bytes(buffer)

    def after_a_crash(self) -> bytes:
        """What the ZERO partition reads as when nothing but stable storage is left."""
        array = memory_array([MemoryDrive(bytes(self.drive.stable))])
        again = open_zero_map(ZeroFile(self.zero_map.file.path.parent, NAME), 32, array.write_zeroes, array.flush)
        content = bytearray(32 * 512)
        Partition(array, self.zero.settings, again, 1, NAME).read_into(memoryview(content), 0)
        again.file.close()
        return bytes(content)


@pytest.fixture
def owner(tmp_path: Path) -> Owner:
    return Owner(tmp_path)


def test_writes_and_reads_find_their_partition(owner: Owner) -> None:
    owner.do(Op.WRITE, 4, 1, b"z" * 512)
    owner.do(Op.WRITE, 6, 1, b"p" * 512)
    assert owner.do(Op.READ, 4, 0, 3) == bytes(512) + b"z" * 512 + bytes(512)
    assert owner.do(Op.READ, 6, 0, 3) == OLD * 512 + b"p" * 512 + OLD * 512
    assert owner.drive.cached[:1024] == bytes(512) + b"z" * 512


def test_operations_without_payload(owner: Owner) -> None:
    owner.do(Op.WRITE, 6, 0, b"p" * 512)
    owner.do(Op.WRITE_ZEROES, 6, 0, 1)
    owner.do(Op.TRIM, 6, 1, 1)
    assert owner.do(Op.READ, 6, 0, 2) == bytes(512) + b"\xdd" * 512


def test_a_plain_first_write_is_zeros_after_a_crash_until_a_flush(owner: Owner) -> None:
    owner.do(Op.WRITE, 4, 0, b"z" * 512)
    assert owner.after_a_crash() == bytes(32 * 512)
    owner.do(Op.FLUSH, 4, 0)
    assert not owner.zero_map.dirty
    assert owner.after_a_crash() == b"z" * 512 + bytes(31 * 512)


def test_a_durable_first_write_outlives_a_crash(owner: Owner) -> None:
    owner.do(Op.WRITE, 4, 0, b"z" * 512, durable=True)
    assert owner.after_a_crash() == b"z" * 512 + bytes(31 * 512)


def test_settling_makes_all_durable(owner: Owner) -> None:
    owner.do(Op.WRITE, 4, 0, b"z" * 512)
    owner.do(Op.WRITE, 6, 0, b"p" * 512)
    owner.driver.settle()
    assert owner.after_a_crash()[:512] == b"z" * 512
    assert owner.drive.stable[32 * 512 : 33 * 512] == b"p" * 512


def test_a_failed_drive_comes_back_as_eio_and_a_sentence(owner: Owner) -> None:
    owner.drive.health.fail(0, 5)
    status, sentence = owner.driver.execute(Command(1, 0, Op.FLUSH, False, 4, 0, 0), memoryview(b""))
    assert status == 5
    assert sentence.startswith("drive memory has failed")


def test_an_unknown_partition_is_stale(owner: Owner) -> None:
    status, sentence = owner.driver.execute(Command(1, 0, Op.FLUSH, False, 5, 0, 0), memoryview(b""))
    assert (status, "changed or removed" in sentence) == (116, True)


def write(lba: int, partition: int = 6) -> Command:
    return Command(1, 0, Op.WRITE, False, partition, lba, 1)


def test_writes_that_follow_one_another_are_one_run() -> None:
    read, mark = Command(1, 0, Op.READ, False, 6, 0, 1), Command(1, 0, MARK, False, 0, 0, 0)
    commands = [write(0), write(1), read, read, write(2), mark, write(3), write(4), write(5)]
    assert [len(run) for run in runs_of(commands)] == [2, 1, 1, 1, 1, 3]
    assert [each for run in runs_of(commands) for each in run] == commands
    assert [len(run) for run in runs_of([write(0)] * (BATCH_MOST + 1))] == [BATCH_MOST, 1]
    assert list(runs_of([])) == []


def test_a_run_is_done_in_its_order_and_each_gets_its_answer(owner: Owner) -> None:
    blocks = [memoryview(bytes([n]) * 512) for n in range(3)]
    run = [(write(lba), block) for lba, block in zip((0, 1, 0), blocks, strict=True)]
    assert owner.driver.execute_run(run) == [(0, "")] * 3
    assert owner.do(Op.READ, 6, 0, 2) == bytes([2]) * 512 + bytes([1]) * 512
    zeroed = [(write(lba, 4), blocks[1]) for lba in (0, 5)]
    assert owner.driver.execute_run(zeroed) == [(0, "")] * 2
    assert owner.do(Op.READ, 4, 4, 2) == bytes(512) + bytes([1]) * 512


def test_of_a_run_that_fails_each_gets_its_own_answer(owner: Owner) -> None:
    answers = owner.driver.execute_run([(write(0), memoryview(bytes(512))), (write(0, 5), memoryview(bytes(512)))])
    assert [status for status, _ in answers] == [0, 116]


def test_a_mark_is_done_at_once(owner: Owner) -> None:
    assert owner.driver.execute(Command(1, 0, MARK, False, 0, 0, 0), memoryview(b"")) == (0, "")
