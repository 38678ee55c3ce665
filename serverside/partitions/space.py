"""The free space of an array, and where in it a partition goes: pure arithmetic of blocks.

Rules:
- Free is what no partition has. Space of deleted partitions that lie side by side, or beside free space, is one piece:
  pieces are made anew from the partitions each time, so nothing can be forgotten or given twice.
- Best fit (patent, Section III: "space from deleted partitions is preferably reclaimed, and re-allocated, using a "best
  fit" algorithm"): the smallest piece that is large enough, of equal ones the first.
- Partitions begin at a multiple of 1 MiB where there is room for that, else of 4 KiB, else anywhere: file systems and
  drives with 4 KiB sectors write whole blocks then, and chunks of zero maps (1 MiB) lie well.
"""

from collections.abc import Iterable
from dataclasses import dataclass

ALIGNMENTS_BLOCKS = (2048, 8, 1)
"""1 MiB, 4 KiB, 512 bytes; the first is tried first."""


@dataclass(frozen=True, slots=True, order=True)
class Extent:
    """Blocks from `first_lba` to `last_lba`, both included."""

    first_lba: int
    last_lba: int

    @property
    def blocks(self) -> int:
        """How many there are."""
        return self.last_lba - self.first_lba + 1


def free_extents(capacity_blocks: int, used: Iterable[Extent]) -> list[Extent]:
    """Give the free pieces of an array in the order of their blocks, each as long as it can be.

    `used` may name an extent twice (a shared partition), in any order, and reach beyond the array.
    """
    free = []
    next_lba = 0
    for extent in sorted(used):
        if extent.first_lba > next_lba:
            free.append(Extent(next_lba, min(extent.first_lba, capacity_blocks) - 1))
        next_lba = max(next_lba, extent.last_lba + 1)
        if next_lba >= capacity_blocks:
            return free
    if next_lba < capacity_blocks:
        free.append(Extent(next_lba, capacity_blocks - 1))
    return free


def best_fit(free: Iterable[Extent], blocks: int) -> Extent | None:
    """Give the place for a partition of so many blocks; None: no piece is large enough."""
    pieces = list(free)
    for alignment_blocks in ALIGNMENTS_BLOCKS:
        fitting = [piece for piece in pieces if _start(piece, alignment_blocks) + blocks - 1 <= piece.last_lba]
        if fitting:
            first_lba = _start(min(fitting, key=lambda piece: (piece.blocks, piece.first_lba)), alignment_blocks)
            return Extent(first_lba, first_lba + blocks - 1)
    return None


def room_behind(free: Iterable[Extent], last_lba: int) -> int:
    """Give by how many blocks the partition that ends at `last_lba` can grow where it is."""
    return next((piece.blocks for piece in free if piece.first_lba == last_lba + 1), 0)


def _start(piece: Extent, alignment_blocks: int) -> int:
    return -(-piece.first_lba // alignment_blocks) * alignment_blocks
