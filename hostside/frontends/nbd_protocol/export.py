"""What is said of a disk, made from what its server really does, so that no flag is a wish."""

from dataclasses import dataclass

from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.frontends.nbd_protocol.numbers import TransmissionFlag


@dataclass(frozen=True, slots=True)
class Export:
    """One export, as of now."""

    name: str
    size_bytes: int
    flags: TransmissionFlag
    """Without SEND_DF, which depends on the client having asked for structured replies."""


def export_of(name: str, unit: UnitInfo) -> Export:
    """Describe the disk `name` that shows `unit`.

    A unit that writes through (0x01) has FLUSH and FUA in effect: what it acknowledged is durable already.
    CAN_MULTI_CONN ("the effects of FLUSH and FUA MUST be visible across all connections") is true because
    the driver below all connections is one, and its flush covers every path: it holds where there is a
    flush, or nothing to flush.
    """
    flag = TransmissionFlag
    read_only = bool(unit.flags & UnitFlag.READ_ONLY)
    can_flush = unit.writes_through or bool(unit.flags & UnitFlag.CAN_FLUSH)
    can_fua = unit.writes_through or bool(unit.flags & UnitFlag.CAN_FUA)
    offers = {
        flag.HAS_FLAGS: True,
        flag.READ_ONLY: read_only,
        flag.SEND_FLUSH: can_flush,
        flag.SEND_FUA: can_fua,
        flag.CAN_MULTI_CONN: can_flush or read_only,
        flag.SEND_TRIM: not read_only and bool(unit.flags & UnitFlag.CAN_TRIM),
        flag.SEND_WRITE_ZEROES: not read_only and bool(unit.flags & UnitFlag.CAN_WRITE_ZEROES),
    }
    flags = TransmissionFlag(sum(bit for bit, offered in offers.items() if offered))
    return Export(name, unit.size_bytes, flags)
