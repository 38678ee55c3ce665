"""An array: drives joined into one range of bytes. Every level keeps this contract.

A level says one thing, purely: where each byte is (`extents`). Reading and writing follow from it and are the
same for all levels without redundancy.

  * `extents(offset, length)` covers the range exactly, in its order, without overlap: piece i of the caller's
    buffer goes to extent i.
  * `spans(offset, length)` covers the same bytes in as few pieces as may be, for work in which the order of
    the bytes does not matter (TRIM, WRITE ZEROES): a terabyte of raid0 is one span for each drive, not a list
    of stripes.
  * Without redundancy and with one drive, a byte of the array is the same byte of the drive. A mirror of which one
    drive is left is another thing: there is a superblock, and all that changes it goes through the array's owner.

Ranges are checked at the border, against `capacity_blocks`; here they are asserted. Errors are DriveErrors.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from protocol.limits import BLOCK_BYTES
from serverside.drives.base import Drive
from serverside.settings import ArraySettings


class Extent(NamedTuple):
    """A contiguous piece of one drive."""

    drive_index: int
    offset_bytes: int
    length_bytes: int


class OwnerNeeded(Exception):  # noqa: N818 a state of affairs; whoever reads asks the owner
    """Not everybody can read these bytes now; the array's driver process can."""


class Ownership:
    """What levels with redundancy need an owner for (`redundant.py`). The others need none: here all of it is nothing.

    The owner is the array's driver process, except for moments when there is none.
    """

    def needs_owner(self, op: int) -> bool:
        """Whether an operation must be done by the owner, whatever the partition."""
        del op
        return False

    def own(self) -> None:
        """Become the owner, before anything is asked of it."""

    def release(self) -> None:
        """Own it no more: make all durable, so that another process may. Raise DriveError."""

    def tend(self) -> bool:
        """Owner only: do one bounded step of work on the array itself; False: there is none."""
        return False

    def was_read(self) -> bool:
        """Owner only: whether somebody has read without it since this was last asked."""
        return False

    def rest(self) -> None:
        """Owner only: nobody has asked anything for a second."""

    def obey(self, order: int, place: int) -> None:
        """Owner only: do what people ordered (`serverside/driver/packets.py`). Raise DriveError."""


class Array(Ownership, ABC):
    """Drives joined as one level says. `capacity_bytes` is a multiple of 512."""

    def __init__(self, settings: ArraySettings, drives: Sequence[Drive]) -> None:
        assert drives, "nsu.conf refuses an array without drives"
        self.name = settings.name
        self.settings = settings
        self.drives = tuple(drives)
        self._sizes_bytes = tuple(whole_blocks(drive.size_bytes) for drive in drives)
        self.capacity_bytes = self._capacity_bytes()
        assert self.capacity_bytes % BLOCK_BYTES == 0
        self.capacity_blocks = self.capacity_bytes // BLOCK_BYTES
        self.only_drive = self._only_drive()
        """The drive of which each byte is the same byte of the array, if there is one: it may be used directly."""

    def _only_drive(self) -> Drive | None:
        return self.drives[0] if len(self.drives) == 1 else None

    @abstractmethod
    def _capacity_bytes(self) -> int:
        """Give the bytes that the drives hold together at this level."""

    @abstractmethod
    def extents(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """Tell where a range lies, in its order. Pure."""

    def spans(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """Tell where a range lies, in as few pieces as may be, in any order. Pure."""
        return self.extents(offset_bytes, length_bytes)

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        """Fill `view` with the bytes at `offset_bytes`, or raise DriveError."""
        self._check(offset_bytes, len(view))
        if self.only_drive is not None:
            self.only_drive.read_into(view, offset_bytes)
            return
        for drive, piece, at_bytes in self._pieces(view, offset_bytes):
            drive.read_into(piece, at_bytes)

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        """Write all of `view` at `offset_bytes`, or raise DriveError (then any part of it may be written)."""
        self._check(offset_bytes, len(view))
        if self.only_drive is not None:
            self.only_drive.write_from(view, offset_bytes, durable)
            return
        for drive, piece, at_bytes in self._pieces(view, offset_bytes):
            drive.write_from(piece, at_bytes, durable)

    def write_many(self, writes: Sequence[tuple[int, memoryview]], durable: bool = False) -> None:
        """Write all, in their order: (offset_bytes, view) each. DriveError: any part may be written."""
        for offset_bytes, view in writes:
            self.write_from(view, offset_bytes, durable)

    def flush(self) -> None:
        """Put everything written so far onto stable storage: every drive, as a write may be on any."""
        for drive in self.drives:
            drive.flush()

    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Say that a range is not needed any more; what it reads as afterwards is not promised."""
        self._check(offset_bytes, length_bytes)
        for span in self.spans(offset_bytes, length_bytes):
            self.drives[span.drive_index].trim(span.offset_bytes, span.length_bytes)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool = True) -> None:
        """Make a range read as zeros; `may_trim` allows giving its space back."""
        self._check(offset_bytes, length_bytes)
        for span in self.spans(offset_bytes, length_bytes):
            self.drives[span.drive_index].write_zeroes(span.offset_bytes, span.length_bytes, may_trim)

    def describe_drives(self) -> list[dict[str, Any]]:
        """Tell of the drives, for `nsu status`."""
        return [
            {
                "name": drive.name,
                "size_bytes": drive.size_bytes,
                "state": "failed" if drive.health.errno(drive.index) else "good",
            }
            for drive in self.drives
        ]

    def describe(self) -> dict[str, Any]:
        """Tell what the level has beyond drives."""
        return {}

    @property
    def has_failed(self) -> bool:
        """Whether a drive of it has failed."""
        return any(drive.health.errno(drive.index) for drive in self.drives)

    def reopen(self) -> None:
        """Take this process's own open file descriptions, once, after a fork (`drives/base.py` says why)."""
        for drive in self.drives:
            drive.reopen()

    def descriptors(self) -> frozenset[int]:
        """The descriptors that a forked child must keep to use this array."""
        return frozenset().union(*(drive.descriptors() for drive in self.drives))

    def close(self) -> None:
        """Close the drives, without a flush."""
        for drive in self.drives:
            drive.close()

    def _check(self, offset_bytes: int, length_bytes: int) -> None:
        assert 0 <= offset_bytes <= offset_bytes + length_bytes <= self.capacity_bytes

    def _pieces(self, view: memoryview, offset_bytes: int) -> Iterator[tuple[Drive, memoryview, int]]:
        start = 0
        for drive_index, at_bytes, length_bytes in self.extents(offset_bytes, len(view)):
            yield self.drives[drive_index], view[start : start + length_bytes], at_bytes
            start += length_bytes


def whole_blocks(size_bytes: int) -> int:
    """Cut a drive's odd end off: a block lies on one drive, whole."""
    return size_bytes - size_bytes % BLOCK_BYTES
