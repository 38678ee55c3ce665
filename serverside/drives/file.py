"""A drive that is a file: made sparse at its size when absent, never grown silently.

A new file is made under a temporary name, sized, synced and only then renamed to its own: after a crash there
is no file, or one of full size.
"""

import errno
import os
from pathlib import Path
from typing import Self

from serverside.drives.base import NO_ROOM, UNSUPPORTED, Drive, DriveError, cannot_open, checked_size, lock
from serverside.drives.fallocate import KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE, fallocate
from serverside.drives.health import DriveHealth
from serverside.settings import DriveSettings

FLAGS = os.O_RDWR | os.O_CLOEXEC


class FileDrive(Drive):
    """A regular file."""

    @classmethod
    def open(cls, settings: DriveSettings, health: DriveHealth, index: int) -> Self:
        """Open the file; make it, sparse, if it is absent and its size is given."""
        path = settings.path
        try:
            fd = os.open(path, FLAGS)
        except FileNotFoundError as error:
            if settings.size_bytes is None:
                hint = "; give its size, as in DRIVE = FILE(20GiB), to have it made"
                raise cannot_open(path, error, hint) from error
            fd = _make(path, settings.size_bytes)
        except OSError as error:
            raise cannot_open(path, error) from error
        try:
            lock(fd, path)
            size_bytes = checked_size(path, os.fstat(fd).st_size, settings.size_bytes)
        except DriveError:
            os.close(fd)
            raise
        return cls(path, fd, size_bytes, health, index)

    def has_no_data(self) -> bool | None:
        """A file of holes alone, as a new one is; lseek(2): ENXIO when no data follows."""
        try:
            os.lseek(self.fd, 0, os.SEEK_DATA)
        except OSError as error:
            return error.errno == errno.ENXIO
        return False

    def make_room(self, offset_bytes: int, length_bytes: int) -> None:
        """Allocate; any trouble but "no room" is for the write to tell."""
        try:
            fallocate(self.fd, KEEP_SIZE, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno in NO_ROOM:
                raise self.no_room(error) from error

    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Punch a hole; on a file system without holes, nothing."""
        self.check(offset_bytes, length_bytes)
        if length_bytes == 0:
            return
        try:
            fallocate(self.fd, PUNCH_HOLE, offset_bytes, length_bytes)
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise self.not_trimmed(error, offset_bytes) from error

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
        """Zero by the cheapest means that the file system has."""
        self.check(offset_bytes, length_bytes)
        if length_bytes == 0:
            return
        for mode in (PUNCH_HOLE, ZERO_RANGE) if may_trim else (ZERO_RANGE,):
            try:
                fallocate(self.fd, mode, offset_bytes, length_bytes)
            except OSError as error:
                if error.errno in NO_ROOM:
                    raise self.no_room(error) from error
                if error.errno not in UNSUPPORTED:
                    self.fail(f"zeroing at byte {offset_bytes} failed", error)
            else:
                return
        self.write_zero_bytes(offset_bytes, length_bytes)


def _make(path: Path, size_bytes: int) -> int:
    """Make the file and give its descriptor, open and locked."""
    fresh = path.with_name(f".{path.name}.new")
    fd = -1
    try:
        fd = os.open(fresh, FLAGS | os.O_CREAT, 0o600)
        lock(fd, path)
        os.ftruncate(fd, size_bytes)
        os.fsync(fd)
        os.rename(fresh, path)
        _sync_folder(path.parent)
    except OSError as error:
        if fd >= 0:
            os.close(fd)
        raise cannot_open(path, error, f"; it was to be made with {size_bytes} bytes") from error
    except DriveError:
        os.close(fd)
        raise
    return fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
