"""Small worlds for the server role's tests: drives in memory that crash and fail, and arrays of them."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

from serverside.arrays.base import Array
from serverside.arrays.open import open_array
from serverside.drives.base import Drive
from serverside.drives.health import DriveHealth
from serverside.settings import ArraySettings, DriveSettings

PAGE_BYTES = 512


class Cut(Exception):  # noqa: N818 an event, as KeyboardInterrupt is
    """The power went."""


class Steps:
    """Counts I/O steps, and cuts the power before or in the middle of step `last`."""

    def __init__(self, last: int | None = None) -> None:
        self.last = last
        self.count = 0

    def step(self) -> None:
        """One step of I/O is about to be done."""
        if self.last is not None and self.count >= self.last:
            raise Cut
        self.count += 1


class MemoryDrive(Drive):
    """A drive with a volatile cache in front of stable storage.

    `crash` keeps of the unsynced pages a random part, as a real cache does that writes back when it likes.
    """

    def __init__(self, content: bytes, steps: Steps | None = None) -> None:
        super().__init__(Path("memory"), -1, len(content), DriveHealth(1), 0)
        self.stable = bytearray(content)
        self.cached = bytearray(content)
        self.steps = steps or Steps()

    @classmethod
    def open(cls, settings: DriveSettings, health: DriveHealth, index: int) -> Self:
        """There is nothing to open."""
        raise NotImplementedError

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        """Read the cache."""
        self.check(offset_bytes, len(view))
        view[:] = self.cached[offset_bytes : offset_bytes + len(view)]

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        """Write page by page: the power may go between two."""
        self.check(offset_bytes, len(view))
        for at in range(0, len(view), PAGE_BYTES * 64):
            self.steps.step()
            piece = bytes(view[at : at + PAGE_BYTES * 64])
            self.cached[offset_bytes + at : offset_bytes + at + len(piece)] = piece
        if durable:
            self.steps.step()
            self.stable[offset_bytes : offset_bytes + len(view)] = view

    def flush(self) -> None:
        """Make the cache stable."""
        self.check(0, 0)
        self.steps.step()
        self.stable[:] = self.cached

    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Fill with rubbish: nothing is promised of what was trimmed."""
        self.write_from(memoryview(b"\xdd" * length_bytes), offset_bytes)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool) -> None:
        """Write zeros, in steps, so that a zeroing may be interrupted."""
        self.write_from(memoryview(bytes(length_bytes)), offset_bytes)

    def reopen(self) -> None:
        """It has no descriptor."""

    def descriptors(self) -> frozenset[int]:
        """It has none."""
        return frozenset()

    def close(self) -> None:
        """There is nothing to close."""

    def crash(self, luck: random.Random) -> bytes:
        """Give what a machine finds after the power came back."""
        content = bytearray(self.stable)
        for at in range(0, len(content), PAGE_BYTES):
            if luck.random() < 0.5:
                content[at : at + PAGE_BYTES] = self.cached[at : at + PAGE_BYTES]
        return bytes(content)


def memory_array(drives: Sequence[Drive], level: str = "jbod", stripe_bytes: int = 65536) -> Array:
    """Join drives that need no settings of their own."""
    named = tuple(DriveSettings(drive.path) for drive in drives)
    return open_array(ArraySettings("unit0", level, named, stripe_bytes=stripe_bytes), drives)


def until_cut(act: Callable[[], object]) -> bool:
    """Do it; tell whether the power went meanwhile."""
    try:
        act()
    except Cut:
        return True
    return False
