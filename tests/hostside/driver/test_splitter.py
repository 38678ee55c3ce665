"""Proves that constituents tile their request, are small enough, and are cut at 4 KiB only."""

from hypothesis import given
from hypothesis import strategies as st

from hostside.driver.splitter import CUT_BYTES, NO_PAYLOAD_SPLIT_BYTES, split
from protocol.limits import SPLIT_BYTES
from protocol.ops import Op

blocks = st.integers(0, 1 << 20).map(lambda count: count * 512)


@given(st.sampled_from([Op.READ, Op.WRITE]), blocks, st.integers(1, 4096).map(lambda count: count * 512))
def test_tiles(op: Op, offset_bytes: int, length_bytes: int) -> None:
    pieces = split(op, offset_bytes, length_bytes)
    at = offset_bytes
    for start, size in pieces:
        assert start == at
        assert 0 < size <= SPLIT_BYTES
        assert size % 512 == 0
        at += size
    assert at == offset_bytes + length_bytes
    assert all(start % CUT_BYTES == 0 for start, _ in pieces[1:])
    assert len(pieces) <= length_bytes // SPLIT_BYTES + 2


def test_64_kib_is_one_piece_wherever_it_lies() -> None:
    assert split(Op.READ, 512, SPLIT_BYTES) == [(512, SPLIT_BYTES)]


def test_first_piece_is_shortened_to_reach_a_cut() -> None:
    assert split(Op.WRITE, 512, SPLIT_BYTES + 512) == [(512, SPLIT_BYTES - 512), (SPLIT_BYTES, 1024)]


def test_no_payload_is_split_at_64_mib() -> None:
    whole = NO_PAYLOAD_SPLIT_BYTES
    for op in (Op.TRIM, Op.WRITE_ZEROES):
        assert split(op, 0, whole) == [(0, whole)]
        assert split(op, 1024, 2 * whole) == [(1024, whole - 1024), (whole, whole), (2 * whole, 1024)]
