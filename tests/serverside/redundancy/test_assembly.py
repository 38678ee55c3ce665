"""Proved: drives are recognised in any order, at any place; whatever could cost data is refused with a sentence."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10
from serverside.errors import SettingsError
from serverside.redundancy.assembly import Assembly, Found, check_level, create, is_new, recognise
from serverside.redundancy.superblock import NO_PLACE, Label, MemberRecord, State, Superblock
from serverside.settings import ArraySettings, DriveSettings

MIB = 1 << 20
SIZE = 64 * MIB


def named(drives: int, level: str = "raid5") -> ArraySettings:
    return ArraySettings("unit0", level, tuple(DriveSettings(Path(f"d{n}")) for n in range(drives)), stripe_bytes=65536)


def uuids() -> Callable[[], UUID]:
    numbers = itertools.count(1000)
    return lambda: UUID(int=next(numbers))


def blank(count: int, size: int = SIZE) -> list[Found]:
    return [Found(f"d{n}", size, None, blank=True) for n in range(count)]


def made(drives: int = 4, spares: int = 0) -> tuple[Superblock, list[Found]]:
    """An array that is all in, and its drives."""
    assembly = create(named(drives), Raid5, blank(drives + spares), [], uuids(), all_zero=True)
    truth = replace(assembly.superblock, events=10)
    found = [Found(f"d{p}", SIZE, Label(truth, record.drive, p)) for p, record in enumerate(truth.members)]
    return truth, found + [Found(f"s{n}", SIZE, Label(truth, uuid, NO_PLACE)) for n, uuid in assembly.spares.items()]


def at(truth: Superblock, place: int, state: State = State.IN, **changes: int) -> Superblock:
    """The same array with another state of one place, or another event count."""
    members = list(truth.members)
    members[place] = MemberRecord(members[place].drive, state)
    return replace(truth, members=tuple(members), events=changes.get("events", truth.events))


def labelled(found: Found, superblock: Superblock) -> Found:
    assert found.label is not None
    return found._replace(label=replace(found.label, superblock=superblock))


def recognised(found: Sequence[Found], drives: int = 4, absent: Sequence[str] = ()) -> Assembly:
    return recognise(named(drives), Raid5, found, absent, uuids())


# --- a new array ---


def test_blank_drives_become_an_array_whose_first_check_is_a_rebuild() -> None:
    assembly = create(named(4), Raid5, blank(5), [], uuids())
    states = [record.state for record in assembly.superblock.members]
    assert states == [State.IN, State.IN, State.IN, State.REBUILDING]
    assert assembly.superblock.data_offset_bytes == MIB
    assert assembly.superblock.data_bytes == SIZE - MIB
    assert set(assembly.spares) == {4}
    uuid_list = [r.drive for r in assembly.superblock.members] + list(assembly.spares.values())
    assert len({assembly.superblock.array, *uuid_list}) == 6


def test_drives_that_are_zero_everywhere_agree_already() -> None:
    assembly = create(named(4, "raid10"), Raid10, blank(4), [], uuids(), all_zero=True)
    assert {record.state for record in assembly.superblock.members} == {State.IN}


def test_the_smallest_drive_counts_and_large_ones_get_a_larger_journal() -> None:
    found = [*blank(2, 40 << 40), *blank(1, 1 << 40)]
    superblock = create(named(3), Raid5, found, [], uuids()).superblock
    assert superblock.data_offset_bytes == 64 * MIB
    assert superblock.data_bytes == (1 << 40) - 64 * MIB


def test_nothing_is_made_over_content_without_force() -> None:
    found = blank(4)
    found[2] = found[2]._replace(blank=False)
    with pytest.raises(SettingsError, match=r"ARRAY unit0: d2: not blank.*--force"):
        create(named(4), Raid5, found, [], uuids())
    assert create(named(4), Raid5, found, [], uuids(), force=True).drives == {0: 0, 1: 1, 2: 2, 3: 3}


def test_a_new_array_needs_all_its_drives_and_room() -> None:
    with pytest.raises(SettingsError, match="can't be made without all its drives: d3 can't be opened"):
        create(named(4), Raid5, blank(3), ["d3 can't be opened"], uuids())
    with pytest.raises(SettingsError, match="too small for LEVEL = raid5, which needs 1048576 bytes"):
        create(named(3), Raid5, blank(3, MIB + 512), [], uuids())


def test_a_making_that_was_cut_short_is_begun_anew() -> None:
    assembly = create(named(3), Raid5, blank(3), [], uuids())
    half = [blank(3)[0]._replace(label=Label(assembly.superblock, UUID(int=1), 0), blank=False), *blank(3)[1:]]
    assert is_new(half)
    assert create(named(3), Raid5, half, [], uuids()).drives == {0: 0, 1: 1, 2: 2}
    assert not is_new(made()[1])
    assert not is_new([Found("d", SIZE, None, damaged=True)])


def test_levels_are_made_of_a_right_number_of_drives_and_stripes() -> None:
    for settings, layout in ((named(2), Raid5), (named(3, "raid10"), Raid10), (named(33), Raid5)):
        with pytest.raises(
            SettingsError, match=f"LEVEL = {layout.level} has {len(settings.drives)} DRIVEs; .* be right"
        ):
            check_level(settings, layout)
    with pytest.raises(SettingsError, match="STRIPE = 2097152 bytes is too long"):
        check_level(replace(named(3), stripe_bytes=2 * MIB), Raid5)
    check_level(named(32), Raid5)


# --- recognised ---


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_any_order_is_the_same_array(order: tuple[int, ...]) -> None:
    truth, found = made()
    assembly = recognised([found[index] for index in order])
    assert assembly.superblock == truth
    assert {place: order[index] for place, index in assembly.drives.items()} == {p: p for p in range(4)}
    assert (assembly.missing, assembly.notes, assembly.spares) == ({}, [], {})


def test_a_missing_drive_is_told_and_survived() -> None:
    _, found = made()
    assembly = recognised(found[1:], absent=["d0 can't be opened"])
    assert assembly.missing == {0: "its drive is not there (d0 can't be opened)"}
    assert assembly.drives == {1: 0, 2: 1, 3: 2}


def test_two_missing_drives_end_it_with_nothing_changed() -> None:
    _, found = made()
    with pytest.raises(SettingsError, match=r"does not survive the loss of places 0, 1.*Nothing was changed"):
        recognised(found[2:])


def test_the_newest_superblock_counts_and_one_event_behind_is_good() -> None:
    truth, found = made()
    newer = replace(truth, events=11, journal_tail=77)
    found[3] = labelled(found[3], newer)
    assembly = recognised(found)
    assert assembly.superblock == newer
    assert set(assembly.drives) == {0, 1, 2, 3}


def test_a_drive_two_events_behind_is_old() -> None:
    truth, found = made()
    for place in (1, 2, 3):
        found[place] = labelled(found[place], replace(truth, events=12))
    assembly = recognised(found)
    assert set(assembly.drives) == {1, 2, 3}
    assert "d0 was put out" in assembly.notes[0]


def test_a_drive_that_was_put_out_is_not_used_again_by_itself() -> None:
    truth, found = made()
    without = at(truth, 2, State.OUT, events=11)
    for place in (0, 1, 3):
        found[place] = labelled(found[place], without)
    assembly = recognised(found)
    assert set(assembly.drives) == {0, 1, 3}
    assert assembly.missing == {}
    assert "d2 was put out of array unit0 before" in assembly.notes[0]
    assert "nsu array replace unit0 PLACE d2 --force" in assembly.notes[0]


def test_blank_and_known_spares_are_spares() -> None:
    _, found = made(spares=1)
    assembly = recognised([*found, *blank(1)])
    assert set(assembly.spares) == {4, 5}
    assert found[4].label is not None
    assert assembly.spares[4] == found[4].label.drive


def test_a_damaged_superblock_is_told() -> None:
    _, found = made()
    found[1] = Found("d1", SIZE, None, damaged=True)
    assembly = recognised(found)
    assert "both superblocks of drive d1 are damaged" in assembly.notes[0]
    assert list(assembly.missing) == [1]


# --- refused ---


def foreign() -> list[Found]:
    truth, found = made()
    return [labelled(found[0], replace(truth, array=UUID(int=5), name="unit9")), *found[1:]]


def copied() -> list[Found]:
    _, found = made()
    return [found[0], found[0]._replace(name="copy"), *found[2:]]


def full() -> list[Found]:
    _, found = made()
    return [Found("d0", SIZE, None), *found[1:]]


def cut() -> list[Found]:
    _, found = made()
    return [found[0]._replace(size_bytes=SIZE - 512), *found[1:]]


def apart() -> list[Found]:
    truth, found = made()
    first, second = at(truth, 0, State.OUT, events=12), at(truth, 1, State.OUT, events=12)
    return [labelled(found[0], second), labelled(found[1], first), labelled(found[2], first), labelled(found[3], first)]


def other(**changes: Any) -> list[Found]:
    truth, found = made()
    return [labelled(each, replace(truth, **changes)) for each in found]


def longer() -> list[Found]:
    """One drive, older than the others, says that the array has a place more."""
    truth, found = made()
    more = (*truth.members, MemberRecord(UUID(int=9), State.OUT))
    return [*found[:3], labelled(found[3], replace(truth, events=1, members=more))]


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (foreign(), "of several arrays: d0 of array unit9"),
        (copied(), "d0 and copy are copies of one drive"),
        (full(), "d0: not blank, and of no array"),
        (cut(), "somebody has cut it"),
        (apart(), "used apart: d1 goes on without place 0, and the others without d1"),
        (other(name="unit7"), "its name is unit0 in nsu.conf and unit7 on its drives"),
        (other(level="raid10"), "LEVEL is raid5 in nsu.conf and raid10 on its drives"),
        (other(stripe_bytes=4096), "STRIPE in bytes is 65536 in nsu.conf and 4096"),
        (made(5)[1], "number of DRIVEs is 4 in nsu.conf and 5"),
        (longer(), "number of DRIVEs is 4 in nsu.conf and 5"),
        (made(4, 1)[1][4:], "none of its drives is there"),
    ],
)
def test_what_could_cost_data_is_refused(found: list[Found], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        recognised(found)
