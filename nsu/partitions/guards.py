"""What speaks against a change: who would lose data or a disk that he uses, and what the running server can't do.

In use: a host with a session has the unit, and says that it uses it or does not say (0x01 has no word for it). Such a
unit is not taken away, renamed or restricted without --force; nothing is shrunk below what was written.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from nsu.partitions.differences import Pair, known_uuid, pairs_of
from nsu.partitions.facts import Facts
from nsu.partitions.view import Partition, Use
from nsu.partitions.words import size_words

V1 = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """A reason not to do it."""

    sentence: str
    can_force: bool


def refusals_of(
    old: Sequence[Partition], new: Sequence[Partition], facts: Facts, *, versions: Mapping[str, int]
) -> Iterator[Refusal]:
    """Give all reasons. `versions`: host -> the protocol version that it speaks."""
    for pair in pairs_of(old, new, facts):
        if pair.old is not None:
            yield from _of_users(pair.old, pair.new, facts)
            yield from _of_data(pair, facts)
        if pair.new is not None:
            yield from _of_arrays(pair.new, facts)
    yield from _of_numbers(old, new, facts, versions)


def _of_users(old: Partition, new: Partition | None, facts: Facts) -> Iterator[Refusal]:
    after = {} if new is None else {use.host: use for use in new.uses}
    for use in old.uses:
        what = _harm(use, after.get(use.host))
        if what and facts.uses(use.host, use.unit):
            ends = f"let {use.host} detach it first (nsu detach {use.unit}), or say --force"
            yield Refusal(f"{use.title} is in use by {use.host}, and would be {what}: {ends}", can_force=True)


def _harm(use: Use, now: Use | None) -> str:
    """Say what happens to who uses it; empty: nothing that he notices."""
    if now is None:
        return "taken away"
    if now.unit != use.unit:
        return "renamed"
    if now.uuid and use.uuid and now.uuid != use.uuid:
        return "exchanged for another"
    return "read-only" if now.read_only and not use.read_only else ""


def _of_data(pair: Pair, facts: Facts) -> Iterator[Refusal]:
    old, new = pair.old, pair.new
    assert old is not None
    if new is None:
        return
    if (old.range.array, old.range.first_lba) != (new.range.array, new.range.first_lba):
        yield Refusal(
            f"{old.title} would be put on other blocks, and show what lies there: say --force", can_force=True
        )
    elif new.blocks < old.blocks:
        yield from _of_shrinking(old, new, facts)
    if new.zero and not old.zero:
        yield Refusal(f"{old.title} would read as zeros, whatever is on it: say --force", can_force=True)
    elif old.zero and not new.zero:
        sentence = f"{old.title} would show what its blocks held before, perhaps another's data: say --force"
        yield Refusal(sentence, can_force=True)


def _of_shrinking(old: Partition, new: Partition, facts: Facts) -> Iterator[Refusal]:
    written = facts.written.get(known_uuid(old, facts))
    if written is None:
        words = "nobody here knows what is on its end"
    elif written > new.blocks:
        words = f"it was written up to {size_words(written)}"
    else:
        return
    sentence = (
        f"{old.title} would shrink to {size_words(new.blocks)}, and {words}: shrink the file system on it first,"
        " then say --force"
    )
    yield Refusal(sentence, can_force=True)


def _of_arrays(new: Partition, facts: Facts) -> Iterator[Refusal]:
    if not facts.runs:
        return
    capacity = facts.capacities.get(new.range.array)
    if capacity is None:
        yield Refusal(f"ARRAY {new.range.array} is new: it is opened at the next start of nsu run", can_force=False)
    elif new.range.last_lba >= capacity:
        yield Refusal(
            f"{new.range} ends beyond {new.range.array}, whose last block is {capacity - 1}: choose a smaller size",
            can_force=False,
        )


def _of_numbers(
    old: Sequence[Partition], new: Sequence[Partition], facts: Facts, versions: Mapping[str, int]
) -> Iterator[Refusal]:
    """Deleting or taking away a unit gives those behind it other numbers (Appendix D counts them in the file's order).

    Version 0x01 knows units by their number alone: another one under a number that is in use is never redirected. 0x02
    finds its unit again by name, and shows its disk anew: clients of the disk lose their connections.
    """
    for host, version in versions.items():
        before, after = _numbers(old, host), _numbers(new, host)
        for unit, number in before.items():
            if unit in after and after[unit] != number and _is_harmed(host, unit, version, facts):
                what = "it knows units by their number alone" if version == V1 else "its disk there would begin anew"
                yield Refusal(
                    f"{host}/{unit} would be number {after[unit]} instead of {number}: {host} speaks version"
                    f" 0x{version:02x}, and {what}; delete from the end, let {host} detach it first, or say --force",
                    can_force=True,
                )


def _is_harmed(host: str, unit: str, version: int, facts: Facts) -> bool:
    return host in facts.sessions if version == V1 else facts.uses(host, unit)


def _numbers(partitions: Sequence[Partition], host: str) -> dict[str, int]:
    return {use.unit: use.number for each in partitions for use in each.uses if use.host == host}
