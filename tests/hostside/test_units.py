"""Proves that the host driver is told only of what the server really does."""

from hostside.driver import unit as unit_room
from hostside.units import unit_info
from protocol.records import UnitFlag, UnitRecord


def test_only_what_the_server_really_does_is_offered() -> None:
    record = UnitRecord(3, 9, 100, UnitFlag.READ_ONLY | UnitFlag.ZERO | UnitFlag.TRIM, bytes(16), "other")
    info = unit_info("unit_1", record, 2)
    assert (info.name, info.number, info.generation, info.blocks) == ("unit_1", 3, 9, 100)
    assert info.flags == unit_room.UnitFlag.READ_ONLY | unit_room.UnitFlag.CAN_TRIM
    flags = unit_info("unit_1", record, 1).flags
    assert flags == unit_room.UnitFlag.CAN_FLUSH | unit_room.UnitFlag.CAN_FUA
