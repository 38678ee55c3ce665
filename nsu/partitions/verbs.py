"""The verbs: each a pure function from the text of nsu.conf to a new text. Comments, order and layout stay.

Rules:
- A verb changes only the UNIT blocks it is about, and raises `Refused` with all that stands in its way. It looks at the
  text alone: whether somebody is disturbed, and whether the result is good in every other way, `plan` tells.
- A partition keeps its UUID whatever is done to it. Where the file does not say it yet and its host or its name
  changes, the UUID by which STATE knows it is written into it.
- Who creates a partition gets zeros: `ZERO = yes` unless he says otherwise, for its blocks may have been another's.

`name` is a UNIT's name, HOST/NAME where several have it, or a UUID. A host is the name of a HOST block.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nsu.conf import keys
from nsu.conf.edit import Pairs, Where, add_block, move_block, remove_block, remove_key, rename_block, set_key
from nsu.conf.errors import ChangeRefused
from nsu.conf.syntax import Document
from nsu.conf.values import NAME, LbaRange, ValueWrong
from nsu.partitions.arrays import capacities_of, free_of
from nsu.partitions.errors import Refused
from nsu.partitions.facts import NO_FACTS, Facts
from nsu.partitions.limits import limits_broken
from nsu.partitions.size import Size
from nsu.partitions.view import Partition, Use, find, hosts_of
from nsu.partitions.words import size_words
from serverside.partitions.space import best_fit, room_behind


@dataclass(frozen=True, slots=True)
class Grant:
    """One host's right to a partition."""

    host: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Creation:
    """A partition that is to be: nobody's without `grants`."""

    name: str
    size: Size
    array: str = ""
    """Empty: the only one there is."""
    grants: Sequence[Grant] = ()
    zero: bool = True
    shared_write: bool = False


def create(text: str, wanted: Creation, facts: Facts = NO_FACTS) -> str:
    """Cut a new partition from free space, by best fit (Section III)."""
    span = _place_for(text, wanted, facts)
    uuid = facts.new_uuid()
    document = Document(text)
    writers = [grant for grant in wanted.grants if not grant.read_only]
    Refused.unless_empty(
        [
            *_bad_name(wanted.name),
            *_unknown_hosts(text, [grant.host for grant in wanted.grants]),
            *_two_writers(len(writers), shared_write=wanted.shared_write),
            *limits_broken(text, more=1, hosts=[grant.host for grant in wanted.grants]),
        ]
    )
    for grant in wanted.grants or (Grant(""),):
        shared = wanted.shared_write and not grant.read_only
        pairs = _pairs(span, grant, zero=wanted.zero, shared_write=shared, uuid=uuid)
        document = _add_unit(document, grant.host, wanted.name, pairs)
    return document.text


def delete(text: str, name: str) -> str:
    """Take a partition away from everybody; its blocks are free."""
    document = Document(text)
    for use in find(text, name).uses:
        document = _edited(remove_block, document, use.where)
    return document.text


def resize(text: str, name: str, size: Size, facts: Facts = NO_FACTS) -> str:
    """Let a partition end elsewhere: where it begins it stays."""
    partition = find(text, name)
    room = room_behind(free_of(text, partition.range.array, facts), partition.range.last_lba)
    if size.percent is not None and not size.more:
        raise Refused(f"{partition.title} grows by a share of what is free behind it: +{size.percent:g}%")
    blocks = partition.blocks + size.of(room) if size.more else size.blocks
    if blocks > partition.blocks + room:
        free = f"{size_words(room)} are free behind it: it can grow to {size_words(partition.blocks + room)}"
        words = free if room else "nothing is free behind it"
        has = size_words(partition.blocks)
        raise Refused(f"{partition.title} has {has}, and {words}; for more, create another partition")
    if blocks == partition.blocks:
        raise Refused(
            f"{partition.title} has {size_words(blocks)} already" + ("; nothing is free behind it" * size.more)
        )
    last_lba = partition.range.first_lba + blocks - 1
    span = LbaRange(partition.range.array, partition.range.first_lba, last_lba)
    return _set_all(text, partition, keys.LBA.name, str(span))


def rename(text: str, name: str, new_name: str, facts: Facts = NO_FACTS) -> str:
    """Call a partition otherwise, at every host that has it; HOST/NAME: at that one only."""
    partition = find(text, name)
    uses = [use for use in partition.uses if use.title == name and use.host] or list(partition.uses)
    Refused.unless_empty(_bad_name(new_name))
    document = _pinned(Document(text), partition, uses, facts)
    for use in uses:
        document = _edited(rename_block, document, use.where, new_name)
    return document.text


