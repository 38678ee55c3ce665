"""jbod: one drive after the other; the capacity is the sum. A drive may have any size."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from serverside.arrays.base import Array, Extent
from serverside.drives.base import Drive
from serverside.settings import ArraySettings


class Jbod(Array):
    """Concatenation."""

    def __init__(self, settings: ArraySettings, drives: Sequence[Drive]) -> None:
        super().__init__(settings, drives)
        self._starts_bytes = list(accumulate(self._sizes_bytes, initial=0))

    def _capacity_bytes(self) -> int:
        return sum(self._sizes_bytes)

    def extents(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """At most one extent for each drive."""
        starts = self._starts_bytes
        found = []
        # The last drive that starts here or before: drives of no whole block are passed over.
        index = bisect_right(starts, offset_bytes) - 1
        while length_bytes:
            count = min(length_bytes, starts[index + 1] - offset_bytes)
            if count:
                found.append(Extent(index, offset_bytes - starts[index], count))
            offset_bytes += count
            length_bytes -= count
            index += 1
        return found
