"""Tags: 32 bits that name one sending of one constituent.

 31  30            index_bits  index_bits-1     0
+---+-------------------------+------------------+
| 0 |  attempt                |  index           |
+---+-------------------------+------------------+

The index names a row of a fixed table, and of the notes; the attempt counts the uses of that row. So a
report that comes late, for a use that is over, carries an attempt that the row no longer has, and is not
mistaken for today's. The highest bit stays 0: the tags that have it are the agents' own (a ping's).
"""

from typing import Final

from hostside.driver.request import Constituent

ATTEMPTS_MASK: Final = 0x7FFFFFFF


def index_bits(tags_max: int) -> int:
    """Give how many low bits of a tag are the index, for a table of `tags_max` rows."""
    return max(1, (tags_max - 1).bit_length())


class TagTable:
    """Who holds which tag."""

    __slots__ = ("free", "mask", "next_tags", "rows")

    def __init__(self, tags_max: int) -> None:
        step = 1 << index_bits(tags_max)
        self.mask = step - 1
        """Of the index in a tag."""
        self.rows: list[Constituent | None] = [None] * step
        self.next_tags = list(range(step))
        self.free = list(range(tags_max - 1, -1, -1))
        """Indexes; last in, first out: the same few rows stay in the processor's cache."""

    def take(self, constituent: Constituent) -> int:
        """Give `constituent` a tag not used before, as far as 31 bits can tell; `free` must not be empty."""
        index = self.free.pop()
        tag = self.next_tags[index]
        self.next_tags[index] = (tag + self.mask + 1) & ATTEMPTS_MASK
        self.rows[index] = constituent
        constituent.tag = tag
        return tag

    def give(self, tag: int) -> None:
        """Free the row of `tag`: from now on no report for it is believed."""
        index = tag & self.mask
        assert self.rows[index] is not None
        self.rows[index] = None
        self.free.append(index)

    def held_by(self, path: int, incarnation: int) -> list[Constituent]:
        """Give what `path` holds in that `incarnation`."""
        return [
            constituent
            for constituent in self.rows
            if constituent is not None
            and constituent.path.index == path
            and constituent.path.incarnation == incarnation
        ]
