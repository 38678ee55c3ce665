"""The partitions of an nsu.conf: each range of an array once, with whoever has it.

The text is good (`nsu.conf.load`) or at least its server role is: what can't be read here is passed over.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from nsu.conf import keys
from nsu.conf.edit import Where
from nsu.conf.syntax import Block, Document, same_kind
from nsu.conf.values import LbaRange, ValueWrong
from nsu.partitions.errors import Refused
from protocol.limits import BLOCK_BYTES
from serverside.partitions.space import Extent


@dataclass(frozen=True, slots=True)
class Use:
    """One UNIT block: a partition as one host has it; `host` empty: nobody's."""

    host: str
    unit: str
    read_only: bool
    shared_write: bool
    zero: bool
    uuid: str
    """As it stands there; empty: it does not."""
    number: int
    """Its zn_zlun: the place among the host's units, from 0."""

    @property
    def where(self) -> Where:
        """How `nsu.conf.edit` finds it."""
        return (f"HOST {self.host}", f"UNIT {self.unit}") if self.host else (f"UNIT {self.unit}",)

    @property
    def title(self) -> str:
        """HOST/UNIT, or UNIT alone when it is nobody's: always one and the same partition."""
        return f"{self.host}/{self.unit}" if self.host else self.unit


@dataclass(frozen=True, slots=True)
class Partition:
    """A range of an array, and its UNIT blocks in the order of the file."""

    range: LbaRange
    uses: tuple[Use, ...]
    is_namesake: bool = False
    """Another partition has a UNIT of its name."""

    @property
    def name(self) -> str:
        """What it is called; where hosts call it differently, as the first does."""
        return self.uses[0].unit

    @property
    def title(self) -> str:
        """The name that is surely its own: `host1/unit_1`; of nobody's, the UUID where its name alone is not."""
        return self.uuid if self.is_namesake and self.uuid and not self.hosts else self.uses[0].title

    @property
    def hosts(self) -> tuple[str, ...]:
        """Who has it."""
        return tuple(use.host for use in self.uses if use.host)

    @property
    def writers(self) -> tuple[str, ...]:
        """Who may write it."""
        return tuple(use.host for use in self.uses if use.host and not use.read_only)

    @property
    def zero(self) -> bool:
        """Reads as zeros until written: one view of a range for all."""
        return any(use.zero for use in self.uses)

    @property
    def uuid(self) -> str:
        """As the file says it; empty: it does not."""
        return next((use.uuid for use in self.uses if use.uuid), "")

    @property
    def blocks(self) -> int:
        """Its size, in blocks of 512 bytes."""
        return self.range.last_lba - self.range.first_lba + 1

    @property
    def extent(self) -> Extent:
        """Where it is in its array."""
        return Extent(self.range.first_lba, self.range.last_lba)

    def as_dict(self) -> dict[str, Any]:
        """Give it as plain values, for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "array": self.range.array,
            "first_lba": self.range.first_lba,
            "last_lba": self.range.last_lba,
            "blocks": self.blocks,
            "size_bytes": self.blocks * BLOCK_BYTES,
            "zero": self.zero,
            "uuid": self.uuid or None,
            "uses": [
                {**asdict(use), "access": "read-only" if use.read_only else "read-write"}
                for use in self.uses
                if use.host
            ],
        }


def partitions_of(text: str) -> tuple[Partition, ...]:
    """Give all partitions, in the order of arrays and blocks."""
    found: dict[LbaRange, list[Use]] = {}
    counts: Counter[str] = Counter()
    for host, unit in unit_blocks(text):
        span = _range_of(unit)
        if span is not None:
            found.setdefault(span, []).append(_use_of(host, unit, counts[host]))
        counts[host] += 1
    ordered = sorted(found, key=lambda span: (span.array, span.first_lba, span.last_lba))
    bearers = Counter(name for uses in found.values() for name in {use.unit for use in uses})
    return tuple(Partition(span, tuple(found[span]), bearers[found[span][0].unit] > 1) for span in ordered)


def unit_blocks(text: str) -> Iterator[tuple[str, Block]]:
    """Give (host, UNIT block) in the order of the file; nobody's last, under the empty name."""
    blocks = Document(text).blocks
    for host in same_kind(blocks, "HOST"):
        for unit in same_kind(host.blocks, "UNIT"):
            yield host.name, unit
    for unit in same_kind(blocks, "UNIT"):
        yield "", unit


def find(text: str, name: str) -> Partition:
    """Give the partition that is called NAME, HOST/NAME or by its UUID.

    Raises:
        Refused: there is none, or more than one; says how to call each.

    """
    known = partitions_of(text)
    # A name of nobody's partition is its title, too: another of that name at a host makes it ambiguous all the same.
    # Most have no UUID in the file, so the empty name is nobody's.
    found = [
        each
        for each in known
        if name and (each.uuid == name or any(name in (use.title, use.unit) for use in each.uses))
    ]
    if len(found) > 1:
        exact = [each for each in found if any(use.title == name and use.host for use in each.uses)]
        found = exact or found
    if not found:
        names = ", ".join(each.title for each in known) or "none"
        raise Refused(f"there is no partition {name}; there are: {names}")
    if len(found) > 1:
        raise Refused(f"{name} is the name of several partitions; say which: {', '.join(map(_own_name, found))}")
    return found[0]


def hosts_of(text: str) -> tuple[str, ...]:
    """Give the names of the HOST blocks, in the order of the file."""
    return tuple(block.name for block in same_kind(Document(text).blocks, "HOST"))


def _own_name(partition: Partition) -> str:
    return partition.title if partition.hosts else partition.uuid or f"the one at {partition.range}"


def _range_of(unit: Block) -> LbaRange | None:
    for entry in unit.entries:
        if entry.key == keys.LBA.name:
            try:
                return keys.LBA.type.read(entry.value)
            except ValueWrong:
                return None
    return None


def _use_of(host: str, unit: Block, number: int) -> Use:
    said = {entry.key: entry.value for entry in unit.entries}
    return Use(
        host,
        unit.name,
        said.get(keys.ACCESS.name) == "read-only",
        said.get(keys.SHARED_WRITE.name) == "yes",
        said.get(keys.ZERO.name) == "yes",
        said.get(keys.UNIT_UUID.name, ""),
        number,
    )
