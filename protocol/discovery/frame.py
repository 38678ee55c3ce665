"""The frame of discovery and of set-up without IP: the same bytes in an Ethernet frame and in a UDP datagram.

All numbers are big-endian.

 OFFSET SIZE MEANING
      0    4 magic, "NSU" and a zero
      4    1 version, 1
      5    1 kind: 1 question, 2 answer, 16 to 31 set-up without IP
      6    2 size of the body in bytes, 0 to 1480
      8    8 nonce: random, the asker's; an answer has its question's
     16    - body
      -    4 CRC32C of all before

Rules
  * Whatever is wrong with a frame, it is no frame: `decode` gives None and never raises. Who calls it counts.
  * Ethernet pads to 46 bytes, and what it pads with says nothing: there, and only there, bytes may follow the CRC.
  * Bodies are opaque here: `answer.py` has that of kind 2; that of kind 1 is padding, so that no answer is longer
    than its question, and nobody gets more sent to a forged address than he sends himself.
  * The CRC finds accidents. It proves nothing about who sent it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from construct import Bytes, Const, Int8ub, Int16ub, Int32ub, Struct

from protocol.crc import crc32c

MAGIC: Final = b"NSU\0"
VERSION: Final = 1
HEAD_BYTES: Final = 16
CRC_BYTES: Final = 4
FRAME_BYTES_MAX: Final = 1500
"""The payload of one Ethernet frame."""
BODY_BYTES_MAX: Final = FRAME_BYTES_MAX - HEAD_BYTES - CRC_BYTES
PADDED_BYTES: Final = 46
"""The shortest payload of an Ethernet frame."""
NONCE_BYTES: Final = 8
SETUP_KINDS: Final = range(16, 32)

HEAD = Struct(
    "magic" / Const(MAGIC) * '"NSU" and a zero.',
    "version" / Int8ub * "1.",
    "kind" / Int8ub * "1 question, 2 answer, 16 to 31 set-up without IP.",
    "body_bytes" / Int16ub * "Size of the body, 0 to 1480.",
    "nonce" / Bytes(NONCE_BYTES) * "Random, the asker's; an answer has its question's.",
)
CRC = Int32ub

assert HEAD.sizeof() == HEAD_BYTES
assert CRC.sizeof() == CRC_BYTES


class Kind(IntEnum):
    """The kinds that are ours; SETUP_KINDS are set-up's."""

    QUESTION = 1
    ANSWER = 2


KINDS: Final = frozenset({*Kind, *SETUP_KINDS})


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame. `nonce` has 8 bytes, `body` at most BODY_BYTES_MAX."""

    kind: int
    nonce: bytes
    body: bytes = b""


def encode(frame: Frame) -> bytes:
    """Give its bytes, 20 to 1500."""
    assert frame.kind in KINDS
    assert len(frame.body) <= BODY_BYTES_MAX
    fields = {"version": VERSION, "kind": frame.kind, "body_bytes": len(frame.body), "nonce": frame.nonce}
    data: bytes = HEAD.build(fields) + frame.body
    checksum: bytes = CRC.build(crc32c(data))
    return data + checksum


def decode(data: bytes) -> Frame | None:
    """Read a frame, with Ethernet's padding behind it or without; None: it is none."""
    if not HEAD_BYTES + CRC_BYTES <= len(data) <= FRAME_BYTES_MAX or not data.startswith(MAGIC):
        return None
    head = HEAD.parse(data[:HEAD_BYTES])
    end = HEAD_BYTES + head.body_bytes
    whole = end + CRC_BYTES
    if head.version != VERSION or head.kind not in KINDS or not whole <= len(data) <= max(whole, PADDED_BYTES):
        return None
    if crc32c(data[:end]) != CRC.parse(data[end:whole]):
        return None
    return Frame(head.kind, head.nonce, data[HEAD_BYTES:end])
