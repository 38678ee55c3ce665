"""Recognising an array by what its drives say, or refusing with a sentence. Pure: labels in, a plan or an error out.

The rules, and why, are docs/decisions/0011. What is refused, because going on could cost data: drives of several
arrays, or of another one than nsu.conf says; copies of one drive; drives that were used apart; a drive with unknown
content; fewer drives than the level survives. What is only told: a drive that is not there, and one that was put out
before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

from serverside.arrays.groups import Layout
from serverside.errors import SettingsError
from serverside.redundancy.division import MEMBERS_MAX, MIB, STRIPE_BYTES_MAX, division_of
from serverside.redundancy.superblock import (
    JOURNAL_AT_BYTES,
    NO_PLACE,
    Label,
    MemberRecord,
    State,
    Superblock,
)
from serverside.redundancy.updates import WINDOW_BYTES
from serverside.settings import ArraySettings

assert JOURNAL_AT_BYTES + 2 * WINDOW_BYTES <= MIB  # any one update fits into the smallest journal

NewUuid = Callable[[], UUID]


class Found(NamedTuple):
    """A drive of nsu.conf, DRIVE or SPARE, as it is."""

    name: str
    size_bytes: int
    label: Label | None
    damaged: bool = False
    """It had a superblock, and no copy of it is whole."""
    blank: bool = False


@dataclass(slots=True)
class Assembly:
    """What an array is made of. Drives are named by their index in what was found."""

    superblock: Superblock
    drives: dict[int, int]
    """Place -> drive, for all places that are not out."""
    spares: dict[int, UUID]
    """Drive -> its uuid."""
    missing: dict[int, str] = field(default_factory=dict)
    """Place that the superblock does not call out, and whose drive can't be had -> why."""
    notes: list[str] = field(default_factory=list)


def check_level(settings: ArraySettings, layout: type[Layout]) -> None:
    """Raise SettingsError if the level can't be made of what the settings name."""
    places, name = len(settings.drives), settings.name
    if not layout.fits(places) or places > MEMBERS_MAX:
        raise SettingsError(
            f"ARRAY {name}: LEVEL = {layout.level} has {places} DRIVEs; {layout.drives_right} at most {MEMBERS_MAX}"
            " would be right"
        )
    if settings.stripe_bytes > STRIPE_BYTES_MAX:
        raise SettingsError(
            f"ARRAY {name}: STRIPE = {settings.stripe_bytes} bytes is too long for LEVEL = {layout.level}; 1MiB at"
            " most, such as 64KiB, would be right"
        )


def is_new(found: Sequence[Found]) -> bool:
    """Whether no drive was ever one of an array whose making was finished (that is its second event)."""
    return all(is_unmade(each.label) and not each.damaged for each in found)


def is_unmade(label: Label | None) -> bool:
    """Whether there is no label, or one of an array whose making was cut short."""
    return label is None or label.superblock.events == 1


def create(
    settings: ArraySettings, layout: type[Layout], found: Sequence[Found], absent: Sequence[str], new_uuid: NewUuid,
    *, force: bool = False, all_zero: bool = False,
) -> Assembly:  # fmt: skip
    """Make a new array of drives that hold nothing. `absent`: why the other drives can't be had.

    `all_zero`: every drive is known to be zero everywhere, so its groups agree already.
    """
    name, places = settings.name, len(settings.drives)
    if absent:
        raise SettingsError(f"ARRAY {name} is new and can't be made without all its drives: {'; '.join(absent)}")
    if not force:
        _refuse_content(settings, [each for each in found if not each.blank and each.label is None])
    head_bytes, data_bytes = division_of(min(each.size_bytes for each in found[:places]), settings.stripe_bytes)
    if data_bytes == 0:
        sizes = ", ".join(f"{each.name} has {each.size_bytes} bytes" for each in found[:places])
        raise SettingsError(
            f"ARRAY {name}: its drives are too small for LEVEL = {layout.level}, which needs {head_bytes} bytes of each"
            f" for itself: {sizes}"
        )
    fresh = frozenset[int]() if all_zero else layout(places, settings.stripe_bytes, data_bytes).to_rebuild_first()
    members = tuple(
        MemberRecord(new_uuid(), State.REBUILDING if place in fresh else State.IN) for place in range(places)
    )
    superblock = Superblock(new_uuid(), name, layout.level, settings.stripe_bytes, head_bytes, data_bytes, members)
    spares = {index: new_uuid() for index in range(places, len(found))}
    return Assembly(superblock, {place: place for place in range(places)}, spares)


def recognise(
    settings: ArraySettings, layout: type[Layout], found: Sequence[Found], absent: Sequence[str], new_uuid: NewUuid
) -> Assembly:
    """Find the places of drives of which at least one has a label."""
    _refuse_strangers(settings, found)
    labels = {index: each.label for index, each in enumerate(found) if each.label is not None}
    members = {index: label for index, label in labels.items() if label.place != NO_PLACE}
    if not members:
        why = f": {'; '.join(absent)}" if absent else ""
        raise SettingsError(f"ARRAY {settings.name} can't start: none of its drives is there and can be read{why}")
    truth = max((label.superblock for label in members.values()), key=lambda superblock: superblock.events)
    for label in members.values():
        _refuse_other_shape(settings, label.superblock)
    _refuse_used_apart(settings, truth, found, members)
    assembly = Assembly(truth, {}, {})
    for index, each in enumerate(found):
        _give_part(assembly, settings, index, each, new_uuid)
    whys = list(absent)
    for place, record in enumerate(truth.members):
        if record.state != State.OUT and place not in assembly.drives:
            assembly.missing[place] = (
                f"its drive is not there ({'; '.join(whys)})" if whys else "its drive is not there"
            )
    _refuse_too_few(settings, layout, assembly)
    return assembly


