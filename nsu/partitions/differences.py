"""What becomes of each partition from one text of nsu.conf to another: data, with a sentence for each change.

Two ranges are the same partition when they have one UUID (as the file says it, or STATE knows it), or begin at the same
block and have a name in common. So a partition keeps its story through another name, another host and another size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nsu.partitions.facts import Facts
from nsu.partitions.view import Partition
from nsu.partitions.words import access_words, size_words


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `kind`: created, deleted, grown, shrunk, moved, renamed, given, taken, access, zero, other."""

    kind: str
    partition: str
    """HOST/UNIT, as it was before; empty: none is concerned."""
    sentence: str
    loses: str = ""
    """What data is lost by it, in words; empty: none."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A partition before and after; None: it was not, or is not any more."""

    old: Partition | None
    new: Partition | None


def pairs_of(old: Sequence[Partition], new: Sequence[Partition], facts: Facts) -> list[Pair]:
    """Find each partition again; those that are gone come first, those that are new last."""
    rest = list(new)
    found, gone = [], []
    for before in old:
        after = _again(before, rest, facts)
        if after is None:
            gone.append(Pair(before, None))
        else:
            rest.remove(after)
            found.append(Pair(before, after))
    return [*gone, *found, *(Pair(None, after) for after in rest)]


def changes_between(old: Sequence[Partition], new: Sequence[Partition], facts: Facts) -> Iterator[Change]:
    """Tell what becomes of each."""
    for pair in pairs_of(old, new, facts):
        if pair.old is None and pair.new is not None:
            yield Change("created", pair.new.title, f"{pair.new.title} is created: {_whole_words(pair.new)}")
        elif pair.new is None and pair.old is not None:
            sentence = f"{pair.old.title} is deleted: {_whole_words(pair.old)}"
            yield Change("deleted", pair.old.title, sentence, f"all that is on {pair.old.title}")
        elif pair.old is not None and pair.new is not None:
            yield from _changes_of(pair.old, pair.new)


def known_uuid(partition: Partition, facts: Facts) -> str:
    """Give the UUID that the file says or STATE knows; empty: neither."""
    start = (partition.range.array, partition.range.first_lba)
    known = (facts.uuid_of(use.host, use.unit, *start) for use in partition.uses)
    return partition.uuid or next((uuid for uuid in known if uuid), "")


def _again(before: Partition, candidates: Sequence[Partition], facts: Facts) -> Partition | None:
    uuid = known_uuid(before, facts)
    names = {use.unit for use in before.uses}
    for after in candidates:
        if uuid and known_uuid(after, facts) == uuid:
            return after
    for after in candidates:
        is_other = uuid and after.uuid and after.uuid != uuid
        begins_there = (after.range.array, after.range.first_lba) == (before.range.array, before.range.first_lba)
        if begins_there and not is_other and names & {use.unit for use in after.uses}:
            return after
    # A unit that was put elsewhere by hand: the same name at the same host, and other blocks.
    titles = {use.title for use in before.uses}
    return next(
        (each for each in candidates if not (uuid and each.uuid) and titles & {u.title for u in each.uses}), None
    )


def _changes_of(old: Partition, new: Partition) -> Iterator[Change]:
    title = old.title
    if (old.range.array, old.range.first_lba) != (new.range.array, new.range.first_lba):
        sentence = f"{title} is put on other blocks: {new.range} instead of {old.range}"
        yield Change("moved", title, sentence, f"all that is on {title}: what lies on the other blocks shows instead")
    elif new.blocks > old.blocks:
        shows = "" if new.zero else "; ZERO = no: the new part shows what its blocks hold"
        words = f"{title} grows from {size_words(old.blocks)} to {size_words(new.blocks)}{shows}"
        yield Change("grown", title, words)
    elif new.blocks < old.blocks:
        words = f"{title} shrinks from {size_words(old.blocks)} to {size_words(new.blocks)}"
        yield Change("shrunk", title, words, f"what is on {title} from block {new.blocks} on")
    yield from _zero_change(old, new)
    yield from _use_changes(old, new)


def _zero_change(old: Partition, new: Partition) -> Iterator[Change]:
    if new.zero and not old.zero:
        yield Change(
            "zero", old.title, f"{old.title} reads as zeros until it is written", f"all that is on {old.title}"
        )
    elif old.zero and not new.zero:
        words = f"{old.title} does not read as zeros any more: blocks never written show what was there before"
        yield Change("zero", old.title, words)


def _use_changes(old: Partition, new: Partition) -> Iterator[Change]:
    before, after = ({use.host: use for use in each.uses} for each in (old, new))
    for host, use in before.items():
        if host and host not in after:
            yield Change("taken", use.title, f"{old.name} is taken from {host}")
    for host, now in after.items():
        was = before.get(host)
        access = access_words(read_only=now.read_only)
        if was is None:
            where = f"is given to {host}, {access}" if host else "is nobody's now; what is on it is kept"
            yield Change("given", old.title, f"{old.name} {where}")
            continue
        if was.unit != now.unit:
            words = f"{was.title} is called {now.unit} from now on; a DISK block of that name finds it"
            yield Change("renamed", was.title, words)
        if was.read_only != now.read_only:
            yield Change("access", was.title, f"{was.title} is {access} from now on")


def _whole_words(partition: Partition) -> str:
    who = " and ".join(f"{use.host} {access_words(read_only=use.read_only)}" for use in partition.uses if use.host)
    zero = ", reads as zeros until it is written" if partition.zero else ""
    return f"{size_words(partition.blocks)}, {partition.range}, {who or 'nobody has it'}{zero}"
