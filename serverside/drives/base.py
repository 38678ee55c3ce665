"""A drive: bytes at offsets, all or an error. Every kind of drive keeps this contract.

Guarantees
  * `read_into` fills the whole view or raises; `write_from` writes the whole view or raises. Short counts are
    looped over here; EINTR is looped over by Python itself (PEP 475).
  * `durable` writes are on stable storage at return (pwritev2's RWF_DSYNC); others after a later `flush`.
  * One drive has one owner: an exclusive flock is held from opening on. It belongs to the open file
    description, so forked children share it, and it goes when the last of them has gone, however they die.

Errors, and how far each one reaches
  * A read error, and "no room" (ENOSPC, EDQUOT: a sparse file on a full file system), concern that request
    only.
  * Any other write error and ANY error of a sync fail the drive for every process, for good (`health.py` has
    the reason). From then on each operation raises DriveError(EIO). Nothing is ever synced a second time and
    called good.

Who sees a sync's error. Processes that inherited one open file description share its error mark: one of them
sees the error, once, and if it is killed before it can tell, nobody knows. So each process that does I/O
calls `reopen`: it then has its own mark and sees each error itself. A description opened AFTER an error was
reported does not see that one; for this case `reopen` asks the inherited description (nobody syncs through
it, so it still remembers) as its witness.
"""

import errno
import fcntl
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import NoReturn, Self

from serverside.drives.health import ERRNO_MAX, DriveHealth
from serverside.drives.witness import raise_unreported_error
from serverside.settings import DriveSettings

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
UNSUPPORTED = frozenset({errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOTTY, errno.ENODEV})
"""How file systems and devices say "I don't know this operation, or not at this alignment"."""

_ZEROES = memoryview(bytes(1 << 20))


