"""Proved: an array with redundancy reads directly where it may, asks for its owner where not, and never reads stale.

Over real files: made, found again in any order, begun without a drive, and stopped with a reason.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from uuid import UUID

import pytest

from protocol.ops import Op
from serverside.arrays.base import OwnerNeeded
from serverside.arrays.open import LAYOUTS
from serverside.arrays.redundant import Redundant
from serverside.driver.packets import PUT_OUT, SCRUB
from serverside.drives.base import Drive, DriveError
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.errors import SettingsError
from serverside.partitions.partition import Partition
from serverside.redundancy.guard import Change
from serverside.redundancy.head import read_label
from serverside.redundancy.journal import Journal
from serverside.redundancy.superblock import NO_PLACE
from serverside.settings import ArraySettings, DriveSettings, PartitionSettings
from tests.serverside.redundancy.rig import patterned

MIB = 1 << 20
SIZE = 2 * MIB

Open = Callable[..., Redundant]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open an array over files; each call is another start, of another machine."""
    live: list[Drive] = []
    numbers = count(1)

    def close_all() -> None:
        while live:
            live.pop().close()

    def open_one(level: str, names: Sequence[str], spares: Sequence[str] = (), *, force: bool = False) -> Redundant:
        close_all()
        paths = [DriveSettings(tmp_path / name, SIZE) for name in names]
        extra = [DriveSettings(tmp_path / name, SIZE) for name in spares]
        health = DriveHealth(len(paths) + len(extra))
        absent = []
        for index, drive in enumerate([*paths, *extra]):
            if drive.path.name.startswith("gone"):
                absent.append(f"drive {drive.path} can't be opened")
            else:
                live.append(open_drive(drive, health, index))
        settings = ArraySettings("unit0", level, tuple(paths), tuple(extra), 4096)
        uuid = lambda: UUID(int=next(numbers))  # noqa: E731 a name for it would say no more
        return Redundant(settings, list(live), LAYOUTS[level], absent, force=force, new_uuid=uuid)

    yield open_one
    close_all()


def written(array: Redundant, seed: int = 1) -> bytes:
    content = patterned(array.capacity_bytes, seed)
    array.write_from(memoryview(content), 0)
    return content


def content_of(array: Redundant) -> bytes:
    content = bytearray(array.capacity_bytes)
    array.read_into(memoryview(content), 0)
    return bytes(content)


@pytest.mark.parametrize(
    ("level", "drives", "data"), [("raid5", 3, 2), ("raid5", 5, 4), ("raid10", 2, 1), ("raid10", 4, 2)]
)
def test_an_array_is_made_released_and_found_again(opened: Open, level: str, drives: int, data: int) -> None:
    names = [f"d{number}" for number in range(drives)]
    array = opened(level, names)
    assert array.capacity_bytes == data * (SIZE - MIB)
    assert array.tend() is False  # new files are zero everywhere: nothing to rebuild
    content = written(array)
    assert content_of(array) == content
    array.release()
    assert content_of(array) == content  # now read directly
    again = opened(level, names[::-1])
    assert content_of_owner(again) == content
    assert again.board.totals.get("replayed") == 0


def content_of_owner(array: Redundant) -> bytes:
    array.own()
    return content_of(array)


def other_process(array: Redundant) -> Redundant:
    """The same array as an SRW has it: it shares the board, and owns nothing."""
    twin = Redundant.__new__(Redundant)
    twin.__dict__.update(array.__dict__)
    twin._machine = twin._mending = None
    return twin


def reads(array: Redundant) -> bytes | None:
    try:
        return content_of(array)
    except OwnerNeeded:
        return None


