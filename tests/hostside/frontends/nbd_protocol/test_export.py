"""Proves: each transmission flag says what the unit really does, and nothing else."""

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends.nbd_protocol.export import export_of
from hostside.frontends.nbd_protocol.numbers import TransmissionFlag
from tests.hostside.frontends.memory_driver import ALL, unit_of

FLAG = TransmissionFlag


@pytest.mark.parametrize(
    ("unit", "version", "flags"),
    [
        (UnitFlag(0), 2, FLAG.HAS_FLAGS),
        (UnitFlag.CAN_FLUSH, 2, FLAG.HAS_FLAGS | FLAG.SEND_FLUSH | FLAG.CAN_MULTI_CONN),
        (UnitFlag.CAN_FUA, 2, FLAG.HAS_FLAGS | FLAG.SEND_FUA),
        (UnitFlag.CAN_TRIM, 2, FLAG.HAS_FLAGS | FLAG.SEND_TRIM),
        (UnitFlag.CAN_WRITE_ZEROES, 2, FLAG.HAS_FLAGS | FLAG.SEND_WRITE_ZEROES),
        (UnitFlag.READ_ONLY, 2, FLAG.HAS_FLAGS | FLAG.READ_ONLY | FLAG.CAN_MULTI_CONN),
        # A unit of 0x01 writes through: FLUSH and FUA are in effect, TRIM and WRITE ZEROES do not exist.
        (UnitFlag(0), 1, FLAG.HAS_FLAGS | FLAG.SEND_FLUSH | FLAG.SEND_FUA | FLAG.CAN_MULTI_CONN),
    ],
)
def test_flags(unit: UnitFlag, version: int, flags: TransmissionFlag) -> None:
    export = export_of("disk", unit_of(1536, flags=unit, version=version))
    assert export.flags == flags
    assert (export.name, export.size_bytes) == ("disk", 1536)


def test_never_rotational_and_never_writable_where_read_only() -> None:
    flags = export_of("disk", unit_of(512, flags=ALL | UnitFlag.READ_ONLY)).flags
    assert not flags & (FLAG.ROTATIONAL | FLAG.SEND_TRIM | FLAG.SEND_WRITE_ZEROES)
