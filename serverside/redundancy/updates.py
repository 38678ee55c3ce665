"""Cutting writes into updates: what can be computed and written independently of everything else. Pure.

A byte of the check depends on the bytes at the same place within the other stripes of its group, and on nothing else.
So an update is a range within the stripes of one group, with the new parts that fall into it. Parts are joined into one
update when their ranges overlap (parity is then computed once for all of them: neighbouring small writes become a full
group), or when they continue each other on the same member. They are kept apart when they only lie side by side on
different members: together they would need more reading than each for itself. No update is longer than a window, so
that the memory and the journal that it needs are bounded, whatever comes at once.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from serverside.arrays.groups import Layout

WINDOW_BYTES = 256 << 10

Write = tuple[int, memoryview]
"""Offset in the array, and the new bytes."""


class Part(NamedTuple):
    """New bytes within the stripe of one member."""

    member: int
    start_bytes: int
    data: memoryview

    @property
    def end_bytes(self) -> int:
        """Where it ends within the stripe."""
        return self.start_bytes + len(self.data)


class Update(NamedTuple):
    """A range within a group's stripes; later parts go over earlier ones."""

    group: int
    start_bytes: int
    end_bytes: int
    parts: tuple[Part, ...]

    @property
    def size_bytes(self) -> int:
        """The length of the range."""
        return self.end_bytes - self.start_bytes

    def members(self) -> list[int]:
        """The members that change, in their order."""
        return sorted({part.member for part in self.parts})

    def runs(self, member: int) -> list[tuple[int, int]]:
        """The ranges of a member that are new, joined: (start, end) within the stripe, in order."""
        return joined((part.start_bytes, part.end_bytes) for part in self.parts if part.member == member)

    def covers(self, member: int) -> bool:
        """Whether all of the range is new on this member."""
        return self.runs(member) == [(self.start_bytes, self.end_bytes)]

    def content(self, member: int, old: memoryview | None) -> memoryview:
        """Give the whole range of a member: its new parts over what was there (None: not known, and not needed).

        Without a copy where one part is all of it.
        """
        parts = [part for part in self.parts if part.member == member]
        if len(parts) == 1 and len(parts[0].data) == self.size_bytes:
            return parts[0].data
        content = memoryview(bytearray(self.size_bytes if old is None else old))
        for part in parts:
            at = part.start_bytes - self.start_bytes
            content[at : at + len(part.data)] = part.data
        return content


def updates_of(layout: Layout, writes: Iterable[Write]) -> list[Update]:
    """Cut writes, in their order, into updates that don't depend on each other."""
    parts: dict[tuple[int, int], list[Part]] = {}
    for offset_bytes, data in writes:
        at = 0
        for piece in layout.pieces(offset_bytes, len(data)):
            start, end = piece.within_bytes, piece.within_bytes + piece.length_bytes
            while start < end:
                window = start // WINDOW_BYTES
                count = min(end, (window + 1) * WINDOW_BYTES) - start
                parts.setdefault((piece.group, window), []).append(Part(piece.member, start, data[at : at + count]))
                start, at = start + count, at + count
    return [update for (group, _), its in parts.items() for update in _of_group(group, its)]


def _of_group(group: int, parts: list[Part]) -> Iterator[Update]:
    runs = []
    for member in {part.member for part in parts}:
        runs += joined((part.start_bytes, part.end_bytes) for part in parts if part.member == member)
    for start, end in joined(runs, touching=False):
        yield Update(group, start, end, tuple(part for part in parts if start <= part.start_bytes < end))


def joined(ranges: Iterable[tuple[int, int]], *, touching: bool = True) -> list[tuple[int, int]]:
    """Join ranges that overlap, and those that touch if wanted; in order."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if found and (start < found[-1][1] or (touching and start == found[-1][1])):
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found
