"""Golden messages: files under `golden/`, written by hand and by an independent script, never by this project.

A file is comment lines, `length N`, then `OFFSET: hex` for each row of 16 bytes that is not all zeros.
"""

from collections.abc import Iterator
from pathlib import Path

from protocol.crc import crc32c
from protocol.ops import Flag, Op

FOLDER = Path(__file__).parent / "golden"

CHALLENGE = 0x12345678
SERVER_NONCE = bytes(range(32))
HOST_NONCE = bytes(range(100, 132))
PATH_NONCE = bytes(range(50, 82))
SECRET = bytes(range(200, 232))
SESSION = 77
EPOCH = 0x0102030405060708
MARKER = 0xFEEDF00D

V2_REQUESTS = [
    ("v2_50_read", Op.READ, Flag.PAYLOAD_CRC | Flag.TRACE, 2**32 + 7, 4096, 0),
    ("v2_51_write", Op.WRITE, Flag.FUA | Flag.PAYLOAD_CRC, 2**32 + 7, 512, crc32c(b"\xa5" * 512)),
    ("v2_52_flush", Op.FLUSH, 0, 0, 0, 0),
    ("v2_53_trim", Op.TRIM, 0, 8, 2**40, 0),
    ("v2_54_write_zeroes", Op.WRITE_ZEROES, 0, 8, 1 << 20, 0),
    ("v2_55_ping", Op.PING, 0, 0, 0, 0),
]
"""Golden file, operation, flags, block, size in bytes, CRC of the payload; tags count from 1000."""

V2_ANSWERS = [
    "v2_60_read_answer",
    "v2_61_write_refused",
    "v2_62_flush_answer",
    "v2_63_trim_answer",
    "v2_64_write_zeroes_answer",
    "v2_65_ping_answer",
]


def golden(name: str) -> bytes:
    """Give the bytes of `golden/NAME.hex`."""
    lines = (FOLDER / f"{name}.hex").read_text().splitlines()
    rows = [line for line in lines if not line.startswith("#")]
    data = bytearray(int(rows[0].removeprefix("length ")))
    for row in rows[1:]:
        offset, _, digits = row.partition(": ")
        part = bytes.fromhex(digits)
        data[int(offset, 16) : int(offset, 16) + len(part)] = part
    return bytes(data)


def pieces(data: bytes, size_bytes: int) -> Iterator[bytes]:
    """Cut data into pieces, as TCP may."""
    for start in range(0, len(data), size_bytes):
        yield data[start : start + size_bytes]