def _give_part(assembly: Assembly, settings: ArraySettings, index: int, each: Found, new_uuid: NewUuid) -> None:
    """Make one drive a member, a spare, or neither, with a note."""
    truth, label = assembly.superblock, each.label
    if label is None:
        if each.damaged:
            assembly.notes.append(f"both superblocks of drive {each.name} are damaged: it is not used")
        else:
            _refuse_content(settings, [] if each.blank else [each])
            assembly.spares[index] = new_uuid()
    elif label.place == NO_PLACE:
        assembly.spares[index] = label.drive
    elif _is_member(truth, label):
        if each.size_bytes < truth.data_offset_bytes + truth.data_bytes:
            raise SettingsError(
                f"ARRAY {settings.name}: drive {each.name} has {each.size_bytes} bytes, fewer than when the array was "
                "made: somebody has cut it; give it back its size"
            )
        assembly.drives[label.place] = index
    else:
        assembly.notes.append(
            f"drive {each.name} was put out of array {truth.name} before, what it holds is old: it is not used; "
            f"nsu array replace {truth.name} PLACE {each.name} --force rebuilds it"
        )


def _is_member(truth: Superblock, label: Label) -> bool:
    record = truth.members[label.place]
    # One event behind: the power went when others had the next one already.
    return record.drive == label.drive and record.state != State.OUT and label.superblock.events >= truth.events - 1


def _refuse_content(settings: ArraySettings, full: Sequence[Found]) -> None:
    if full:
        names = ", ".join(each.name for each in full)
        raise SettingsError(
            f"ARRAY {settings.name}: {names}: not blank, and of no array: nothing is written over it. If what it holds"
            f" is not needed: nsu array create {settings.name} --force makes a new array of all its drives, and nsu"
            f" array replace {settings.name} OLD NEW --force takes one drive; else name other drives"
        )


def _refuse_strangers(settings: ArraySettings, found: Sequence[Found]) -> None:
    """All labels are of one array, which has the right name, and no drive is there twice."""
    by_array: dict[UUID, list[str]] = {}
    by_drive: dict[UUID, str] = {}
    for each in found:
        if each.label is not None:
            of = each.label.superblock
            by_array.setdefault(of.array, []).append(f"{each.name} of array {of.name} ({of.array})")
            twin = by_drive.setdefault(each.label.drive, each.name)
            if twin != each.name:
                raise SettingsError(
                    f"ARRAY {settings.name}: drives {twin} and {each.name} are copies of one drive: name only one"
                )
    if len(by_array) > 1:
        who = "; ".join(text for texts in by_array.values() for text in texts)
        raise SettingsError(f"ARRAY {settings.name}: its drives are of several arrays: {who}. Name those of one array")


def _refuse_other_shape(settings: ArraySettings, truth: Superblock) -> None:
    pairs = (
        ("its name", settings.name, truth.name),
        ("LEVEL", settings.level, truth.level),
        ("STRIPE in bytes", settings.stripe_bytes, truth.stripe_bytes),
        ("the number of DRIVEs", len(settings.drives), len(truth.members)),
    )
    for what, said, was in pairs:
        if said != was:
            raise SettingsError(
                f"ARRAY {settings.name}: {what} is {said} in nsu.conf and {was} on its drives, where it can't be"
                f" changed: {was} would be right, or other drives"
            )


def _refuse_used_apart(
    settings: ArraySettings, truth: Superblock, found: Sequence[Found], members: dict[int, Label]
) -> None:
    """A drive that the truth calls out, and that calls out one that the truth calls in, has a history of its own."""
    for index, label in members.items():
        for place, record in enumerate(label.superblock.members):
            now = truth.members[place]
            accuses = record.state == State.OUT and now.state != State.OUT and record.drive == now.drive
            if accuses and truth.members[label.place].state == State.OUT:
                raise SettingsError(
                    f"ARRAY {settings.name}: its drives were used apart: {found[index].name} goes on without place "
                    f"{place}, and the others without {found[index].name}. Name only the drives whose data is to stay"
                )


def _refuse_too_few(settings: ArraySettings, layout: type[Layout], assembly: Assembly) -> None:
    truth = assembly.superblock
    lost = {p for p, record in enumerate(truth.members) if record.state != State.IN or p not in assembly.drives}
    if not layout(len(truth.members), truth.stripe_bytes, truth.data_bytes).survives(lost):
        whys = [*(f"place {place}: {why}" for place, why in assembly.missing.items()), *assembly.notes]
        places = ", ".join(map(str, sorted(lost)))
        raise SettingsError(
            f"ARRAY {settings.name} can't start: {truth.level} does not survive the loss of places {places}, counted"
            f" from 0. {'; '.join(whys) or 'They are not rebuilt'}. Nothing was changed on the drives"
        )
