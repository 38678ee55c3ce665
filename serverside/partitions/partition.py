"""A partition: an LBA range of an array as hosts get it. LBAs count from the partition's own block 0.

Ranges were checked where the request came in; here they are asserted. Errors are DriveErrors.

Most work is done by whoever has it, an SRW, on the array directly. `needs_owner` says when it must go to the
array's driver process instead: whatever changes an array with redundancy, and with a zero map the first write to a
chunk, and making new bits of the map durable. The owner's half of that is `prepare_write` and `settle`.
"""

from uuid import UUID

from protocol.limits import BLOCK_BYTES
from protocol.ops import Op
from serverside.arrays.base import Array
from serverside.partitions.zero_map import ZeroMap
from serverside.settings import PartitionSettings


class Partition:
    """`zero_map` covers the range from `first_lba` on, perhaps beyond the partition; None: ZERO = no."""

    def __init__(
        self,
        array: Array,
        settings: PartitionSettings,
        zero_map: ZeroMap | None,
        generation: int,
        uuid: UUID,
    ) -> None:
        assert zero_map is None or zero_map.blocks >= settings.blocks
        self.array = array
        self.settings = settings
        self.name = settings.name
        self.zero_map = zero_map
        self.generation = generation
        self.uuid = uuid
        self.blocks = settings.blocks
        self.read_only = settings.read_only
        self._first_bytes = settings.first_lba * BLOCK_BYTES
        self._drive = array.only_drive if zero_map is None else None
        """The drive on which all of the partition lies, byte for byte: the way of most I/O, in one call."""

    def needs_owner(self, op: int, lba: int, blocks: int, durable: bool = True) -> bool:
        """Whether this must be done by the array's driver process.

        True for whatever changes an array with redundancy, for a write to a chunk that is not ours yet, and for what
        promises durability (a FLUSH, a durable write) while the zero map has news. `durable` left out is the careful
        answer.
        """
        if self._drive is not None:
            return False
        if self.array.needs_owner(op):
            return True
        zero_map = self.zero_map
        if zero_map is None:
            return False
        if op == Op.WRITE:
            return not zero_map.is_live(lba * BLOCK_BYTES, blocks * BLOCK_BYTES) or (durable and zero_map.dirty)
        return op == Op.FLUSH and zero_map.dirty

    def read_into(self, view: memoryview, lba: int) -> None:
        """Fill `view` with the blocks at `lba`."""
        at_bytes = self._at(lba, len(view))
        if self._drive is not None:
            self._drive.read_into(view, self._first_bytes + at_bytes)
            return
        if self.zero_map is None:
            self.array.read_into(view, self._first_bytes + at_bytes)
            return
        for live, run_bytes, length_bytes in self.zero_map.runs(at_bytes, len(view)):
            piece = view[run_bytes - at_bytes : run_bytes - at_bytes + length_bytes]
            if live:
                self.array.read_into(piece, self._first_bytes + run_bytes)
            else:
                piece[:] = bytes(length_bytes)

    def write_from(self, view: memoryview, lba: int, durable: bool = False) -> None:
        """Write the blocks at `lba`; every chunk is ours already (`needs_owner`)."""
        at_bytes = self._at(lba, len(view))
        assert not self.read_only
        if self._drive is not None:
            self._drive.write_from(view, self._first_bytes + at_bytes, durable)
            return
        assert self.zero_map is None or self.zero_map.is_live(at_bytes, len(view))
        self.array.write_from(view, self._first_bytes + at_bytes, durable)

    def as_write(self, view: memoryview, lba: int) -> tuple[int, memoryview]:
        """Give what `write_from` would ask of the array: for several writes at once."""
        return self._first_bytes + self._at(lba, len(view)), view

    def flush(self) -> None:
        """Put everything written so far onto stable storage, but no bits of the map: see `settle`."""
        self.array.flush()

    def trim(self, lba: int, blocks: int, durable: bool = False) -> None:
        """Say that blocks are not needed any more."""
        assert not self.read_only
        for offset_bytes, length_bytes in self._ours(lba, blocks):
            self.array.trim(self._first_bytes + offset_bytes, length_bytes)
        if durable:
            self.array.flush()

    def write_zeroes(self, lba: int, blocks: int, durable: bool = False, may_trim: bool = True) -> None:
        """Make blocks read as zeros. No owner: a chunk that a crash takes from us reads as zeros too."""
        assert not self.read_only
        for offset_bytes, length_bytes in self._ours(lba, blocks):
            self.array.write_zeroes(self._first_bytes + offset_bytes, length_bytes, may_trim)
        if durable:
            self.array.flush()

    def execute(self, op: int, lba: int, blocks: int, durable: bool = False) -> None:
        """Do an operation that moves no payload: FLUSH, TRIM or WRITE ZEROES."""
        if op == Op.FLUSH:
            self.flush()
        elif op == Op.TRIM:
            self.trim(lba, blocks, durable)
        else:
            assert op == Op.WRITE_ZEROES
            self.write_zeroes(lba, blocks, durable)

    def prepare_write(self, lba: int, blocks: int) -> None:
        """Owner only: zero the chunks that these blocks touch first, so that `write_from` may follow."""
        if self.zero_map is not None:
            self.zero_map.claim(self._at(lba, blocks * BLOCK_BYTES), blocks * BLOCK_BYTES)

    @property
    def has_news(self) -> bool:
        """Whether there are bits of the zero map that a crash would take back."""
        return self.zero_map is not None and self.zero_map.dirty

    def settle(self) -> None:
        """Owner only: make everything written so far durable, with the bits that say that it is ours."""
        if self.zero_map is not None and self.zero_map.dirty:
            self.zero_map.persist()  # which syncs the drives
        else:
            self.array.flush()

    def _at(self, lba: int, length_bytes: int) -> int:
        """Give the byte of the partition where a checked range begins."""
        assert length_bytes > 0
        assert length_bytes % BLOCK_BYTES == 0
        assert 0 <= lba <= lba + length_bytes // BLOCK_BYTES <= self.blocks
        return lba * BLOCK_BYTES

    def _ours(self, lba: int, blocks: int) -> list[tuple[int, int]]:
        """Give the pieces (offset, length) of a range that lie in chunks of ours: all without a zero map."""
        at_bytes = self._at(lba, blocks * BLOCK_BYTES)
        if self.zero_map is None:
            return [(at_bytes, blocks * BLOCK_BYTES)]
        runs = self.zero_map.runs(at_bytes, blocks * BLOCK_BYTES)
        return [(offset_bytes, length_bytes) for live, offset_bytes, length_bytes in runs if live]
