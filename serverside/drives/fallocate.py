"""The one door to fallocate(2) with modes, which Python's `os` does not offer (`os.posix_fallocate` has no
mode).

All modes keep the file's size. KEEP_SIZE alone allocates the range, and what it holds stays. PUNCH_HOLE gives the space
back; ZERO_RANGE keeps it allocated where the file system can. With either of the two the range reads as zeros, and a
later fdatasync makes that durable.
"""

import ctypes
import errno
import os

KEEP_SIZE = 0x01
PUNCH_HOLE = 0x02 | KEEP_SIZE
"""linux/falloc.h: FALLOC_FL_PUNCH_HOLE must be combined with FALLOC_FL_KEEP_SIZE."""
ZERO_RANGE = 0x10 | KEEP_SIZE

_libc = ctypes.CDLL(None, use_errno=True)
# A 32-bit glibc gives plain `fallocate` a 32-bit offset; musl has the plain name only, and it is 64-bit
# there.
_fallocate = getattr(_libc, "fallocate64", None) or _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_fallocate.restype = ctypes.c_int


def fallocate(fd: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
    """Punch out or zero a range, once more after each EINTR. Raise OSError as `os` functions do."""
    while _fallocate(fd, mode, offset_bytes, length_bytes) != 0:
        number = ctypes.get_errno()
        if number != errno.EINTR:
            raise OSError(number, os.strerror(number))
