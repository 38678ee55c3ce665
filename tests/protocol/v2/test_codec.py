"""The fast codecs of version 0x02 are the declared structures, and one changed bit is always seen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crc import crc32c
from protocol.errors import RemoteProtocolError
from protocol.limits import U32_MAX, U64_MAX
from protocol.records import UnitFlag, UnitRecord
from protocol.v2 import codec
from protocol.v2.layout import HEADER, UNIT_RECORD

u32 = st.integers(0, U32_MAX)
u64 = st.integers(0, U64_MAX)
RESERVED = {"reserved_112": bytes(16), "reserved_452": bytes(56)}
headers = st.builds(
    codec.Header,
    *[u32] * 16,
    session_epoch=u64,
    **dict.fromkeys(codec.Header._fields[17:27], u32),
    text=st.binary(min_size=256, max_size=256),
    nonce=st.binary(min_size=32, max_size=32),
    proof=st.binary(min_size=32, max_size=32),
    supported=u32,
    header_crc=u32,
)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: len(name.encode()) <= 64
)
units = st.builds(
    UnitRecord,
    number=u32,
    generation=u32,
    blocks=u64,
    flags=st.integers(0, 63).map(UnitFlag),
    uuid=st.binary(min_size=16, max_size=16),
    name=names,
)


@given(headers)
def test_encode_is_the_declared_structure(header: codec.Header) -> None:
    frame = codec.encode(header)
    crc = crc32c(frame[:508])
    assert frame == HEADER.build({**header._asdict(), **RESERVED, "header_crc": crc})
    assert codec.decode(frame) == header._replace(header_crc=crc)


@given(headers, st.integers(0, 511), st.integers(0, 7))
def test_a_changed_bit_is_seen(header: codec.Header, offset: int, bit: int) -> None:
    frame = bytearray(codec.encode(header))
    frame[offset] ^= 1 << bit
    with pytest.raises(RemoteProtocolError, match="CRC32C"):
        codec.decode(bytes(frame))


@given(st.binary(min_size=512, max_size=512))
def test_the_fast_request_and_answer_are_parts_of_the_declared_structure(frame: bytes) -> None:
    full = HEADER.parse(frame)
    before = [full.zn_type, full.zn_version, full.zn_hostid, full.zn_zlun, full.zn_sequence, full.zn_op]
    before += [full.zn_flags, full.zn_requestid]
    size, lba = full.zn_reqsz_hi << 32 | full.zn_reqsz_lo, full.zn_lba_hi << 32 | full.zn_lba_lo
    after = [size, lba, full.zn_marker, full.session_epoch, full.path, full.generation, full.payload_crc]
    assert list(codec.REQUEST.unpack_from(frame)) == before + after
    assert list(codec.ANSWER.unpack_from(frame)) == [*before, full.zn_status, *after]
    times = [full.trace_2s, full.trace_3s, full.trace_4s, full.trace_5s, full.trace_6s, full.trace_spare]
    assert list(codec.TIMES.unpack_from(frame, codec.TIMES_OFFSET_BYTES)) == times
    assert frame[codec.TEXT_OFFSET_BYTES :][:256] == full.text


@given(st.lists(units, max_size=4))
def test_units_come_back_and_are_the_declared_record(given_units: list[UnitRecord]) -> None:
    data = codec.pack_units(given_units)
    assert list(codec.unpack_units(data)) == given_units
    for index, unit in enumerate(given_units):
        declared = UNIT_RECORD.parse(data[128 * index :][:128])
        assert declared.name.rstrip(b"\0").decode() == unit.name
        assert (declared.number, declared.generation, declared.blocks) == (
            unit.number,
            unit.generation,
            unit.blocks,
        )
        assert (declared.flags, declared.uuid, declared.reserved) == (unit.flags, unit.uuid, 0)


@given(st.binary(min_size=128, max_size=128))
def test_any_128_bytes_are_a_unit_or_a_sentence(data: bytes) -> None:
    if codec.from_text(data[64:]) and len(codec.from_text(data[64:]).encode()) <= 64:
        assert codec.unpack_units(data)[0].uuid == data[24:40]
    else:
        with pytest.raises(RemoteProtocolError, match="name"):
            codec.unpack_units(data)


@given(st.text())
def test_a_sentence_is_cut_between_characters(sentence: str) -> None:
    data = codec.to_text(sentence, 20)
    assert len(data) <= 20
    assert sentence.startswith(data.decode())
    assert len(data) == len(sentence.encode()) or len(data) > 16
