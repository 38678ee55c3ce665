"""Proved: rebuild and scrub come to their end in bounded steps, beside writes, after restarts, and over bad blocks."""

from dataclasses import replace

import pytest

from serverside.redundancy import mending
from serverside.redundancy.guard import Change
from serverside.redundancy.journal import Journal
from serverside.redundancy.superblock import State
from tests.serverside.redundancy.rig import STRIPE_BYTES, Rig, faulty, patterned, rig

LEVELS = [("raid5", 4), ("raid10", 4), ("raid10", 2)]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "STEP_BYTES", STRIPE_BYTES)
    monkeypatch.setattr(mending, "SAVE_BYTES", 3 * STRIPE_BYTES)


def filled(level: str, places: int, spares: int = 0) -> tuple[Rig, bytes]:
    array = rig(level, places, rows=10, spares=spares)
    content = patterned(array.layout.capacity_bytes, 7)
    array.write(0, content)
    return array, content


def next_owner(array: Rig) -> Rig:
    """Another owner, over the same drives at their places, with what is remembered."""
    pool = [array.pool[member.drive or 0] for member in array.members.members]
    after = Rig(array.members.superblock, pool)
    after.machine.recover()
    return after


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_a_spare_takes_the_place_and_gets_its_data(level: str, places: int) -> None:
    for place in range(places):
        array, content = filled(level, places, spares=1)
        array.members.put_out(place, "test")
        assert array.mending.tend()
        assert array.members.members[place].state == State.REBUILDING
        assert array.members.members[place].drive == places
        array.tend_all()
        assert array.members.lost() == frozenset()
        assert array.board.readable(place) == places
        assert array.scrub() == 0
        array.members.put_out(
            array.layout.group(0).places[-1 if place != array.layout.group(0).places[-1] else 0], "test"
        )
        assert array.read() == content


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_writes_go_on_beside_a_rebuild(level: str, places: int) -> None:
    array, content = filled(level, places, spares=1)
    model = bytearray(content)
    array.members.put_out(0, "test")
    seed = 0
    while array.mending.tend():
        seed += 1
        at = seed * 1536 % (len(model) - 2048) // 512 * 512
        model[at : at + 2048] = patterned(2048, seed)
        array.write(at, bytes(model[at : at + 2048]))
        assert array.read() == model
    assert seed > 5
    assert array.scrub() == 0


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_a_rebuild_goes_on_where_it_was(level: str, places: int) -> None:
    array, content = filled(level, places, spares=1)
    array.members.put_out(1, "test")
    for _ in range(5):
        array.mending.tend()
    assert array.members.members[1].rows_done == 5
    after = next_owner(array)
    assert after.members.members[1].rows_done == 3  # what was synced
    after.tend_all()
    assert after.members.lost() == frozenset()
    assert after.scrub() == 0
    assert after.read() == content


def test_a_rebuild_never_calls_good_what_it_could_not_read() -> None:
    array, content = filled("raid5", 4, spares=1)
    faulty(array.pool[2]).bad = {(array.members.superblock.data_offset_bytes + 4 * STRIPE_BYTES) // 512}
    array.members.put_out(0, "test")
    array.tend_all()
    assert array.members.members[0].state == State.REBUILDING
    assert array.members.members[0].rows_done == 4
    assert "held up at row 4 of 10" in (array.mending.held_up or "")
    assert array.read(0, 4 * 3072) == content[: 4 * 3072]
    array.write(4 * 3072, content[4 * 3072 : 5 * 3072])  # whoever writes the group anew mends it
    array.mending.try_again()
    array.tend_all()
    assert array.members.lost() == frozenset()
    assert array.read() == content
    assert array.scrub() == 0


def test_a_spare_that_fails_is_put_out_and_the_next_one_taken() -> None:
    array, content = filled("raid5", 4, spares=3)
    faulty(array.pool[4]).dead = True
    array.members.put_out(2, "test")
    array.mending.tend()
    array.mending.tend()
    faulty(array.pool[5]).dead = True
    array.tend_all()
    assert array.members.members[2].drive == 6
    assert array.members.lost() == frozenset()
    assert array.read() == content


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_scrub_finds_each_group_that_does_not_agree_and_mends_it(level: str, places: int) -> None:
    array, content = filled(level, places)
    assert array.scrub() == 0
    last = array.layout.groups - 1
    for index in (0, last):
        group = array.layout.group(index)
        array.members.write(group.places[-1], group.row * STRIPE_BYTES + 512, memoryview(b"x" * 512))
    assert array.scrub() == 2
    assert array.read() == content
    assert array.scrub() == 0
    assert array.board.totals.get("scrubs") == 3


def test_scrub_repairs_bad_blocks_and_goes_on_after_a_restart() -> None:
    array, content = filled("raid5", 4)
    bad = {(array.members.superblock.data_offset_bytes + row * STRIPE_BYTES) // 512 for row in (1, 8)}
    faulty(array.pool[2]).bad = set(bad)
    array.mending.begin_scrub()
    for _ in range(4):
        array.mending.tend()
    assert array.members.superblock.scrub_row == 4
    assert len(faulty(array.pool[2]).bad) == 1
    after = next_owner(array)
    after.tend_all()
    assert faulty(array.pool[2]).bad == set()
    assert after.members.superblock.scrub_row == 0
    assert after.read() == content


def test_records_of_before_are_not_asked_of_a_new_member() -> None:
    array, content = filled("raid5", 4, spares=1)
    array.members.put_out(1, "test")
    guard = array.machine.guard
    assert isinstance(guard, Journal)
    assert array.members.superblock.journal_tail < guard.next_sequence
    array.mending.tend()
    assert array.members.superblock.journal_tail == guard.next_sequence
    after = next_owner(array)
    assert after.said == []
    assert after.members.members[1].state == State.REBUILDING
    assert after.read() == content


def test_a_new_member_keeps_nothing_of_an_earlier_life() -> None:
    array, content = filled("raid5", 4)
    left = array.pool[1]
    # It was used apart from the others, and its journal has records that they know nothing of.
    apart = Rig(replace(array.members.superblock, journal_tail=1000), array.pool)
    apart.machine.guard.prepare([Change(1, 0, memoryview(patterned(512, 3)))])
    array.members.put_out(1, "test")
    array.write(0, content[::-1])
    array.machine.settle()
    members = list(array.members.superblock.members)
    back = Rig(replace(array.members.superblock, members=tuple(members)), [*array.pool, left])
    back.mending.tend()
    assert next_owner(back).said == []
    back.tend_all()
    assert back.members.members[1].drive == 4
    assert back.scrub() == 0
    assert back.read() == content[::-1]
    assert next_owner(back).read() == content[::-1]
