"""A drive that is a block device.

O_EXCL on a block device asks the kernel for it exclusively: a mounted file system, swap or another volume
manager on it means EBUSY (open(2)). The flock keeps other NSUs away in the same words as for a file.
"""

import fcntl
import os
import struct
from typing import Final, Self

from serverside.drives.base import UNSUPPORTED, Drive, DriveError, cannot_open, checked_size, lock
from serverside.drives.health import DriveHealth
from serverside.settings import DriveSettings

BLKDISCARD: Final = 0x1277
BLKZEROOUT: Final = 0x127F
"""linux/fs.h: _IO(0x12,119) and _IO(0x12,127), each given two u64: first byte and length."""
PIECE_BYTES: Final = 128 << 20
"""One ioctl takes this much at most: a process may not die inside one, and a fence waits for the dead."""


class BlockDrive(Drive):
    """A block device."""

    @classmethod
    def open(cls, settings: DriveSettings, health: DriveHealth, index: int) -> Self:
        """Open the device for this NSU alone."""
        path = settings.path
        try:
            fd = os.open(path, os.O_RDWR | os.O_EXCL | os.O_CLOEXEC)
        except OSError as error:
            raise cannot_open(path, error, "; one that is mounted or in use elsewhere can't be served") from error
        try:
            lock(fd, path)
            size_bytes = checked_size(path, os.lseek(fd, 0, os.SEEK_END), settings.size_bytes)
        except DriveError:
            os.close(fd)
            raise
        return cls(path, fd, size_bytes, health, index)

    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Discard; on a device that can't, nothing."""
        self.check(offset_bytes, length_bytes)
        try:
            self._each_piece(BLKDISCARD, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise self.not_trimmed(error, offset_bytes) from error

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
        """Have the device zero the range (it may unmap it by itself), or write zeros."""
        self.check(offset_bytes, length_bytes)
        try:
            self._each_piece(BLKZEROOUT, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                self.fail(f"zeroing at byte {offset_bytes} failed", error)
            self.write_zero_bytes(offset_bytes, length_bytes)

    def _each_piece(self, request: int, offset_bytes: int, length_bytes: int) -> None:
        end_bytes = offset_bytes + length_bytes
        while offset_bytes < end_bytes:
            count = min(PIECE_BYTES, end_bytes - offset_bytes)
            # By the description that has the device exclusively: by another (see `reopen`) the kernel refuses (EBUSY)
            # to drop pages that are not written back yet, for the sake of whoever has the device.
            fcntl.ioctl(self._lock_fd, request, struct.pack("QQ", offset_bytes, count))
            offset_bytes += count
