"""Version 0x02, fast: the same bytes as `layout.py`, by `struct`. Tests prove the two equal.

`Header` with `encode` and `decode` serves the configuration socket and path logins. The data socket, where
microseconds count, uses the three structs below directly: each names the fields it moves and skips the
others, and packing one writes zeros wherever it skips. A header is good when its CRC is: `decode` refuses
any other.
"""

from collections.abc import Sequence
from struct import Struct
from typing import NamedTuple

from protocol.crc import crc32c
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, NAME_BYTES_MAX, SENTENCE_BYTES
from protocol.records import UnitFlag, UnitRecord

CRC_OFFSET_BYTES = 508
UNUSED_OFFSET_BYTES = 80
"""From here to the header CRC a plain request, and its good answer, has zeros."""
TIMES_OFFSET_BYTES = 88
TEXT_OFFSET_BYTES = 128

HEADER = Struct(">16IQIIII6I16x256s32s32sI56xI")
REQUEST = Struct(">IIII4xI4xIII4xQQIQIII424x")
"""Type, version, session, unit, sequence, op, flags, request id, size, lba, marker, epoch, path, generation,
payload CRC; without the header CRC, which is over the result."""
PLAIN = Struct(">IIIIIIIII4xIQQIQII428xI")
"""As REQUEST, and with the three words that a request leaves 0 in their places (authentic, nsequence, status); without
request id and payload CRC, but with the header CRC."""
ANSWER = Struct(">IIII4xI4xIIIIQQIQIII424x")
"""As REQUEST, with the status after the request id."""
TIMES = Struct(">6I")
U32 = Struct(">I")
UNIT_RECORD = Struct(">IIQI4x16s24x64s")

assert HEADER.size == HEADER_BYTES
assert REQUEST.size == ANSWER.size == CRC_OFFSET_BYTES
assert PLAIN.size == HEADER_BYTES
assert UNIT_RECORD.size == 128

_ZEROS_32 = bytes(32)


class Header(NamedTuple):
    """Every field in its order but the reserved bytes, which are sent as zeros and not looked at."""

    zn_type: int = 1
    zn_version: int = 2
    zn_hostid: int = 0
    zn_zlun: int = 0
    zn_authentic: int = 0
    zn_sequence: int = 0
    zn_nsequence: int = 0
    zn_op: int = 0
    zn_flags: int = 0
    zn_requestid: int = 0
    zn_status: int = 0
    zn_reqsz_hi: int = 0
    zn_reqsz_lo: int = 0
    zn_lba_hi: int = 0
    zn_lba_lo: int = 0
    zn_marker: int = 0
    session_epoch: int = 0
    path: int = 0
    generation: int = 0
    payload_crc: int = 0
    verifier: int = 0
    trace_2s: int = 0
    trace_3s: int = 0
    trace_4s: int = 0
    trace_5s: int = 0
    trace_6s: int = 0
    trace_spare: int = 0
    text: bytes = b""
    nonce: bytes = _ZEROS_32
    proof: bytes = _ZEROS_32
    supported: int = 0
    header_crc: int = 0


def encode(header: Header) -> bytes:
    """Give the 512 bytes with their CRC, whatever `header_crc` says."""
    frame = HEADER.pack(*header)[:CRC_OFFSET_BYTES]
    return frame + U32.pack(crc32c(frame))


def is_whole(frame: bytes) -> bool:
    """Say whether 512 bytes are a version 0x02 header: whether their CRC holds."""
    stored: int = U32.unpack_from(frame, CRC_OFFSET_BYTES)[0]
    return crc32c(frame[:CRC_OFFSET_BYTES]) == stored


def decode(frame: bytes) -> Header:
    """Read 512 bytes; RemoteProtocolError when their CRC does not hold."""
    if not is_whole(frame):
        raise RemoteProtocolError("The header's CRC32C does not hold: bytes were changed, or their place is lost.")
    return Header(*HEADER.unpack(frame))


def to_text(sentence: str, size_bytes: int = SENTENCE_BYTES) -> bytes:
    """Give a sentence as UTF-8, cut between two characters when it is too long."""
    data = sentence.encode(errors="replace")
    return data if len(data) <= size_bytes else data[:size_bytes].decode(errors="ignore").encode()


def from_text(field: bytes) -> str:
    """Read a NUL-padded field; what is not UTF-8 is marked, for a sentence must never break a dialogue."""
    return field.rstrip(b"\0").decode(errors="replace")


def pack_units(units: Sequence[UnitRecord]) -> bytes:
    """Give the list of Z_GET_UNITS."""
    return b"".join(
        UNIT_RECORD.pack(unit.number, unit.generation, unit.blocks, unit.flags, unit.uuid, unit.name.encode())
        for unit in units
    )


def unpack_units(data: bytes) -> tuple[UnitRecord, ...]:
    """Read the list of Z_GET_UNITS; RemoteProtocolError when a name is none."""
    return tuple(_unpack_unit(*fields) for fields in UNIT_RECORD.iter_unpack(data))


def _unpack_unit(number: int, generation: int, blocks: int, flags: int, uuid: bytes, name: bytes) -> UnitRecord:
    text = from_text(name)
    if not 0 < len(text.encode()) <= NAME_BYTES_MAX:
        raise RemoteProtocolError(f"Unit {number} has no name of 1 to {NAME_BYTES_MAX} UTF-8 bytes.")
    return UnitRecord(number, generation, blocks, UnitFlag(flags), uuid, text)
