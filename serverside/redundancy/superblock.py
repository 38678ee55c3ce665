"""The superblock: all that a raid10 or raid5 array remembers, as each of its drives holds it.

A drive begins with its head (docs/decisions/0011):

    OFFSET   SIZE  MEANING
         0   4096  superblock, copy 0          65536  4096  superblock, copy 1
    131072         journal (raid5), up to `data_offset_bytes`; then the data

Copies are written in turn, by the event count, even or odd: a write that is cut leaves the other copy, which is one
event older. The layout of a copy is `_LAYOUT` below, little-endian; the CRC32C covers everything behind it. The fields
from `place` on differ from drive to drive, all others are the same on all.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any
from uuid import UUID

from construct import (
    Array,
    Bytes,
    Const,
    ConstructError,
    Container,
    Int8ul,
    Int16ul,
    Int32ul,
    Int64ul,
    Padded,
    PaddedString,
    Padding,
    Struct,
    this,
)

from protocol.crc import crc32c
from protocol.limits import BLOCK_BYTES
from serverside.redundancy.division import MEMBERS_MAX

MAGIC = b"NSUARRAY"
VERSION = 1
SUPERBLOCK_BYTES = 4096
COPIES_AT_BYTES = (0, 65536)
JOURNAL_AT_BYTES = 131072
REGIONS_MAX = 64
NAME_BYTES = 128
NO_PLACE = 0xFFFF
"""The place of a spare."""


class State(IntEnum):
    """What a member is."""

    OUT = 0
    """There is no drive, or none that can be trusted."""
    IN = 1
    REBUILDING = 2
    """Good below `rows_done`, not yet written above."""


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One place of the array: the drive that has it, or had it last."""

    drive: UUID
    state: State
    rows_done: int = 0


@dataclass(frozen=True, slots=True)
class Superblock:
    """The state of an array."""

    array: UUID
    name: str
    level: str
    stripe_bytes: int
    data_offset_bytes: int
    data_bytes: int
    """Of each drive, from `data_offset_bytes` on: whole stripes."""
    members: tuple[MemberRecord, ...]
    events: int = 1
    journal_tail: int = 1
    """The first sequence number that may not be in place."""
    regions: tuple[int, ...] = ()
    """Without a journal: where writes may be under way."""
    scrub_row: int = 0
    """Where a comparison goes on; 0: none is under way."""
    zero_from_row: int = 0
    zero_to_row: int = 0
    """Rows from .. to are being made zero: to be finished before anything else."""


@dataclass(frozen=True, slots=True)
class Label:
    """A superblock as it was found on one drive: whose it is, and which place it has there."""

    superblock: Superblock
    drive: UUID
    place: int


_FRONT = Struct("magic" / Const(MAGIC), "version" / Const(VERSION, Int32ul), "crc" / Int32ul)
_FRONT_BYTES = 16
_MEMBER = Struct("drive" / Bytes(16), "state" / Int8ul, Padding(7), "rows_done" / Int64ul)
_LAYOUT = Struct(
    "array" / Bytes(16),
    "name" / PaddedString(NAME_BYTES, "utf8"),
    "level" / PaddedString(16, "ascii"),
    "stripe_bytes" / Int64ul,
    "data_offset_bytes" / Int64ul,
    "data_bytes" / Int64ul,
    "events" / Int64ul,
    "journal_tail" / Int64ul,
    "scrub_row" / Int64ul,
    "zero_from_row" / Int64ul,
    "zero_to_row" / Int64ul,
    "places" / Int16ul,
    "regions_count" / Int16ul,
    "place" / Int16ul,
    Padding(2),
    "drive" / Bytes(16),
    "members" / Padded(MEMBERS_MAX * _MEMBER.sizeof(), Array(this.places, _MEMBER)),
    "regions" / Padded(REGIONS_MAX * 8, Array(this.regions_count, Int64ul)),
)
assert _FRONT.sizeof() == _FRONT_BYTES


def encode(label: Label) -> bytes:
    """Give the 4096 bytes of a copy."""
    block = label.superblock
    members = [{"drive": m.drive.bytes, "state": int(m.state), "rows_done": m.rows_done} for m in block.members]
    body = _LAYOUT.build(
        {
            "array": block.array.bytes,
            "name": block.name,
            "level": block.level,
            "stripe_bytes": block.stripe_bytes,
            "data_offset_bytes": block.data_offset_bytes,
            "data_bytes": block.data_bytes,
            "events": block.events,
            "journal_tail": block.journal_tail,
            "scrub_row": block.scrub_row,
            "zero_from_row": block.zero_from_row,
            "zero_to_row": block.zero_to_row,
            "places": len(block.members),
            "regions_count": len(block.regions),
            "place": label.place,
            "drive": label.drive.bytes,
            "members": members,
            "regions": block.regions,
        }
    )
    assert len(body) <= SUPERBLOCK_BYTES - _FRONT_BYTES
    body += bytes(SUPERBLOCK_BYTES - _FRONT_BYTES - len(body))
    front: bytes = _FRONT.build({"crc": crc32c(body)})
    copy: bytes = front + body
    return copy


def decode(copy: bytes) -> Label | None:
    """Read a copy; None if it is not one, or not whole.

    A CRC that holds proves no honesty: the drive may come from anybody. What would not be an array is none.
    """
    body = copy[_FRONT_BYTES:]
    if not looks_like_one(copy) or _FRONT.parse(copy).crc != crc32c(body):
        return None
    try:
        label = _label_of(_LAYOUT.parse(body))
    except (ConstructError, ValueError):
        return None  # more members than there is room for, a state that is none, a name that is no text
    return label if _is_sound(label) else None


def _label_of(found: Container[Any]) -> Label:
    superblock = Superblock(
        array=UUID(bytes=found.array),
        name=found.name,
        level=found.level,
        stripe_bytes=found.stripe_bytes,
        data_offset_bytes=found.data_offset_bytes,
        data_bytes=found.data_bytes,
        members=tuple(MemberRecord(UUID(bytes=m.drive), State(m.state), m.rows_done) for m in found.members),
        events=found.events,
        journal_tail=found.journal_tail,
        regions=tuple(found.regions),
        scrub_row=found.scrub_row,
        zero_from_row=found.zero_from_row,
        zero_to_row=found.zero_to_row,
    )
    return Label(superblock, UUID(bytes=found.drive), found.place)


def _is_sound(label: Label) -> bool:
    """Whether place, head and data can be those of an array."""
    block = label.superblock
    return (
        (label.place < len(block.members) or label.place == NO_PLACE)
        and block.data_offset_bytes >= JOURNAL_AT_BYTES
        and block.data_offset_bytes % BLOCK_BYTES == 0
        and block.stripe_bytes > 0
        and block.data_bytes % block.stripe_bytes == 0
    )


def looks_like_one(copy: bytes) -> bool:
    """Whether it begins as a superblock of this version does, whole or not."""
    return len(copy) == SUPERBLOCK_BYTES and copy.startswith(MAGIC + VERSION.to_bytes(4, "little"))
