"""Proved: changes are on every drive before they count, failures and missing drives included."""

import pytest

from serverside.drives.base import DriveError
from serverside.redundancy.head import read_label
from serverside.redundancy.members import Spare
from serverside.redundancy.superblock import NO_PLACE, Label, State
from tests.serverside.redundancy.rig import Rig, faulty, rig


def label(array: Rig, drive: int) -> Label:
    found = read_label(array.pool[drive])
    assert found is not None
    return found


def test_a_change_is_on_every_drive_and_on_stable_storage() -> None:
    array = rig("raid5")
    array.members.save(journal_tail=9)
    for place, drive in enumerate(array.pool):
        stable = faulty(drive).stable
        faulty(drive).cached[:] = stable
        assert label(array, place) == Label(array.members.superblock, array.members.members[place].uuid, place)
    assert array.members.superblock.events == 2


def test_a_drive_that_cannot_take_a_change_is_put_out_after_all_others_have_it() -> None:
    array = rig("raid5", 5)
    faulty(array.pool[1]).dead = True
    array.members.save(journal_tail=9)
    assert array.members.members[1].state == State.OUT
    for place in (0, 2, 3, 4):
        found = label(array, place).superblock
        assert (found.events, found.journal_tail, found.members[1].state) == (3, 9, State.OUT)


def test_a_sync_that_fails_puts_out() -> None:
    array = rig("raid10")
    faulty(array.pool[3]).dead = True
    array.members.flush()
    assert array.members.lost() == {3}
    assert array.members.present() == [0, 1, 2]


def test_two_drives_of_a_pair_end_it() -> None:
    array = rig("raid10")
    array.members.put_out(2, "first")
    faulty(array.pool[3]).dead = True
    with pytest.raises(DriveError, match=r"raid10 does not survive the loss of place 3 .* with these out already: 2"):
        array.members.flush()
    assert array.board.totals.get("stopped") == 1
    with pytest.raises(DriveError, match="has stopped"):
        array.members.save()


def test_starting_without_a_drive_counts_two_events() -> None:
    array = rig("raid5")
    array.members.begin_without({2: "it is not there"})
    assert label(array, 0).superblock.events == 3
    assert label(array, 0).superblock.members[2].state == State.OUT
    assert array.board.why(2) == "it is not there"
    array.members.begin_without({})
    assert array.members.superblock.events == 3


def test_only_what_was_synced_of_a_rebuild_is_remembered() -> None:
    array = rig("raid5", rebuilding={1: 0})
    array.members.advance(1, 4)
    array.members.save()
    assert label(array, 0).superblock.members[1].rows_done == 0
    assert array.members.holds(1, 3)
    assert not array.members.holds(1, 4)
    array.members.save_rebuild(1)
    assert label(array, 0).superblock.members[1].rows_done == 4
    array.members.advance(1, array.layout.rows)
    array.members.save_rebuild(1)
    assert label(array, 0).superblock.members[1].state == State.IN
    assert array.board.readable(1) == 1


def test_a_rebuilt_drive_is_readable_only_when_all_remember_it() -> None:
    array = rig("raid5", rebuilding={1: 0})
    array.members.advance(1, array.layout.rows)
    faulty(array.pool[1]).dead = True
    array.members.save_rebuild(1)
    assert array.board.readable(1) is None
    assert array.members.members[1].state == State.OUT


def test_a_rebuilt_drive_is_not_readable_while_somebody_does_not_remember_it(monkeypatch: pytest.MonkeyPatch) -> None:
    array = rig("raid5", rebuilding={1: 0})
    array.members.advance(1, array.layout.rows)
    last = array.pool[3]
    plain, seen = last.write_from, []

    def look(view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        seen.append(array.board.readable(1))
        plain(view, offset_bytes, durable)

    monkeypatch.setattr(last, "write_from", look)
    array.members.save_rebuild(1)
    assert seen == [None]
    assert array.board.readable(1) == 1


def test_the_times_of_each_drive_are_told_and_begin_anew_with_another() -> None:
    array = rig("raid5", spares=1)
    now = iter(range(0, 10**9, 3_000_000))
    array.members.clock_ns = lambda: next(now)
    array.members.read(1, 0, memoryview(bytearray(512)))
    array.members.write(1, 0, memoryview(bytes(512)))
    array.members.flush([1])
    row = array.board.rows[1]
    assert (row.get("operations"), row.get("busy_us"), row.get("slowest_us")) == (3, 9000, 3000)
    array.members.put_out(1, "test")
    array.members.begin_rebuild(1, array.members.spares.pop())
    assert (row.get("operations"), row.get("busy_us"), row.get("slowest_us")) == (0, 0, 0)


def test_a_spare_gets_a_label_and_then_a_place() -> None:
    array = rig("raid5", spares=2)
    faulty(array.pool[5]).dead = True
    array.members.label_spares()
    assert [spare.drive for spare in array.members.spares] == [4]
    assert label(array, 4).place == NO_PLACE
    array.members.put_out(0, "test")
    array.members.begin_rebuild(0, Spare(4, label(array, 4).drive))
    assert label(array, 4).place == 0
    assert label(array, 1).superblock.members[0].drive == label(array, 4).drive
