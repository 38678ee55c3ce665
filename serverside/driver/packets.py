"""The packets between SRWs and an array's driver process. Payload travels beside them, in the seat's buffer.

COMMAND: OFFSET SIZE MEANING                    ANSWER: OFFSET SIZE MEANING
  0  4  sequence number of the seat               0  4  sequence number of the command
  4  2  seat                                      4  4  status: 0 or an errno number
  6  1  operation (zn_op), MARK, order              8 248 sentence, UTF-8, NUL-padded
  7  1  flags: DURABLE 0x1
  8  4  partition (index of the partition table)
 12  4  where its payload begins in the seat's buffer
 16  8  LBA, blocks of 512 bytes
 24  8  blocks
little-endian; neither leaves the machine
"""

from struct import Struct
from typing import NamedTuple

MARK = 0
"""No operation: answered when every command posted before it, by whatever seat, is done."""
SCRUB = 0xF0
"""An order to the owner of a redundant array: compare all groups."""
PUT_OUT = 0xF1
"""An order: trust a place no more; its number stands where the LBA does."""
ORDERS = frozenset({SCRUB, PUT_OUT})
DURABLE = 0x1

_COMMAND = Struct("<IHBBIIQQ")
_ANSWER = Struct("<II248s")
COMMAND_BYTES = 32
ANSWER_BYTES = 256
SENTENCE_BYTES = 248

assert _COMMAND.size == COMMAND_BYTES
assert _ANSWER.size == ANSWER_BYTES


class Command(NamedTuple):
    """One COMMAND packet."""

    sequence: int
    seat: int
    op: int
    durable: bool
    partition: int
    lba: int
    blocks: int
    payload_at_bytes: int = 0

    def pack(self) -> bytes:
        """Give the packet."""
        flags = DURABLE if self.durable else 0
        return _COMMAND.pack(
            self.sequence, self.seat, self.op, flags, self.partition, self.payload_at_bytes, self.lba, self.blocks
        )

    @classmethod
    def unpack(cls, packet: bytes | memoryview) -> "Command":
        """Read a packet."""
        sequence, seat, op, flags, partition, payload_at_bytes, lba, blocks = _COMMAND.unpack(packet)
        return cls(sequence, seat, op, bool(flags & DURABLE), partition, lba, blocks, payload_at_bytes)


class Answer(NamedTuple):
    """One ANSWER packet."""

    sequence: int
    status: int
    sentence: str

    def pack(self) -> bytes:
        """Give the packet; a sentence too long is cut."""
        return _ANSWER.pack(self.sequence, self.status, self.sentence.encode()[:SENTENCE_BYTES])

    @classmethod
    def unpack(cls, packet: bytes | memoryview) -> "Answer":
        """Read a packet; a character cut in two is left out."""
        sequence, status, sentence = _ANSWER.unpack(packet)
        return cls(sequence, status, sentence.rstrip(b"\0").decode(errors="ignore"))
