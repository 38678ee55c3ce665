"""From what the server tells of a unit to what the host driver needs: only what the server really does."""

from hostside.driver import unit as unit_room
from hostside.driver.unit import UnitInfo
from protocol.records import UnitFlag, UnitRecord


def unit_info(name: str, record: UnitRecord, version: int) -> UnitInfo:
    """Give the unit as the host driver knows it."""
    return UnitInfo(record.number, name, record.blocks, record.generation, driver_flags(record, version), version)


def driver_flags(record: UnitRecord, version: int) -> unit_room.UnitFlag:
    """0x01 tells no flags: its writes go through, so that a flush has nothing left to do and FUA nothing to add."""
    if version == 1:
        return unit_room.UnitFlag.CAN_FLUSH | unit_room.UnitFlag.CAN_FUA
    flags = unit_room.UnitFlag(0)
    for theirs, ours in FLAGS.items():
        if record.flags & theirs:
            flags |= ours
    return flags


FLAGS = {
    UnitFlag.READ_ONLY: unit_room.UnitFlag.READ_ONLY,
    UnitFlag.FLUSH: unit_room.UnitFlag.CAN_FLUSH,
    UnitFlag.FUA: unit_room.UnitFlag.CAN_FUA,
    UnitFlag.TRIM: unit_room.UnitFlag.CAN_TRIM,
    UnitFlag.WRITE_ZEROES: unit_room.UnitFlag.CAN_WRITE_ZEROES,
}
