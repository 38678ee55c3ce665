"""How a drive of an array with redundancy is divided: its head, with what the array must know, then data.

Apart from the superblock, because nsu.conf is checked by it where no superblock is ever read.
"""

MIB = 1 << 20
MEMBERS_MAX = 32
"""Drives that a superblock has room for."""
STRIPE_BYTES_MAX = MIB
"""A rebuild reads a stripe of every drive at once; larger ones would make its steps long."""
JOURNAL_SHARE = 256
"""The head takes one part in so many of a drive, between 1 MiB and HEAD_BYTES_MAX."""
HEAD_BYTES_MAX = 64 * MIB


def division_of(drive_bytes: int, stripe_bytes: int) -> tuple[int, int]:
    """Give the bytes of the head and of the data of each drive of a new array whose smallest has `drive_bytes`."""
    head_bytes = min(max(drive_bytes // JOURNAL_SHARE // MIB * MIB, MIB), HEAD_BYTES_MAX)
    return head_bytes, max(0, drive_bytes - head_bytes) // stripe_bytes * stripe_bytes
