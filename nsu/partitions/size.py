"""How large a partition is to be, in the words of an administrator (claim 42: "a user-definable size").

2048blocks   512KiB  20GiB   2TiB   50%      of an array's free space, rounded down to whole MiB
+10GiB  +100%                                for a partition that is there: grow by so much; % of the space behind it
"""

import re
from dataclasses import dataclass

from nsu.partitions.errors import Refused
from protocol.limits import BLOCK_BYTES

UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
MIB_BLOCKS = (1 << 20) // BLOCK_BYTES
RIGHT = "a size is 2048blocks, 512KiB, 100MiB, 20GiB, 2TiB or 50% (of what is free); +10GiB grows by so much"
_FORM = re.compile(r"(\+?)([0-9]{1,18})(?:\.([0-9]{1,3}))? ?(blocks?|KiB|MiB|GiB|TiB|%)")


@dataclass(frozen=True, slots=True)
class Size:
    """Blocks of 512 bytes, or a share of what is free; with `more`, beyond what is there."""

    blocks: int = 0
    percent: float | None = None
    more: bool = False

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Read a size. Raises Refused."""
        found = _FORM.fullmatch(text.strip())
        if found is None:
            raise Refused(f"{text!r} is not a size: {RIGHT}")
        more, number, unit = found[1] == "+", float(f"{found[2]}.{found[3] or 0}"), found[4]
        if unit == "%":
            if not 0 < number <= 100:
                raise Refused(f"{text!r} is not a share: more than 0 %, at most 100 %")
            return cls(percent=number, more=more)
        if unit.startswith("block"):
            size_bytes = int(found[2]) * BLOCK_BYTES if not found[3] else 0
        else:
            # In whole numbers: a float has 53 bits.
            size_bytes = int(found[2]) * UNITS[unit] + int((found[3] or "0").ljust(3, "0")) * UNITS[unit] // 1000
        if not size_bytes or size_bytes % BLOCK_BYTES:
            raise Refused(f"{text!r} is no whole number of blocks of {BLOCK_BYTES} bytes above 0")
        return cls(size_bytes // BLOCK_BYTES, more=more)

    def of(self, free_blocks: int) -> int:
        """Give the number of blocks, where so many are free."""
        if self.percent is None:
            return self.blocks
        blocks = free_blocks * round(self.percent * 1000) // 100_000
        return blocks if self.percent == 100 or blocks < MIB_BLOCKS else blocks // MIB_BLOCKS * MIB_BLOCKS
