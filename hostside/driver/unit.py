"""What a disk is: the unit's number, its name, its size, and what may be asked of it."""

from dataclasses import dataclass, replace
from enum import IntFlag

from protocol import records
from protocol.limits import BLOCK_BYTES


class UnitFlag(IntFlag):
    """What a unit permits, in the wire's own bits; in `credits` of a UNIT report. Others may be set too."""

    READ_ONLY = records.UnitFlag.READ_ONLY
    CAN_FLUSH = records.UnitFlag.FLUSH
    CAN_FUA = records.UnitFlag.FUA
    CAN_TRIM = records.UnitFlag.TRIM
    CAN_WRITE_ZEROES = records.UnitFlag.WRITE_ZEROES


@dataclass(frozen=True, slots=True)
class UnitInfo:
    """A unit as the server last described it. Frozen: the driver replaces it when a UNIT report comes."""

    number: int
    """`zn_zlun`."""
    name: str
    blocks: int
    """Capacity, in blocks of 512 bytes."""
    generation: int
    """Which configuration of the unit requests mean; the server refuses another with ESTALE."""
    flags: UnitFlag
    version: int
    """Of the protocol: 1 or 2."""

    @property
    def size_bytes(self) -> int:
        """Capacity in bytes."""
        return self.blocks * BLOCK_BYTES

    @property
    def writes_through(self) -> bool:
        """Every acknowledged write is durable: a 0x01 server's contract, for its protocol has no FLUSH."""
        return self.version == 1

    def changed(self, *, blocks: int, generation: int, flags: int) -> "UnitInfo":
        """Give the unit as a UNIT report says it is now."""
        return replace(self, blocks=blocks, generation=generation, flags=UnitFlag(flags))
