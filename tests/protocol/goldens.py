"""Golden messages: files under `golden/`, written by hand and by an independent script, never by this project.

A file is comment lines, `length N`, then `OFFSET: hex` for each row of 16 bytes that is not all zeros.
"""

from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"

CHALLENGE = 0x12345678
SERVER_NONCE = bytes(range(32))
HOST_NONCE = bytes(range(100, 132))
PATH_NONCE = bytes(range(50, 82))
SECRET = bytes(range(200, 232))
SESSION = 77
EPOCH = 0x0102030405060708
MARKER = 0xFEEDF00D


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
