"""Proved: what was prepared can be replayed from the drives that are left, and nothing else ever is."""

from dataclasses import replace

import pytest

from serverside.redundancy.guard import Change
from serverside.redundancy.journal import Journal
from serverside.redundancy.superblock import JOURNAL_AT_BYTES
from tests.serverside.redundancy.rig import Rig, faulty, patterned, rig


def journal(array: Rig) -> Journal:
    guard = array.machine.guard
    assert isinstance(guard, Journal)
    return guard


def changes(seed: int, *places: int, size: int = 512) -> list[Change]:
    return [Change(place, 1024, memoryview(patterned(size, seed * 10 + place))) for place in places]


def data(array: Rig, place: int) -> bytes:
    view = bytearray(512)
    array.members.read(place, 1024, memoryview(view))
    return bytes(view)


def again(array: Rig) -> Rig:
    """The next owner, with what the superblock tells."""
    return Rig(array.members.superblock, array.pool)


def test_what_was_prepared_is_replayed_in_its_order() -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 0, 1))
    journal(array).prepare(changes(2, 1, 2))
    assert data(array, 1) == bytes(512)  # nothing was written in place yet
    after = again(array)
    assert journal(after).recover() == 2
    assert [data(after, place) for place in range(4)] == [
        patterned(512, 10),
        patterned(512, 21),
        patterned(512, 22),
        bytes(512),
    ]
    assert journal(again(after)).recover() == 0


def test_records_are_durable_before_anything_else() -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 0, 1))
    for drive in array.pool:
        faulty(drive).cached[:] = faulty(drive).stable
    assert journal(again(array)).recover() == 1


@pytest.mark.parametrize("damaged", [0, 1])
def test_a_last_batch_that_lacks_a_record_is_left_alone_for_ever(damaged: int) -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 2, 3))
    journal(array).prepare(changes(2, 0, 1))
    at = JOURNAL_AT_BYTES + 600
    kept = bytes(faulty(array.pool[damaged]).cached[at : at + 8])
    array.pool[damaged].write_from(memoryview(b"torn....") , at)  # fmt: skip
    after = again(array)
    assert journal(after).recover() == 1
    assert data(after, 0) == data(after, 1) == bytes(512)
    # Should the record turn whole again, it is behind the tail.
    after.pool[damaged].write_from(memoryview(kept), at)
    assert journal(again(after)).recover() == 0
    journal(after).prepare(changes(3, 0))
    assert journal(again(after)).recover() == 1


def test_the_record_of_a_lost_drive_is_not_needed() -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 0, 1))
    array.members.put_out(0, "lost")
    after = again(array)
    assert journal(after).recover() == 1
    assert data(after, 1) == patterned(512, 11)


def test_a_drive_whose_journal_lost_an_earlier_record_is_put_out() -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 0, 1))
    journal(array).prepare(changes(2, 1, 2))
    array.pool[0].write_from(memoryview(b"torn...."), JOURNAL_AT_BYTES + 600)
    after = again(array)
    assert journal(after).recover() == 2
    assert after.members.lost() == {0}
    assert "its journal has lost record 1" in after.board.why(0)


def test_a_full_area_is_settled_and_filled_anew() -> None:
    array = rig("raid5", journal_bytes=4096)
    guard = journal(array)
    assert guard.fits(changes(1, 0, size=3584))
    assert not guard.fits(changes(1, 0, size=4096))
    for seed in range(1, 6):
        guard.prepare(changes(seed, 0, size=1024))
        for change in changes(seed, 0, size=1024):
            array.members.write(change.place, change.offset_bytes, change.data)
    assert array.members.superblock.journal_tail > 1
    after = again(array)
    assert journal(after).recover() == 5 - (array.members.superblock.journal_tail - 1)
    assert data(after, 0) == patterned(1024, 50)[:512]


def test_records_of_another_array_are_none() -> None:
    array = rig("raid5")
    journal(array).prepare(changes(1, 0, 1))
    stranger = Rig(replace(array.members.superblock, array=array.members.members[0].uuid), array.pool)
    assert journal(stranger).recover() == 0


def test_a_quiet_array_changes_nothing_at_a_start_or_a_settling() -> None:
    array = rig("raid5")
    array.machine.recover()
    array.machine.settle()
    assert array.members.superblock.events == 1


def test_a_record_that_would_go_outside_the_data_is_none() -> None:
    array = rig("raid5")
    end_bytes = array.members.superblock.data_bytes
    journal(array).prepare([Change(0, end_bytes - 512, memoryview(bytes(512)))])
    journal(array).prepare([Change(0, end_bytes - 256, memoryview(bytes(512)))])
    assert list(journal(again(array)).read_area(0)) == [1]
