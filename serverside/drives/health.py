"""Which drives have failed: known to every process at once, and never forgotten.

The rule (why: https://lwn.net/Articles/752063/, "PostgreSQL's fsync() surprise"): the kernel reports a failed
write-back ONCE per open file description and then marks the pages clean. A second fsync says "good" about
data that is lost. So whoever sees the error tells all, and nobody asks the drive again.

Where it lives: one byte for each drive in anonymous shared memory, made before any fork and inherited by all.
0 is healthy; anything else is the errno that ended the drive. A byte only ever goes from 0 to not 0, so it
needs no lock: two processes that fail a drive at once both leave it failed, and either errno is true.
"""

import mmap
from collections.abc import Callable
from typing import Final

ERRNO_MAX: Final = 255
"""An errno must fit its byte; Linux has none above 133."""


class DriveHealth:
    """The failed marks of `drives` drives, by index from 0. Make it before the first fork.

    `on_fail(index, errno)` is called by whoever marks a drive, in that process, before anybody can see the mark.
    """

    def __init__(self, drives: int, on_fail: Callable[[int, int], None] = lambda index, errno: None) -> None:
        assert drives >= 0
        self.drives = drives
        self.on_fail = on_fail
        self.cells = mmap.mmap(-1, max(1, drives))
        """Readable by index in a hot loop: `cells[index]` is 0 while the drive is healthy."""

    def fail(self, index: int, errno: int) -> None:
        """Mark a drive failed for every process, for good. The first errno stays."""
        assert 0 <= index < self.drives
        assert 0 < errno <= ERRNO_MAX
        if not self.cells[index]:
            self.on_fail(index, errno)
            self.cells[index] = errno

    def recall(self, index: int, errno: int) -> None:
        """Mark a drive that has failed in a former run, before anybody uses it."""
        self.cells[index] = errno

    def errno(self, index: int) -> int:
        """Give the errno that ended this drive, or 0 while it is healthy."""
        assert 0 <= index < self.drives
        return self.cells[index]
