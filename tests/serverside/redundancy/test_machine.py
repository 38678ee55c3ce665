"""Proved: whatever is out, rebuilding or unreadable within what the level survives, an array is plain bytes.

And: full groups take no reads, a failing drive is put out and remembered, and one loss more means errors, never wrong
data.
"""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.drives.base import DriveError
from serverside.redundancy import machine, mending
from serverside.redundancy.head import read_label
from serverside.redundancy.machine import REPAIRS_MAX
from serverside.redundancy.superblock import State
from tests.serverside.redundancy.rig import BLOCK, LAYOUTS, STRIPE_BYTES, Rig, faulty, patterned, rig

LEVELS = [("raid5", 3), ("raid5", 4), ("raid5", 5), ("raid10", 2), ("raid10", 4)]


def patterns_of_loss(level: str, places: int) -> list[tuple[int, ...]]:
    layout = LAYOUTS[level](places, STRIPE_BYTES, STRIPE_BYTES)
    return [
        lost for count in range(places + 1) for lost in combinations(range(places), count) if layout.survives(set(lost))
    ]


ALL_LOSSES = [(level, places, lost) for level, places in LEVELS for lost in patterns_of_loss(level, places)]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_an_array_is_plain_bytes_whatever_is_lost(data: st.DataObject) -> None:
    level, places, lost = data.draw(st.sampled_from(ALL_LOSSES))
    rows = data.draw(st.integers(1, 5))
    rebuilding = {place: data.draw(st.integers(0, rows)) for place in lost if data.draw(st.booleans())}
    array = rig(
        level, places, rows=rows, out=[place for place in lost if place not in rebuilding], rebuilding=rebuilding
    )
    model = bytearray(array.layout.capacity_bytes)
    blocks = len(model) // BLOCK
    for number in range(data.draw(st.integers(1, 6))):
        batch = []
        for piece in range(data.draw(st.integers(1, 4))):
            first = data.draw(st.integers(0, blocks - 1))
            new = patterned(BLOCK * data.draw(st.integers(1, blocks - first)), number * 10 + piece)
            model[first * BLOCK : first * BLOCK + len(new)] = new
            batch.append((first * BLOCK, memoryview(new)))
        array.machine.write_many(batch)
        assert array.read() == model
    # Once more, by each other way: what was written while a place was out must be in the others.
    for place in range(places):
        if array.layout.survives(array.members.lost() | {place}):
            array.members.put_out(place, "test")
            assert array.read() == model


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_whole_groups_take_no_reads(level: str, places: int) -> None:
    array = rig(level, places)
    whole = array.layout.group_bytes
    array.write(whole, patterned(2 * whole, 1))
    array.machine.write_many([(at, memoryview(patterned(BLOCK, at))) for at in range(0, whole, BLOCK)])
    assert [faulty(drive).reads for drive in array.pool] == [0] * places


