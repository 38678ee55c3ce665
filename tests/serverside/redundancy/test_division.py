"""Proves that head and data of a drive never overlap or pass its end, and that data are whole stripes."""

from hypothesis import given
from hypothesis import strategies as st

from serverside.redundancy.division import HEAD_BYTES_MAX, MIB, STRIPE_BYTES_MAX, division_of


@given(st.integers(0, 1 << 50), st.integers(9, STRIPE_BYTES_MAX.bit_length() - 1))
def test_head_and_data_fit(drive_bytes: int, stripe_exponent: int) -> None:
    stripe_bytes = 1 << stripe_exponent
    head_bytes, data_bytes = division_of(drive_bytes, stripe_bytes)
    assert MIB <= head_bytes <= HEAD_BYTES_MAX
    assert data_bytes % stripe_bytes == 0
    assert head_bytes + data_bytes <= max(drive_bytes, MIB)
    assert data_bytes == 0 or drive_bytes - head_bytes - data_bytes < stripe_bytes


def test_the_head_grows_with_the_drive() -> None:
    assert division_of(MIB // 2, 4096) == (MIB, 0)
    assert division_of(1024 * MIB, MIB) == (4 * MIB, 1020 * MIB)
    assert division_of(1 << 44, MIB)[0] == HEAD_BYTES_MAX