class DriveError(Exception):
    """A drive could not do what was asked: an errno number, and a sentence for people.

    For a request `errno` is EIO or ENOSPC, nothing else; at the opening what open(2) says, EBUSY or EINVAL.
    """

    def __init__(self, errno: int, sentence: str) -> None:
        super().__init__(errno, sentence)
        self.errno = errno
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class Drive(ABC):
    """One open drive. `fd` is open for reading and writing; `health` holds its failed mark at `index`."""

    def __init__(self, path: Path, fd: int, size_bytes: int, health: DriveHealth, index: int) -> None:
        self.path = path
        self.name = str(path)
        self.fd = fd
        self.size_bytes = size_bytes
        self.health = health
        self.index = index
        self._lock_fd = fd
        self._cells = health.cells

    @classmethod
    @abstractmethod
    def open(cls, settings: DriveSettings, health: DriveHealth, index: int) -> Self:
        """Open and lock the drive, and check its size. Raise DriveError with a sentence."""

    @abstractmethod
    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Say that these bytes are not needed any more: a hint; what they read as then is not promised."""

    @abstractmethod
    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
        """Make these bytes read as zeros; `may_trim` allows giving their space back."""

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        """Fill `view` with the bytes at `offset_bytes`, whole, or raise DriveError."""
        self.check(offset_bytes, len(view))
        while len(view):
            try:
                count = os.preadv(self.fd, [view], offset_bytes)
            except OSError as error:
                raise DriveError(
                    errno.EIO,
                    f"drive {self.name} could not be read at byte {offset_bytes}: {error.strerror}",
                ) from error
            if count == len(view):
                return
            if count == 0:
                raise DriveError(
                    errno.EIO,
                    f"drive {self.name} ends at byte {offset_bytes} now, and had {self.size_bytes} bytes "
                    "when it was opened: somebody else has cut it",
                )
            view = view[count:]
            offset_bytes += count

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        """Write all of `view` at `offset_bytes`, onto stable storage if `durable`, or raise DriveError."""
        self.check(offset_bytes, len(view))
        flags = os.RWF_DSYNC if durable else 0
        while len(view):
            try:
                count = os.pwritev(self.fd, [view], offset_bytes, flags)
            except OSError as error:
                self._write_refused(error, view, offset_bytes, durable)
            if count == len(view):
                return
            if count == 0:
                self.fail(f"it took nothing of a write at byte {offset_bytes}", OSError(errno.EIO, "no byte"))
            view = view[count:]
            offset_bytes += count

    def make_room(self, offset_bytes: int, length_bytes: int) -> None:
        """Have these bytes take up their space now; what they hold stays. Raise DriveError(ENOSPC) if there is none.

        Nothing else is raised: a drive that has failed, or can't promise that, does nothing.
        """
        del offset_bytes, length_bytes

    def has_no_data(self) -> bool | None:
        """Whether nothing was ever written to this drive; None: it can't tell."""
        return None

    def flush(self) -> None:
        """Put everything written so far, by any process, onto stable storage, or raise DriveError."""
        self.check(0, 0)
        try:
            os.fdatasync(self.fd)
        except OSError as error:
            self.fail("a flush failed", error)
        # Another process may have been told of a loss while this one was told that all is well.
        self.check(0, 0)

    def reopen(self) -> None:
        """Take an open file description of this process's own, after its fork (the top says why).

        Never raises: a loss that the witness tells of fails the drive, and the next operation says so.
        """
        try:
            # By the descriptor, not by the path: the file may have been renamed since.
            own = os.open(f"/proc/self/fd/{self._lock_fd}", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            # No /proc, or no descriptor left: the shared description works too, only its error mark is
            # shared.
            own = self._lock_fd
        if self.fd != self._lock_fd:
            os.close(self.fd)
        self.fd = own
        try:
            raise_unreported_error(self._lock_fd)
        except OSError as error:
            self.health.fail(self.index, min(error.errno or errno.EIO, ERRNO_MAX))

    def descriptors(self) -> frozenset[int]:
        """The descriptors that a forked child must keep to use this drive."""
        return frozenset({self.fd, self._lock_fd})

    def close(self) -> None:
        """Close it, without a flush; the lock goes when no other process holds it."""
        for fd in self.descriptors():
            os.close(fd)
        self.fd = self._lock_fd = -1

    def check(self, offset_bytes: int, length_bytes: int) -> None:
        """Raise DriveError(EIO) if the drive has failed; the range was checked at the border."""
        assert 0 <= offset_bytes <= offset_bytes + length_bytes <= self.size_bytes
        if self._cells[self.index]:
            raise self._has_failed()

    def fail(self, what: str, error: OSError) -> NoReturn:
        """Mark the drive failed for every process, and raise."""
        self.health.fail(self.index, min(error.errno or errno.EIO, ERRNO_MAX))
        raise self._has_failed(what) from error

    def no_room(self, error: OSError) -> DriveError:
        """Make the error of a request that found the file system full; the drive itself is well."""
        return DriveError(
            errno.ENOSPC,
            f"drive {self.name} has no room to write: {error.strerror}; free some on its file system",
        )

    def not_trimmed(self, error: OSError, offset_bytes: int) -> DriveError:
        """Make the error of a TRIM: a hint not taken has lost nothing, so only the request fails."""
        return DriveError(
            errno.EIO,
            f"drive {self.name} could not trim at byte {offset_bytes}: {error.strerror}",
        )

    def write_zero_bytes(self, offset_bytes: int, length_bytes: int) -> None:
        """Write zeros the plain way, in bounded pieces."""
        while length_bytes:
            count = min(length_bytes, len(_ZEROES))
            self.write_from(_ZEROES[:count], offset_bytes)
            offset_bytes += count
            length_bytes -= count

    def _has_failed(self, what: str = "") -> DriveError:
        reason = os.strerror(self.health.errno(self.index))
        what = f"{what}, {reason}" if what else reason
        return DriveError(errno.EIO, f"drive {self.name} has failed: {what}; it stays failed until replaced")

    def _write_refused(self, error: OSError, view: memoryview, offset_bytes: int, durable: bool) -> NoReturn:
        if error.errno in NO_ROOM and not (durable and self._has_room(view, offset_bytes)):
            raise self.no_room(error) from error
        self.fail(f"a write at byte {offset_bytes} failed", error)

    def _has_room(self, view: memoryview, offset_bytes: int) -> bool:
        """Tell whether the plain write passes where the durable one said "no room".

        Then it was the sync half that ran out of room (thin storage below): data taken earlier is lost, and
        that fails the drive as any failed sync does. Writing the same bytes again can do no harm.
        """
        try:
            os.pwritev(self.fd, [view], offset_bytes)
        except OSError as error:
            return error.errno not in NO_ROOM
        return True


def lock(fd: int, path: Path) -> None:
    """Take the drive for this NSU alone, or raise DriveError(EBUSY)."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise DriveError(
            errno.EBUSY, f"drive {path} is in use already: one drive belongs to one array of one running NSU"
        ) from error


def checked_size(path: Path, size_bytes: int, asked_bytes: int | None) -> int:
    """Give the bytes to use of a drive that has `size_bytes`; raise DriveError when more was asked for."""
    if asked_bytes is None:
        asked_bytes = size_bytes
    if size_bytes < asked_bytes:
        raise DriveError(
            errno.EINVAL,
            f"drive {path} has {size_bytes} bytes, less than the {asked_bytes} bytes asked for: it is not "
            "grown by itself; grow it, or ask for the size it has",
        )
    if asked_bytes == 0:
        raise DriveError(errno.EINVAL, f"drive {path} has no bytes: give a size, or a drive that has one")
    return asked_bytes


def cannot_open(path: Path, error: OSError, hint: str = "") -> DriveError:
    """Make the error of a drive that can't be opened."""
    return DriveError(error.errno or errno.EIO, f"drive {path} can't be opened: {error.strerror}{hint}")