def test_what_is_out_needs_the_owner_and_the_rest_is_read_directly(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    content = written(array)
    srw = other_process(array)
    assert reads(srw) == content
    assert array._mending is not None
    array._mending.members.put_out(1, "test")
    assert reads(srw) is None
    block = bytearray(4096)
    srw.read_into(memoryview(block), 0)  # on place 0
    assert block == content[:4096]
    assert content_of(array) == content


def test_nothing_is_read_directly_before_an_owner_has_mended_what_a_crash_left(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    content = written(array)
    assert array._machine is not None
    change = Change(0, 0, memoryview(b"j" * 4096))  # acknowledged, and in the journal alone when the power went
    array._machine.guard.prepare([change])
    again = opened("raid5", ["d2", "d1", "d0"])
    assert [drive["state"] for drive in again.describe_drives()] == ["good", "good", "good"]
    mended = Journal.recover
    seen = []

    def look(journal: Journal) -> int:
        seen.append(reads(other_process(again)))
        return mended(journal)

    monkeypatch.setattr(Journal, "recover", look)
    assert reads(other_process(again)) is None
    again.own()
    array = other_process(again)
    array.own()  # the next owner, while others read
    assert seen == [None, None]
    assert reads(other_process(again)) == b"j" * 4096 + content[4096:]


def test_a_mirror_is_read_directly_from_the_copy_that_is_left(opened: Open) -> None:
    array = opened("raid10", ["d0", "d1", "d2", "d3"])
    content = written(array)
    srw = other_process(array)
    assert array._mending is not None
    array._mending.members.put_out(0, "test")
    array._mending.members.put_out(3, "test")
    assert reads(srw) == content


def test_a_read_beside_which_a_place_was_put_out_counts_for_nothing(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    content = written(array)
    srw = other_process(array)
    drive, mending = array.drives[0], array._mending
    assert mending is not None
    plain = drive.read_into

    def meanwhile(view: memoryview, offset_bytes: int) -> None:
        plain(view, offset_bytes)
        monkeypatch.undo()
        mending.members.put_out(0, "a write to it failed")
        array.write_from(memoryview(b"n" * 4096), 0)  # acknowledged, and place 0 has missed it

    monkeypatch.setattr(drive, "read_into", meanwhile)
    with pytest.raises(OwnerNeeded):
        srw.read_into(memoryview(bytearray(4096)), 0)
    assert content_of(array) == b"n" * 4096 + content[4096:]


def test_a_drive_that_came_later_is_not_inherited(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"], ["spare"])
    content = written(array)
    srw = other_process(array)
    srw.drives = array.drives[:3]
    array.obey(PUT_OUT, 0)
    while array.tend():
        pass
    assert array.board.readable(0) == 3
    assert reads(srw) is None
    assert reads(other_process(array)) == content


def test_a_blank_drive_is_a_spare_from_then_on(opened: Open) -> None:
    opened("raid5", ["d0", "d1", "d2"]).release()
    array = opened("raid5", ["d0", "d1", "d2"], ["later"])
    assert read_label(array.drives[3]) is None
    array.own()
    label = read_label(array.drives[3])
    assert label is not None
    assert label.place == NO_PLACE
    array.obey(PUT_OUT, 2)
    while array.tend():
        pass
    swapped = opened("raid5", ["later", "d0", "d1"], ["d2"])  # known by its label, whatever line of nsu.conf names it
    swapped.own()
    assert [drive["name"].rpartition("/")[2] for drive in swapped.describe_drives()] == ["d0", "d1", "later", "d2"]
    assert [drive["state"] for drive in swapped.describe_drives()][:3] == ["good"] * 3


def test_everything_but_reading_needs_the_owner(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    assert not array.needs_owner(Op.READ)
    assert all(array.needs_owner(op) for op in (Op.WRITE, Op.FLUSH, Op.TRIM, Op.WRITE_ZEROES))


def test_a_start_without_a_drive_is_degraded_and_its_return_is_told(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    written(array)
    array.release()
    without = opened("raid5", ["d0", "gone", "d2"])
    content = written(without, 2)
    without.release()
    assert [drive["state"] for drive in without.describe_drives()] == ["good", "out", "good"]
    assert "can't be opened" in without.describe_drives()[1]["why_out"]
    back = opened("raid5", ["d0", "d1", "d2"])
    assert content_of_owner(back) == content
    states = [(drive["name"][-2:], drive["state"]) for drive in back.describe_drives()]
    assert states == [("d0", "good"), ("e)", "out"), ("d2", "good"), ("d1", "spare or not used")]


def test_two_drives_gone_are_refused_with_nothing_changed(opened: Open) -> None:
    opened("raid5", ["d0", "d1", "d2"]).release()
    with pytest.raises(SettingsError, match=r"does not survive the loss of places 0, 1.*gone1 can't be opened"):
        opened("raid5", ["gone1", "gone2", "d2"])
    assert content_of_owner(opened("raid5", ["d0", "d1", "d2"])) == bytes(2 * MIB)


def test_content_is_kept_without_force(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "d1").write_bytes(b"precious" + bytes(SIZE - 8))
    with pytest.raises(SettingsError, match="d1: not blank"):
        opened("raid5", ["d0", "d1", "d2"])
    assert (tmp_path / "d1").read_bytes() == b"precious" + bytes(SIZE - 8)
    forced = opened("raid5", ["d0", "d1", "d2"], force=True)
    forced.own()
    while forced.tend():
        pass
    forced.obey(SCRUB, 0)
    while forced.tend():
        pass
    assert forced.describe()["redundancy"]["mismatches"] == 0


def test_what_cannot_be_owned_answers_with_its_reason(opened: Open) -> None:
    array = opened("raid10", ["d0", "d1"])
    for drive in array.drives:
        drive.health.fail(drive.index, 5)
    array.own()
    with pytest.raises(DriveError, match="none of its drives is there"):
        array.write_from(memoryview(bytes(512)), 0)
    with pytest.raises(DriveError):
        array.read_into(memoryview(bytearray(512)), 0)


def test_many_writes_at_once_are_one_batch(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    array.own()
    assert array._machine is not None
    before = array._machine.guard.next_sequence  # type: ignore[attr-defined]
    array.write_many([(at, memoryview(bytes(512))) for at in range(0, 8192, 512)], durable=True)
    assert array._machine.guard.next_sequence == before + 1  # type: ignore[attr-defined]


def test_a_quiet_array_settles(opened: Open) -> None:
    array = opened("raid10", ["d0", "d1"])
    written(array)
    assert array._mending is not None
    assert array._mending.members.superblock.regions
    for _ in range(5):
        array.rest()
    assert not array._mending.members.superblock.regions


def test_data_lies_where_the_extents_say(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    content = written(array)
    at = 0
    for place, offset_bytes, length_bytes in array.extents(0, array.capacity_bytes):
        piece = bytearray(length_bytes)
        array.drives[place].read_into(memoryview(piece), offset_bytes)
        assert piece == content[at : at + length_bytes]
        at += length_bytes


@pytest.mark.parametrize(("level", "drives"), [("raid5", 3), ("raid10", 4)])
def test_trim_is_a_hint_that_leaves_every_group_as_it_was(opened: Open, level: str, drives: int) -> None:
    array = opened(level, [f"d{number}" for number in range(drives)])
    content = written(array)
    array.trim(0, array.capacity_bytes)
    array.trim(512, 8192)
    assert content_of(array) == content
    array.obey(SCRUB, 0)
    while array.tend():
        pass
    assert array.describe()["redundancy"]["mismatches"] == 0


def test_zeroing_gives_the_space_of_whole_rows_back(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serverside.redundancy.machine.ZERO_BYTES_MIN", 65536)
    array = opened("raid5", ["d0", "d1", "d2"])
    written(array)
    array.flush()
    taken = sum((tmp_path / name).stat().st_blocks for name in ("d0", "d1", "d2"))
    array.write_zeroes(0, array.capacity_bytes)
    assert content_of(array) == bytes(array.capacity_bytes)
    assert sum((tmp_path / name).stat().st_blocks for name in ("d0", "d1", "d2")) <= taken - 3 * (SIZE - MIB) // 512


def test_a_direct_read_leaves_a_mark_for_the_owner(opened: Open) -> None:
    array = opened("raid5", ["d0", "d1", "d2"])
    written(array)
    array.was_read()
    assert reads(other_process(array)) is not None
    assert array.was_read()
    assert not array.was_read()


def test_a_mirror_of_which_one_drive_is_left_is_not_that_drive(opened: Open) -> None:
    """A partition goes straight to an array's only drive. Here that would read, and write, the superblock."""
    array = opened("raid10", ["d0", "d1"])
    array.own()
    content = written(array)
    array.release()
    array = opened("raid10", ["d0", "gone"])
    assert len(array.drives) == 1
    blocks = array.capacity_blocks
    partition = Partition(array, PartitionSettings("p", "unit0", 0, blocks - 1), None, 1, UUID(int=9))
    assert partition.needs_owner(Op.WRITE, 0, 8, False)
    with pytest.raises(OwnerNeeded):
        partition.read_into(memoryview(bytearray(4096)), 0)
    array.own()
    found = bytearray(len(content))
    partition.read_into(memoryview(found), 0)
    assert found == content
