"""Proves that frames come back as they went, padded or not, and that nothing else is ever taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crc import crc32c
from protocol.discovery.frame import (
    BODY_BYTES_MAX,
    FRAME_BYTES_MAX,
    HEAD_BYTES,
    KINDS,
    PADDED_BYTES,
    Frame,
    Kind,
    decode,
    encode,
)

FRAMES = st.builds(
    Frame,
    st.sampled_from(sorted(KINDS)),
    st.binary(min_size=8, max_size=8),
    st.binary(max_size=64) | st.binary(min_size=BODY_BYTES_MAX - 2, max_size=BODY_BYTES_MAX),
)
GOLDEN = Frame(Kind.ANSWER, b"\1\2\3\4\5\6\7\x08", b"body")
GOLDEN_BYTES = bytes.fromhex("4e53550001020004 0102030405060708 626f6479")


def with_crc(data: bytes) -> bytes:
    return data + crc32c(data).to_bytes(4, "big")


def test_the_bytes_are_those_of_the_document() -> None:
    assert encode(GOLDEN) == with_crc(GOLDEN_BYTES)


@given(FRAMES)
def test_a_frame_comes_back_as_it_went(frame: Frame) -> None:
    data = encode(frame)
    assert len(data) <= FRAME_BYTES_MAX
    assert decode(data) == frame


@given(FRAMES, st.binary(max_size=PADDED_BYTES))
def test_only_the_padding_of_ethernet_may_follow(frame: Frame, padding: bytes) -> None:
    data = encode(frame) + padding
    is_padding = not padding or len(data) <= PADDED_BYTES
    assert decode(data) == (frame if is_padding else None)


@given(st.binary(max_size=FRAME_BYTES_MAX + 100))
def test_noise_is_no_frame(noise: bytes) -> None:
    assert decode(noise) is None
    assert decode(with_crc(GOLDEN_BYTES[:4] + noise)) is None or len(noise) >= HEAD_BYTES - 4


@given(FRAMES, st.data())
def test_no_bit_of_a_frame_can_change(frame: Frame, data: st.DataObject) -> None:
    altered = bytearray(encode(frame))
    bit = data.draw(st.integers(0, len(altered) * 8 - 1))
    altered[bit // 8] ^= 1 << bit % 8
    assert decode(bytes(altered)) is None


@given(FRAMES, st.data())
def test_a_cut_frame_is_none(frame: Frame, data: st.DataObject) -> None:
    whole = encode(frame)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None


@pytest.mark.parametrize(
    "wrong",
    [
        with_crc(b"NSV\0" + GOLDEN_BYTES[4:]),
        with_crc(b"NSU\0\2" + GOLDEN_BYTES[5:]),
        with_crc(b"NSU\0\1\0" + GOLDEN_BYTES[6:]),
        with_crc(b"NSU\0\1\3" + GOLDEN_BYTES[6:]),
        with_crc(b"NSU\0\1\x20" + GOLDEN_BYTES[6:]),
        with_crc(b"NSU\0\1\2\0\5" + GOLDEN_BYTES[8:]),
        with_crc(b"NSU\0\1\2\xff\xff" + GOLDEN_BYTES[8:]),
        b"",
    ],
    ids=["magic", "version", "kind 0", "kind 3", "kind 32", "a byte missing", "longer than any", "nothing"],
)
def test_what_has_a_good_crc_and_a_wrong_field_is_none(wrong: bytes) -> None:
    assert decode(wrong) is None