def assign(text: str, name: str, grant: Grant, facts: Facts = NO_FACTS) -> str:
    """Give a partition that is nobody's to a host."""
    partition = find(text, name)
    if partition.hosts:
        raise Refused(
            f"{partition.title} belongs to {' and '.join(partition.hosts)}: share it with {grant.host}, or chown it"
        )
    return _move(text, partition, grant, facts)


def unassign(text: str, name: str, host: str | None = None, facts: Facts = NO_FACTS) -> str:
    """Take a partition from a host, or from all; with the last it becomes nobody's, and keeps what is on it."""
    partition = find(text, name)
    leaving = [use for use in partition.uses if use.host and host in (None, use.host)]
    if not leaving:
        raise Refused(f"{partition.title} is not {host}'s" if host else f"{partition.title} is nobody's already")
    document = Document(text)
    if len(leaving) == len(partition.uses):
        document = _pinned(document, partition, leaving[:1], facts)
        document = _edited(move_block, document, leaving[0].where, ())
        if leaving[0].shared_write:
            document = _edited(remove_key, document, leaving[0].where[1:], keys.SHARED_WRITE.name)
        leaving = leaving[1:]
    for use in leaving:
        document = _edited(remove_block, document, use.where)
    return document.text


def chown(text: str, name: str, host: str, facts: Facts = NO_FACTS) -> str:
    """Give the one owner's partition to another host, with the same rights."""
    partition = find(text, name)
    if len(partition.hosts) != 1:
        who = " and ".join(partition.hosts)
        raise Refused(
            f"{partition.title} is shared by {who}: unassign it from one, and share it with {host}"
            if who
            else f"{partition.title} is nobody's: assign it"
        )
    if host in partition.hosts:
        raise Refused(f"{partition.title} is {host}'s already")
    return _move(text, partition, Grant(host, partition.uses[0].read_only), facts)


def share(
    text: str,
    name: str,
    grant: Grant,
    *,
    shared_write: bool = False,
    new_name: str = "",
    facts: Facts = NO_FACTS,
) -> str:
    """Let one more host have a partition (claim 10), perhaps as `new_name`. A second writer needs `shared_write`."""
    partition = find(text, name)
    if not partition.hosts:
        return assign(text, name, grant, facts)
    writers = len(partition.writers) + (not grant.read_only)
    Refused.unless_empty(
        [
            *_unknown_hosts(text, [grant.host]),
            *([f"{grant.host} has {partition.title} already"] if grant.host in partition.hosts else []),
            *_two_writers(0 if grant.read_only else writers, shared_write=shared_write),
            *limits_broken(text, more=0, hosts=[grant.host]),
        ]
    )
    document, uuid = Document(text), _uuid_of(partition, facts)
    if uuid is None:
        uuid = facts.new_uuid()
        document = _with_uuid(document, partition.uses, uuid)
    shared = shared_write and not grant.read_only and writers > 1
    pairs = _pairs(partition.range, grant, zero=partition.zero, shared_write=shared, uuid=uuid)
    document = _add_unit(document, grant.host, new_name or partition.name, pairs)
    return _say_shared(document, [use for use in partition.uses if not use.read_only] if shared else []).text


def set_access(text: str, name: str, *, read_only: bool, host: str | None = None, shared_write: bool = False) -> str:
    """Let a host only read a partition, or write it as well."""
    partition = find(text, name)
    uses = [use for use in partition.uses if host in (None, use.host)]
    if len(uses) != 1:
        who = " and ".join(partition.hosts) or "nobody"
        raise Refused(f"{partition.title} belongs to {who}: say for which host")
    others = [use for use in partition.uses if use is not uses[0] and use.host in partition.writers]
    if not read_only:
        Refused.unless_empty(_two_writers(1 + len(others), shared_write=shared_write))
    document = _set(Document(text), uses[0], keys.ACCESS.name, "read-only" if read_only else "read-write")
    return _say_shared(document, [] if read_only or not others else [*uses, *others]).text


def set_zero(text: str, name: str, *, zero: bool) -> str:
    """Have a partition read as zeros until it is written, or as its blocks are."""
    return _set_all(text, find(text, name), keys.ZERO.name, "yes" if zero else "no")


# -- where it goes


