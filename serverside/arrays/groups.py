"""Where a redundant level puts its stripes: groups of stripes, on different drives, whose XOR is zero.

Words
  * stripe: STRIPE bytes in a row on one drive. Row r of a drive is its stripe number r.
  * place: the number of a drive in the array, from 0. Which drive has a place may change; the place does not move.
  * group: stripes of one row on some of the places, in the order of its *members*: first those with data, in the order
    of the array's bytes; the last one is the *check*, the XOR of the others.

raid10 is groups of two (the XOR of one stripe is that stripe: a mirror), raid5 groups over all places. So one code
writes, reconstructs, rebuilds and compares for both (docs/decisions/0010), and a level is what stands here: integers
in, integers out. Every stripe of every place belongs to exactly one group.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Set
from typing import ClassVar, NamedTuple


class Group(NamedTuple):
    """One group: its row, and the places of its members; the last is the check."""

    row: int
    places: tuple[int, ...]


class Piece(NamedTuple):
    """A contiguous part of the array's bytes within one stripe."""

    group: int
    member: int
    within_bytes: int
    """From the start of the stripe."""
    length_bytes: int


class Layout(ABC):
    """A level over `places` drives, each with `data_bytes` for it."""

    level: ClassVar[str]
    drives_min: ClassVar[int]
    drives_right: ClassVar[str]
    """How many drives are right, for an error's sentence."""

    def __init__(self, places: int, stripe_bytes: int, data_bytes: int) -> None:
        assert self.fits(places)
        self.places = places
        self.stripe_bytes = stripe_bytes
        self.rows = data_bytes // stripe_bytes
        self.groups = self.rows * self.groups_in_row
        self.group_bytes = self.data_members * stripe_bytes
        self.capacity_bytes = self.groups * self.group_bytes

    @classmethod
    def fits(cls, places: int) -> bool:
        """Whether the level can be made of so many drives."""
        return places >= cls.drives_min

    @property
    @abstractmethod
    def groups_in_row(self) -> int:
        """How many groups share a row."""

    @property
    @abstractmethod
    def data_members(self) -> int:
        """How many members of a group hold data."""

    @abstractmethod
    def group(self, index: int) -> Group:
        """Tell where a group is."""

    @abstractmethod
    def group_at(self, place: int, row: int) -> int:
        """Tell which group has this stripe."""

    @abstractmethod
    def survives(self, lost: Set[int]) -> bool:
        """Whether every byte can still be had without these places: no group has lost two members."""

    def pieces(self, offset_bytes: int, length_bytes: int) -> Iterator[Piece]:
        """Cut a range of the array at the borders of stripes, in its order."""
        while length_bytes:
            group, rest = divmod(offset_bytes, self.group_bytes)
            member, within = divmod(rest, self.stripe_bytes)
            count = min(length_bytes, self.stripe_bytes - within)
            yield Piece(group, member, within, count)
            offset_bytes += count
            length_bytes -= count

    def to_rebuild_first(self) -> frozenset[int]:
        """Places whose rebuild makes all groups agree, whatever the drives hold: those of the last members in row 0."""
        return frozenset(self.group(index).places[-1] for index in range(self.groups_in_row))
