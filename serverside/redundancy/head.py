"""Reading and writing the head of a drive, and telling whether a drive is blank. Errors are DriveErrors."""

from serverside.drives.base import Drive
from serverside.redundancy.superblock import COPIES_AT_BYTES, SUPERBLOCK_BYTES, Label, decode, encode, looks_like_one
from serverside.redundancy.xor import is_zero

SMALL_BYTES = 64 << 20
"""A drive up to this size is read whole before it is called blank."""
ENDS_BYTES = 1 << 20
"""Of a larger device so much must be zero at both ends, where partition tables, file systems and volume managers have
their marks, and PROBES spots in between. (A larger file that has any data is not blank.)
"""
PROBES = 256


def read_label(drive: Drive) -> Label | None:
    """Give the newest whole superblock of a drive; None if there is none."""
    labels = [label for copy in _copies(drive) if (label := decode(copy)) is not None]
    return max(labels, key=lambda label: label.superblock.events, default=None)


def is_damaged(drive: Drive) -> bool:
    """Whether there was a superblock, and no copy of it is whole."""
    return read_label(drive) is None and any(looks_like_one(copy) for copy in _copies(drive))


def write_label(drive: Drive, label: Label) -> None:
    """Write the copy whose turn it is, onto stable storage."""
    at_bytes = COPIES_AT_BYTES[label.superblock.events % 2]
    drive.write_from(memoryview(encode(label)), at_bytes, durable=True)


def erase_labels(drive: Drive) -> None:
    """Make a drive forget which array it was of: both copies, for the newest counts."""
    for at_bytes in COPIES_AT_BYTES:
        drive.write_from(memoryview(bytes(SUPERBLOCK_BYTES)), at_bytes, durable=True)


def is_blank(drive: Drive) -> bool:
    """Whether a drive holds nothing: certainly, or for a large device very likely."""
    size = drive.size_bytes
    without_data = drive.has_no_data()
    if without_data:
        return True
    if size > SMALL_BYTES and without_data is not None:
        return False
    spots = [(at, ENDS_BYTES) for at in range(0, size, ENDS_BYTES)]
    if size > SMALL_BYTES:
        between = [(size * probe // PROBES // 4096 * 4096, 4096) for probe in range(PROBES)]
        spots = [(0, ENDS_BYTES), (size // 512 * 512 - ENDS_BYTES, ENDS_BYTES), *between]
    return all(is_zero(_read(drive, at, min(length, size - at) // 8 * 8)) for at, length in spots)


def _copies(drive: Drive) -> list[bytes]:
    if drive.size_bytes < COPIES_AT_BYTES[-1] + SUPERBLOCK_BYTES:
        return []
    return [bytes(_read(drive, at, SUPERBLOCK_BYTES)) for at in COPIES_AT_BYTES]


def _read(drive: Drive, offset_bytes: int, length_bytes: int) -> bytearray:
    found = bytearray(length_bytes)
    drive.read_into(memoryview(found), offset_bytes)
    return found
