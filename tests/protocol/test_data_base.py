"""The one check of ranges lets through exactly what lies within the unit, and names the reason otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data_base import FLUSH, READ, TRIM, WRITE, WRITE_ZEROES, UnitLimits, check_range
from protocol.limits import REQUEST_BYTES_MAX, U64_MAX
from protocol.status import DETAILS, Detail

UNIT = UnitLimits(blocks=1001, read_only=False, generation=5)
OPS = st.sampled_from([READ, WRITE, TRIM, WRITE_ZEROES])


@given(OPS, st.integers(0, U64_MAX), st.integers(0, U64_MAX), st.integers(0, 2**63))
def test_what_is_let_through_lies_within_the_unit(op: int, lba: int, size_bytes: int, blocks: int) -> None:
    refusal = check_range(op, UnitLimits(blocks, False, 5), 5, lba, size_bytes)
    fits = size_bytes > 0 and size_bytes % 512 == 0 and lba * 512 + size_bytes <= blocks * 512
    if op in (READ, WRITE):
        fits = fits and size_bytes <= REQUEST_BYTES_MAX
    assert (refusal is None) == fits


@pytest.mark.parametrize(
    ("op", "unit", "generation", "lba", "size_bytes", "detail"),
    [
        (READ, None, 5, 0, 512, Detail.NO_SUCH_UNIT),
        (READ, UNIT, 4, 0, 512, Detail.STALE_GENERATION),
        (FLUSH, UNIT, 4, 0, 0, Detail.STALE_GENERATION),
        (READ, UNIT, 5, 0, 0, Detail.ZERO_SIZE),
        (READ, UNIT, 5, 0, 513, Detail.UNALIGNED),
        (READ, UNIT, 5, 0, REQUEST_BYTES_MAX + 512, Detail.TOO_LARGE),
        (READ, UNIT, 5, 1001, 512, Detail.PAST_END),
        (WRITE, UNIT, 5, 1000, 1024, Detail.PAST_END),
        (WRITE, UNIT, 5, U64_MAX, 512, Detail.PAST_END),
        (WRITE, UnitLimits(1001, True, 5), 5, 0, 512, Detail.READ_ONLY),
        (TRIM, UnitLimits(1001, True, 5), 5, 0, 512, Detail.READ_ONLY),
        (WRITE_ZEROES, UnitLimits(1001, True, 5), 5, 0, 512, Detail.READ_ONLY),
    ],
)
def test_each_refusal_has_its_reason(
    op: int, unit: UnitLimits | None, generation: int, lba: int, size_bytes: int, detail: Detail
) -> None:
    refusal = check_range(op, unit, generation, lba, size_bytes)
    assert refusal == (DETAILS[detail].status, detail, DETAILS[detail].sentence)


@pytest.mark.parametrize("lba", [0, 1000])
def test_the_first_and_the_last_block_are_there(lba: int) -> None:
    assert check_range(WRITE, UNIT, 5, lba, 512) is None


def test_whole_unit_operations_may_be_larger_than_a_read() -> None:
    unit = UnitLimits(1 << 40, False, 0)
    assert check_range(TRIM, unit, 0, 0, 1 << 49) is None
    assert check_range(WRITE_ZEROES, unit, 0, 0, 1 << 49) is None


def test_a_read_only_unit_reads_and_flushes() -> None:
    unit = UnitLimits(1001, True, 5)
    assert check_range(READ, unit, 5, 0, 512) is None
    assert check_range(FLUSH, unit, 5, 0, 0) is None
