"""Splitting: which constituents a request is carried by.

"I/O requests involving data transfers of over 64 kilobytes are subdivided into I/O requests of blocks of
64k bytes or less" (Section II). Rules:
  * A request of at most 64 KiB is one constituent, wherever it lies.
  * Every inner cut is at a multiple of 4 KiB from the unit's start, so that no logical block of a file
    system is torn across two sockets: when the offset is not such a multiple, the first piece is shortened
    until its end is one.
  * TRIM and WRITE ZEROES move no payload; they are cut the same way at 64 MiB, so that no single command
    keeps a path busy for long.
"""

from typing import Final

from protocol.limits import SPLIT_BYTES
from protocol.ops import Op

NO_PAYLOAD_SPLIT_BYTES: Final = 64 << 20
CUT_BYTES: Final = 4096

_PAYLOAD_OPS: Final = (int(Op.READ), int(Op.WRITE))


def split(op: int, offset_bytes: int, length_bytes: int) -> list[tuple[int, int]]:
    """Give (offset_bytes, length_bytes) of each constituent, in order; at least one."""
    most_bytes = SPLIT_BYTES if op in _PAYLOAD_OPS else NO_PAYLOAD_SPLIT_BYTES
    if length_bytes <= most_bytes:
        return [(offset_bytes, length_bytes)]
    end_bytes = offset_bytes + length_bytes
    first_cut_bytes = offset_bytes - offset_bytes % CUT_BYTES + most_bytes
    starts = [offset_bytes, *range(first_cut_bytes, end_bytes, most_bytes)]
    return [(start, end - start) for start, end in zip(starts, [*starts[1:], end_bytes], strict=True)]