@pytest.mark.parametrize("places", [5, 6])
def test_a_small_write_reads_two_drives_whatever_their_number(places: int) -> None:
    array = rig("raid5", places)
    array.write(BLOCK, patterned(BLOCK, 1))
    assert sum(faulty(drive).reads for drive in array.pool) == 2


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_zeroing_zeroes_its_range_alone_by_rows_or_by_writing(data: st.DataObject) -> None:
    level, places, lost = data.draw(st.sampled_from(ALL_LOSSES))
    array = rig(level, places, out=lost)
    model = bytearray(patterned(array.layout.capacity_bytes, 3))
    array.write(0, bytes(model))
    first = data.draw(st.integers(0, len(model) // BLOCK - 1))
    end = data.draw(st.integers(first + 1, len(model) // BLOCK))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(machine, "ZERO_BYTES_MIN", data.draw(st.sampled_from([1, STRIPE_BYTES * 3, 1 << 30])))
        array.machine.write_zeroes(first * BLOCK, (end - first) * BLOCK)
    model[first * BLOCK : end * BLOCK] = bytes((end - first) * BLOCK)
    assert array.read() == model
    assert array.members.superblock.zero_to_row == 0
    if not lost:
        assert array.scrub() == 0


def failing_writes(array: Rig, place: int) -> None:
    faulty(array.pool[place]).dead = True


def filled(level: str, places: int) -> tuple[Rig, bytes]:
    array = rig(level, places)
    content = patterned(array.layout.capacity_bytes, 7)
    array.write(0, content)
    return array, content


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_a_drive_that_fails_a_write_is_put_out_and_all_others_remember_it(level: str, places: int) -> None:
    for place in range(places):
        array, _ = filled(level, places)
        failing_writes(array, place)
        fresh = patterned(array.layout.capacity_bytes, 8)
        array.write(0, fresh)
        array.machine.flush()
        assert array.read() == fresh
        assert array.members.members[place].state == State.OUT
        assert array.board.readable(place) is None
        assert "it is dead" in array.board.why(place)
        for other in set(range(places)) - {place}:
            label = read_label(array.pool[other])
            assert label is not None
            assert label.superblock.members[place].state == State.OUT


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_one_loss_more_is_an_error_and_never_wrong_data(level: str, places: int) -> None:
    array, content = filled(level, places)
    first, second = array.layout.group(0).places[:2]
    failing_writes(array, first)
    array.write(0, content)
    events = array.members.superblock.events
    failing_writes(array, second)
    with pytest.raises(DriveError, match=f"has stopped: {level} does not survive the loss of place {second}"):
        array.write(0, patterned(len(content), 9))
    with pytest.raises(DriveError, match="has stopped"):
        array.read()
    with pytest.raises(DriveError, match="has stopped"):
        array.machine.flush()
    assert all(array.board.readable(place) is None for place in range(places))
    survivor = next((p for p in range(places) if p not in (first, second)), None)
    if survivor is not None:
        label = read_label(array.pool[survivor])
        assert label is not None
        assert label.superblock.events == events  # nothing was changed by the loss that ended it


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_a_bad_block_is_read_from_the_others_and_written_again(level: str, places: int) -> None:
    array, content = filled(level, places)
    bad = faulty(array.pool[0])
    at = array.members.superblock.data_offset_bytes // BLOCK
    bad.bad = {at, at + 3}
    assert array.read() == content
    assert bad.bad == set()
    assert array.read() == content
    assert array.board.rows[0].get("repaired") >= 1
    assert array.members.members[0].state == State.IN


def test_a_drive_that_forgets_too_much_is_put_out() -> None:
    array, content = filled("raid5", 4)
    bad = faulty(array.pool[1])
    at = array.members.superblock.data_offset_bytes // BLOCK
    for _ in range(REPAIRS_MAX):
        bad.bad = {at}
        array.read()
        assert array.read() == content
    assert array.members.lost() == frozenset()
    bad.bad = {at}
    array.write(0, content[:BLOCK])
    assert array.read() == content
    assert array.members.lost() == {1}


@pytest.mark.parametrize(("level", "places"), LEVELS)
def test_two_bad_blocks_of_one_group_fail_that_request_alone(level: str, places: int) -> None:
    array, content = filled(level, places)
    at = array.members.superblock.data_offset_bytes // BLOCK
    for place in array.layout.group(0).places[:2]:
        faulty(array.pool[place]).bad = {at}
    with pytest.raises(DriveError, match="can't read"):
        array.read(0, BLOCK)
    assert array.read(BLOCK, BLOCK) == content[BLOCK : 2 * BLOCK]
    assert array.members.lost() == frozenset()


def scripted(array: Rig, model: bytearray) -> None:
    """Writes of all sizes, a flush, zeroing, a scrub, a settling: whatever an owner does."""
    blocks = len(model) // BLOCK
    for number in range(12):
        first, count = number * 5 % blocks, (1, 2, 5, blocks)[number % 4]
        new = patterned(BLOCK * min(count, blocks - first), number)
        model[first * BLOCK : first * BLOCK + len(new)] = new
        array.write(first * BLOCK, new)
        array.mending.tend()
        if number == 5:
            array.machine.flush()
            array.mending.begin_scrub()
        if number == 8:
            model[: 6 * STRIPE_BYTES] = bytes(6 * STRIPE_BYTES)
            array.machine.write_zeroes(0, 6 * STRIPE_BYTES)
        assert array.read() == model
    array.machine.settle()


@pytest.mark.parametrize("spares", [0, 1])
@pytest.mark.parametrize(("level", "places"), [("raid5", 3), ("raid10", 4)])
def test_a_drive_may_die_at_any_of_its_operations(
    level: str, places: int, spares: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "ZERO_BYTES_MIN", 1)
    monkeypatch.setattr(mending, "STEP_BYTES", 1)
    for place in (0, places - 1):
        at, died = 0, True
        while died:
            at += 1
            array = rig(level, places, rows=4, spares=spares, journal_bytes=8192)
            victim = faulty(array.pool[place])
            victim.dies_at = at
            model = bytearray(array.layout.capacity_bytes)
            scripted(array, model)
            died = victim.dead
            array.tend_all()
            assert array.read() == model
            assert array.scrub() == 0
            after = Rig(array.members.superblock, [array.pool[m.drive or 0] for m in array.members.members])
            after.machine.recover()
            assert after.read() == model
        assert at > 25
