"""Proves that the bits of a unit are the wire's, so that a UNIT report needs no translation."""

from hostside.driver.unit import UnitFlag
from protocol import records
from tests.hostside.driver.rig import make_unit


def test_bits_are_the_wires() -> None:
    wire = records.UnitFlag.READ_ONLY | records.UnitFlag.TRIM | records.UnitFlag.ZERO
    unit = make_unit().changed(blocks=7, generation=3, flags=int(wire))
    assert unit.flags & UnitFlag.READ_ONLY
    assert unit.flags & UnitFlag.CAN_TRIM
    assert not unit.flags & UnitFlag.CAN_FUA
    assert (unit.size_bytes, unit.generation, unit.name) == (3584, 3, "unit_1")


def test_only_0x01_writes_through() -> None:
    assert make_unit(version=1).writes_through
    assert not make_unit(version=2).writes_through
