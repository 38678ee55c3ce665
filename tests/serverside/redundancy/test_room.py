"""Proved: a full file system below the drives is a request's error, begun nowhere, and never the loss of a drive."""

import time
from errno import ENOSPC

import pytest

from serverside.drives.base import DriveError
from serverside.redundancy import machine, room
from serverside.redundancy.guard import Change
from serverside.redundancy.superblock import State
from tests.serverside.redundancy.rig import BLOCK, STRIPE_BYTES, FaultyDrive, Rig, patterned, superblock

CHUNK = 2 * STRIPE_BYTES
LEVELS = [("raid5", 3), ("raid10", 4)]


class FileSystem:
    """So much can still be taken up, by whatever drive."""

    def __init__(self, free_blocks: int) -> None:
        self.free_blocks = free_blocks


class ThinDrive(FaultyDrive):
    """A drive whose blocks take up space when they are first written to, or asked for."""

    def __init__(self, content: bytes, below: FileSystem) -> None:
        super().__init__(content)
        self.below = below
        self.taken: set[int] = set()

    def make_room(self, offset_bytes: int, length_bytes: int) -> None:
        wanted = set(range(offset_bytes // BLOCK, (offset_bytes + length_bytes) // BLOCK)) - self.taken
        if len(wanted) > self.below.free_blocks:
            raise DriveError(ENOSPC, f"drive {self.name} has no room to write")
        self.below.free_blocks -= len(wanted)
        self.taken |= wanted

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        self.make_room(offset_bytes, len(view))
        super().write_from(view, offset_bytes, durable)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
        FaultyDrive.write_from(self, memoryview(bytes(length_bytes)), offset_bytes)
        given_back = self.taken & set(range(offset_bytes // BLOCK, (offset_bytes + length_bytes) // BLOCK))
        self.taken -= given_back
        self.below.free_blocks += len(given_back)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "CHUNK_BYTES", CHUNK)
    monkeypatch.setattr(machine, "ZERO_BYTES_MIN", 1)


def thin(level: str, places: int, data_blocks: int, *, spares: int = 0) -> tuple[Rig, FileSystem]:
    """An array on one file system that has room for all heads, and `data_blocks` more."""
    block = superblock(level, places, 8)
    heads = (places + spares) * block.data_offset_bytes // BLOCK
    below = FileSystem(heads + data_blocks)
    size = block.data_offset_bytes + block.data_bytes
    array = Rig(block, [ThinDrive(bytes(size), below) for _ in range(places + spares)])
    array.machine.recover()
    return array, below


def refused(array: Rig, offset_bytes: int, data: bytes) -> None:
    with pytest.raises(DriveError, match="has no room to write") as caught:
        array.write(offset_bytes, data)
    assert caught.value.errno == ENOSPC


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_where_there_is_no_room_nothing_is_begun_and_nobody_is_put_out(level: str, places: int) -> None:
    array, below = thin(level, places, 3 * CHUNK // BLOCK)
    first, last = patterned(BLOCK, 1), array.layout.capacity_bytes - BLOCK
    array.write(0, first)
    events = array.members.superblock.events
    refused(array, array.layout.capacity_bytes - 5 * STRIPE_BYTES, patterned(5 * STRIPE_BYTES, 2))
    assert array.read(last, BLOCK) == bytes(BLOCK)
    assert array.members.superblock.events == events
    assert array.members.lost() == frozenset()
    array.write(0, first[::-1])  # where there is room already
    assert array.read(0, BLOCK) == first[::-1]
    below.free_blocks = 10**6
    array.write(last, first)
    assert array.read(last, BLOCK) == first
    assert array.scrub() == 0


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_the_last_room_is_used_though_no_chunk_fits_any_more(level: str, places: int) -> None:
    array, below = thin(level, places, 2)
    array.write(0, patterned(BLOCK, 1))
    assert below.free_blocks == 0
    assert array.read(0, BLOCK) == patterned(BLOCK, 1)
    array.write(0, patterned(BLOCK, 2))
    refused(array, BLOCK, patterned(BLOCK, 3))


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_room_that_zeroing_has_given_back_is_asked_for_again(level: str, places: int) -> None:
    array, below = thin(level, places, 10**4)
    content = patterned(array.layout.capacity_bytes, 1)
    array.write(0, content)
    array.machine.write_zeroes(0, len(content))
    below.free_blocks = 0
    refused(array, 0, content)
    assert array.read() == bytes(len(content))
    assert array.members.lost() == frozenset()


def test_a_rebuild_waits_for_room_and_says_so() -> None:
    array, below = thin("raid5", 3, 10**4, spares=1)
    content = patterned(array.layout.capacity_bytes, 1)
    array.write(0, content)
    array.machine.room.make(3, 0, BLOCK)
    below.free_blocks = 4
    array.members.put_out(0, "test")
    array.tend_all()
    assert array.members.members[0].state == State.REBUILDING
    assert "held up at row 0 of 8: drive memory has no room to write" in array.board.why(0)
    assert array.read() == content
    below.free_blocks = 10**4
    array.tend_all()
    assert array.members.members[0].state == State.REBUILDING  # a minute is not over
    array.members.clock_ns = lambda: time.monotonic_ns() + 61 * 10**9
    array.mending.tend()
    assert array.board.why(0) == ""
    array.tend_all()
    assert array.members.lost() == frozenset()
    assert array.scrub() == 0


def test_a_spare_without_room_for_its_head_is_kept_and_tried_again() -> None:
    array, below = thin("raid5", 3, 10**4, spares=1)
    below.free_blocks = 0
    array.members.put_out(0, "test")
    array.tend_all()
    assert array.members.members[0].state == State.OUT
    assert array.board.why(0) == "test"
    assert array.said[-1].startswith("array unit0: place 0 can't be rebuilt: drive memory has no room")
    below.free_blocks = 10**6
    array.mending.try_again()
    array.tend_all()
    assert array.members.lost() == frozenset()


def test_a_group_that_can_not_be_mended_for_want_of_room_does_not_end_the_scrub() -> None:
    array, below = thin("raid5", 3, 10**4)
    array.members.write(0, 0, memoryview(patterned(BLOCK, 1)))  # beside what the array knows of
    below.free_blocks = 0
    assert array.scrub() == 1
    assert any("a group that does not agree stays so" in said for said in array.said)
    assert array.members.lost() == frozenset()


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_what_can_not_be_mended_for_want_of_room_waits_for_the_next_start(level: str, places: int) -> None:
    """After a power failure the file system may not know of the room that was made."""
    array, below = thin(level, places, 10**4)
    change = Change(0, 0, memoryview(patterned(BLOCK, 1)))
    array.machine.guard.prepare([change])
    if level == "raid10":
        array.members.write(0, 0, change.data)
    below.free_blocks = 0
    block = array.members.superblock
    again = Rig(block, array.pool)
    again.members.is_open = False
    with pytest.raises(DriveError, match="has no room to write"):
        again.machine.recover()
    assert again.members.superblock == block
    assert again.members.lost() == frozenset()
    below.free_blocks = 10**4
    last = Rig(block, array.pool)
    last.machine.recover()
    assert last.members.lost() == frozenset()
    assert last.read(0, BLOCK) == change.data
