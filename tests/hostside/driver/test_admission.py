"""Proves what the driver refuses at its border: the right errno, a sentence, at once, and the slots come back."""

from errno import EINVAL, EOPNOTSUPP, EROFS

import pytest

from hostside.driver.unit import UnitFlag
from protocol.ops import Op
from tests.hostside.driver.rig import ALL_FLAGS, BLOCKS, Rig, make_unit

END = BLOCKS * 512
READ_ONLY = make_unit(flags=UnitFlag.READ_ONLY | ALL_FLAGS)
BARE = make_unit(flags=UnitFlag(0))
V1 = make_unit(version=1, flags=UnitFlag(0))


@pytest.mark.parametrize(
    ("op", "offset_bytes", "length_bytes"),
    [
        (Op.READ, END, 512),
        (Op.READ, END - 512, 1024),
        (Op.WRITE, END - 65536, 65536 + 512),
        (Op.TRIM, 0, END + 512),
        (Op.TRIM, 1 << 70, 1 << 70),
        (Op.WRITE, 1, 512),
        (Op.READ, 0, 513),
        (Op.READ, 0, 0),
        (Op.WRITE, 0, -512),
        (Op.READ, -512, 512),
        (Op.WRITE_ZEROES, -1024, 1024),
        (Op.READ, 0, 17 * 65536),
        (Op.WRITE, 512, 16 * 65536),
        (Op.READ, 0, 1 << 63),
        (Op.PING, 0, 512),
    ],
)
def test_wrong_ranges(op: Op, offset_bytes: int, length_bytes: int) -> None:
    rig = Rig(slots=16)
    rig.available()
    request = rig.submit(op, offset_bytes, length_bytes)
    assert rig.done == [request]
    assert request.status == EINVAL
    assert len(request.sentence) > 20
    assert rig.driver.idle
    assert rig.sent() == []
    rig.driver.release(request)
    assert rig.pool.free_count == 16


@pytest.mark.parametrize("op", [Op.WRITE, Op.TRIM, Op.WRITE_ZEROES])
def test_read_only(op: Op) -> None:
    rig = Rig(unit=READ_ONLY)
    assert rig.submit(op).status == EROFS
    assert rig.submit(Op.READ).status == 0
    assert rig.flush().status == 0


@pytest.mark.parametrize("op", [Op.TRIM, Op.WRITE_ZEROES])
def test_not_offered(op: Op) -> None:
    for unit in (BARE, V1):
        assert Rig(unit=unit).submit(op).status == EOPNOTSUPP


def test_flush_and_fua_not_offered() -> None:
    assert Rig(unit=BARE).flush().status == EOPNOTSUPP
    assert Rig(unit=BARE).submit(Op.WRITE, fua=True).status == EOPNOTSUPP
    assert not Rig(unit=V1).submit(Op.WRITE, fua=True).finished


def test_last_block_is_served() -> None:
    rig = Rig()
    rig.available()
    rig.submit(Op.READ, END - 512, 512)
    assert rig.sent()[0].lba == BLOCKS - 1
