"""Proved: a superblock comes back as it went, of any array, and nothing damaged is taken for one."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.crc import crc32c
from serverside.redundancy.division import MEMBERS_MAX
from serverside.redundancy.superblock import (
    JOURNAL_AT_BYTES,
    NO_PLACE,
    REGIONS_MAX,
    SUPERBLOCK_BYTES,
    Label,
    MemberRecord,
    State,
    Superblock,
    decode,
    encode,
    looks_like_one,
)

U64 = st.integers(0, 2**64 - 1)
UUIDS = st.uuids()
MEMBERS = st.builds(MemberRecord, UUIDS, st.sampled_from(State), U64)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=32)
BLOCK_BYTES = 512
SUPERBLOCKS = st.builds(
    lambda stripe_bytes, stripes, **others: Superblock(
        stripe_bytes=stripe_bytes, data_bytes=stripe_bytes * stripes, **others
    ),
    stripes=st.integers(0, 2**32 - 1),
    array=UUIDS,
    name=NAMES,
    level=st.sampled_from(["raid5", "raid10"]),
    stripe_bytes=st.integers(1, 2**32 - 1),
    data_offset_bytes=st.integers(JOURNAL_AT_BYTES // BLOCK_BYTES, 2**64 // BLOCK_BYTES - 1).map(BLOCK_BYTES.__mul__),
    members=st.lists(MEMBERS, min_size=2, max_size=MEMBERS_MAX).map(tuple),
    events=U64,
    journal_tail=U64,
    regions=st.lists(U64, max_size=REGIONS_MAX).map(tuple),
    scrub_row=U64,
    zero_from_row=U64,
    zero_to_row=U64,
)
LABELS = st.builds(Label, SUPERBLOCKS, UUIDS, st.sampled_from([0, 1, NO_PLACE]))
ONE = Label(
    Superblock(UUID(int=1), "unit0", "raid5", 65536, 1 << 20, 1 << 30, (MemberRecord(UUID(int=2), State.IN),) * 3),
    UUID(int=2),
    0,
)


@settings(max_examples=40)
@given(LABELS)
def test_a_superblock_comes_back(label: Label) -> None:
    copy = encode(label)
    assert len(copy) == SUPERBLOCK_BYTES
    assert looks_like_one(copy)
    assert decode(copy) == label


@settings(max_examples=60)
@given(st.integers(0, SUPERBLOCK_BYTES - 1), st.integers(1, 255))
def test_a_changed_byte_is_found(at: int, change: int) -> None:
    copy = bytearray(encode(ONE))
    copy[at] ^= change
    assert decode(bytes(copy)) is None


def test_other_content_is_no_superblock() -> None:
    assert decode(bytes(SUPERBLOCK_BYTES)) is None
    assert decode(b"") is None
    assert not looks_like_one(b"\xff" * SUPERBLOCK_BYTES)


@pytest.mark.parametrize(
    "label",
    [
        replace(ONE, place=3),
        replace(ONE, superblock=replace(ONE.superblock, data_offset_bytes=JOURNAL_AT_BYTES - 512)),
        replace(ONE, superblock=replace(ONE.superblock, data_offset_bytes=JOURNAL_AT_BYTES + 1)),
        replace(ONE, superblock=replace(ONE.superblock, stripe_bytes=0)),
        replace(ONE, superblock=replace(ONE.superblock, data_bytes=65537)),
    ],
    ids=["place", "head too short", "data between blocks", "no stripe", "part of a stripe"],
)
def test_what_could_be_no_array_is_no_superblock(label: Label) -> None:
    assert decode(encode(label)) is None


@pytest.mark.parametrize(
    ("at", "value"), [(240, 33), (242, 65), (280, 7), (32, 0xFF)], ids=["members", "regions", "state", "name"]
)
def test_a_copy_that_somebody_has_made_up_is_none(at: int, value: int) -> None:
    copy = bytearray(encode(ONE))
    copy[at] = value
    copy[12:16] = crc32c(copy[16:]).to_bytes(4, "little")
    assert decode(bytes(copy)) is None


def test_the_layout_on_drives_stays_as_it_is() -> None:
    copy = encode(ONE)
    assert copy[:12] == b"NSUARRAY\x01\0\0\0"
    assert copy[16:32] == UUID(int=1).bytes
    assert copy[32:37] == b"unit0"
    assert copy[160:165] == b"raid5"
    assert int.from_bytes(copy[176:184], "little") == 65536
    assert int.from_bytes(copy[200:208], "little") == 1  # events
    assert int.from_bytes(copy[240:242], "little") == 3  # places
