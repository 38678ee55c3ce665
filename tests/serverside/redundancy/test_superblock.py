"""Proved: a superblock comes back as it went, of any array, and nothing damaged is taken for one."""

from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.redundancy.division import MEMBERS_MAX
from serverside.redundancy.superblock import (
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
SUPERBLOCKS = st.builds(
    Superblock,
    array=UUIDS,
    name=NAMES,
    level=st.sampled_from(["raid5", "raid10"]),
    stripe_bytes=U64,
    data_offset_bytes=U64,
    data_bytes=U64,
    members=st.lists(MEMBERS, min_size=2, max_size=MEMBERS_MAX).map(tuple),
    events=U64,
    journal_tail=U64,
    regions=st.lists(U64, max_size=REGIONS_MAX).map(tuple),
    scrub_row=U64,
    zero_from_row=U64,
    zero_to_row=U64,
)
LABELS = st.builds(Label, SUPERBLOCKS, UUIDS, st.integers(0, 0xFFFF))
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


def test_the_layout_on_drives_stays_as_it_is() -> None:
    copy = encode(ONE)
    assert copy[:12] == b"NSUARRAY\x01\0\0\0"
    assert copy[16:32] == UUID(int=1).bytes
    assert copy[32:37] == b"unit0"
    assert copy[160:165] == b"raid5"
    assert int.from_bytes(copy[176:184], "little") == 65536
    assert int.from_bytes(copy[200:208], "little") == 1  # events
    assert int.from_bytes(copy[240:242], "little") == 3  # places
