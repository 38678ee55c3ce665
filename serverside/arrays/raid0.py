"""raid0: stripes dealt round the drives, so that a long request uses them all.

With n drives and stripes of S bytes, stripe s lies on drive s mod n, as that drive's stripe s div n. The
smallest drive says how many rows of stripes there are; what larger drives have beyond them is not used.
"""

from serverside.arrays.base import Array, Extent


class Raid0(Array):
    """Striping without redundancy."""

    def _capacity_bytes(self) -> int:
        stripe = self.settings.stripe_bytes
        return min(self._sizes_bytes) // stripe * stripe * len(self.drives)

    def extents(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """One extent for each stripe touched."""
        stripe_bytes = self.settings.stripe_bytes
        drives = len(self.drives)
        found = []
        while length_bytes:
            stripe, within = divmod(offset_bytes, stripe_bytes)
            row, index = divmod(stripe, drives)
            count = min(length_bytes, stripe_bytes - within)
            found.append(Extent(index, row * stripe_bytes + within, count))
            offset_bytes += count
            length_bytes -= count
        return found

    def spans(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """At most one for each drive: a range of the array is one range on every drive it touches."""
        found = []
        for index in range(len(self.drives)):
            start = self._bytes_before(index, offset_bytes)
            end = self._bytes_before(index, offset_bytes + length_bytes)
            if end > start:
                found.append(Extent(index, start, end - start))
        return found

    def _bytes_before(self, index: int, offset_bytes: int) -> int:
        """Count the bytes of one drive that lie before a byte of the array."""
        stripe_bytes = self.settings.stripe_bytes
        row, within = divmod(offset_bytes, stripe_bytes * len(self.drives))
        return row * stripe_bytes + min(max(within - index * stripe_bytes, 0), stripe_bytes)
