"""How a process that may open no file notes a failed drive: it adds a line to one that was open before.

STATE/failed.journal holds what confined processes (`ipc/confinement.py`) have noted and the server has not yet made a
note of its own of (`failed_notes.py`). A line is on stable storage before anybody is told that the drive failed. The
server takes lines once a second, and at its start before it believes anything else.

The lock is fcntl's, which belongs to a process, for all share one open file description. What stands in the file was
written by processes that strangers talk to: it is bounded, and what is no note is dropped.
"""

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ipc.say import say

BYTES_MAX: Final = 64 << 10
LINES_MAX: Final = 256


class FailedJournal:
    """The open file. Raises OSError: it can't be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(path, flags, 0o600)

    def add(self, drive: str, errno: int) -> None:
        """Note, durably, that `drive` has failed. Raises OSError."""
        line = json.dumps({"drive": drive, "errno": errno}).encode() + b"\n"
        fcntl.lockf(self.fd, fcntl.LOCK_EX)
        try:
            os.write(self.fd, line)
            os.fdatasync(self.fd)
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def take(self, note: Callable[[str, int], None]) -> None:
        """Hand each line to `note`, whose OSError leaves all of them for the next time, and empty the file."""
        if os.fstat(self.fd).st_size == 0:
            return
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:  # somebody is writing: the next look
            return
        try:
            for line in os.pread(self.fd, BYTES_MAX, 0).splitlines()[:LINES_MAX]:
                drive, errno = _read(line)
                if errno:
                    note(drive, errno)
            os.ftruncate(self.fd, 0)
            os.fdatasync(self.fd)
        except OSError as error:
            say(f"nsu: server: {self.path} can't be taken over: {error.strerror}; it is tried again")
        finally:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


def _read(line: bytes) -> tuple[str, int]:
    """Give drive and errno of a line; errno 0: it is none."""
    try:
        note = json.loads(line)
        drive, errno = note["drive"], note["errno"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return "", 0
    is_note = isinstance(drive, str) and isinstance(errno, int) and 0 < errno < 256 and not isinstance(errno, bool)
    return (drive, errno) if is_note and drive.isprintable() and os.path.isabs(drive) else ("", 0)