def _place_for(text: str, wanted: Creation, facts: Facts) -> LbaRange:
    arrays = capacities_of(text, facts)
    array = wanted.array or (next(iter(arrays)) if len(arrays) == 1 else "")
    if array not in arrays:
        known = ", ".join(arrays) or "none"
        raise Refused(f"there is no ARRAY {array}; there are: {known}" if array else f"say which array: {known}")
    if wanted.size.more:
        raise Refused("a new partition has a size, not one more than before: leave out the +")
    free = free_of(text, array, facts)
    blocks = wanted.size.of(sum(piece.blocks for piece in free))
    place = best_fit(free, blocks) if blocks else None
    if place is None:
        largest = max((piece.blocks for piece in free), default=0)
        total = sum(piece.blocks for piece in free)
        raise Refused(
            f"{array} has no free piece of {size_words(blocks)}: {size_words(total)} are free, and the largest piece"
            f" has {size_words(largest)}"
        )
    return LbaRange(array, place.first_lba, place.last_lba)


# -- the UNIT blocks


def _move(text: str, partition: Partition, grant: Grant, facts: Facts) -> str:
    """Put a partition's only block into another HOST."""
    use = partition.uses[0]
    Refused.unless_empty([*_unknown_hosts(text, [grant.host]), *limits_broken(text, more=0, hosts=[grant.host])])
    document = _pinned(Document(text), partition, [use], facts)
    if use.read_only != grant.read_only:
        document = _set(document, use, keys.ACCESS.name, "read-only" if grant.read_only else "read-write")
    return _edited(move_block, document, use.where, (f"HOST {grant.host}",)).text


def _add_unit(document: Document, host: str, name: str, pairs: Pairs) -> Document:
    return _edited(add_block, document, (f"HOST {host}",) if host else (), f"UNIT {name}", pairs)


def _pairs(span: LbaRange, grant: Grant, *, zero: bool, shared_write: bool, uuid: str) -> list[tuple[str, str]]:
    pairs = [(keys.LBA.name, str(span)), (keys.ACCESS.name, "read-only" if grant.read_only else "read-write")]
    pairs += [(keys.ZERO.name, "yes")] if zero else []
    pairs += [(keys.SHARED_WRITE.name, "yes")] if shared_write else []
    return [*pairs, (keys.UNIT_UUID.name, uuid)]


def _say_shared(document: Document, writers: Iterable[Use]) -> Document:
    """Have each of those that may write say that it is not the only one."""
    for use in writers:
        document = _set(document, use, keys.SHARED_WRITE.name, "yes")
    return document


def _pinned(document: Document, partition: Partition, uses: Sequence[Use], facts: Facts) -> Document:
    """Write the UUID into blocks by whose host or name the partition was known."""
    uuid = _uuid_of(partition, facts) or facts.new_uuid()
    return _with_uuid(document, uses, uuid)


def _with_uuid(document: Document, uses: Sequence[Use], uuid: str) -> Document:
    for use in uses:
        if not use.uuid:
            document = _set(document, use, keys.UNIT_UUID.name, uuid)
    return document


def _uuid_of(partition: Partition, facts: Facts) -> str | None:
    start = (partition.range.array, partition.range.first_lba)
    known = (facts.uuid_of(use.host, use.unit, *start) for use in partition.uses)
    return partition.uuid or next((uuid for uuid in known if uuid), None)


def _set_all(text: str, partition: Partition, key: str, value: str) -> str:
    document = Document(text)
    for use in partition.uses:
        document = _set(document, use, key, value)
    return document.text


def _set(document: Document, use: Use, key: str, value: str) -> Document:
    return _edited(set_key, document, use.where, key, value)


def _edited(edit: Callable[..., Document], document: Document, where: Where, *arguments: object) -> Document:
    try:
        return edit(document, where, *arguments)
    except ChangeRefused as refusal:
        raise Refused(str(refusal)) from refusal


# -- what stands in the way


def _bad_name(name: str) -> list[str]:
    try:
        NAME.read(name)
    except ValueWrong as error:
        return [f"{error.wrong}: a name is {NAME.right}"]
    return []


def _unknown_hosts(text: str, hosts: Iterable[str]) -> list[str]:
    known = hosts_of(text)
    return [
        f"there is no HOST {host} in nsu.conf; there are: {', '.join(known) or 'none'}"
        for host in hosts
        if host not in known
    ]


def _two_writers(writers: int, *, shared_write: bool) -> list[str]:
    if writers < 2 or shared_write:
        return []
    return [
        "only one host may write a partition: give the others read-only access; or say --shared-write, if the software"
        " on it is made for shared disks: nothing here keeps several writers from destroying each other's data"
    ]
