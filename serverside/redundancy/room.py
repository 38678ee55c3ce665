"""Room below thin drives: had before anything is begun, so that a full file system costs a request and no drive.

A drive that is a file takes up space when it is first written to. Were the file system found full in the middle of a
change, the drive would miss a part of it and had to be put out; and as a full file system is full for every file on it,
the next drive would follow, and the array would stop. So each chunk is given its space before the first change that
touches it is prepared. Where there is none, the request fails with ENOSPC, nothing was begun, and no drive is put out.

What is known to have its space is remembered, one byte for each chunk. Only the owner makes holes (`forget`), so this
holds as long as it lives; a new owner begins with knowing nothing.

Not covered: what takes new space to write again what is there already (file systems that copy on write, thin volumes
below a block device). There "no room" comes from the write, and means what any failed write means.
"""

from collections.abc import Iterable
from contextlib import suppress

from serverside.drives.base import DriveError
from serverside.redundancy.guard import Change
from serverside.redundancy.members import Members

CHUNK_BYTES = 256 << 10
"""A terabyte has four million of them. Larger ones would take up more space than small writes at random need."""


class Room:
    """The space of the drives of `members`, by their index in the pool. Owner only."""

    def __init__(self, members: Members) -> None:
        self.members = members
        self._head_bytes = members.superblock.data_offset_bytes
        self._known: dict[int, bytearray] = {}

    def make_heads(self) -> None:
        """Have room for superblocks and journals, as long as there is some; `make` asks again for what is missing."""
        for place in self.members.present():
            drive = self.members.members[place].drive
            if drive is not None:
                with suppress(DriveError):
                    self.make(drive, 0, self._head_bytes)

    def make_for(self, changes: Iterable[Change]) -> None:
        """Have room for changes, and for what guards them. Raise DriveError(ENOSPC): nothing was begun."""
        for change in changes:
            drive = self.members.members[change.place].drive
            if drive is not None:
                self.make(drive, self._head_bytes + change.offset_bytes, len(change.data))

    def make(self, drive: int, drive_offset_bytes: int, length_bytes: int) -> None:
        """Have room for a range of a drive. Raise DriveError(ENOSPC)."""
        known = self._known.get(drive)
        if known is None:
            known = self._begin(drive)
        end_bytes = drive_offset_bytes + length_bytes
        for chunk in range(drive_offset_bytes // CHUNK_BYTES, -(-end_bytes // CHUNK_BYTES)):
            if not known[chunk]:
                self._make(drive, chunk, drive_offset_bytes, end_bytes)

    def forget(self, drive_offset_bytes: int, length_bytes: int) -> None:
        """Holes were made here, in all drives."""
        chunks = slice(drive_offset_bytes // CHUNK_BYTES, -(-(drive_offset_bytes + length_bytes) // CHUNK_BYTES))
        for known in self._known.values():
            known[chunks] = bytes(len(known[chunks]))

    def _begin(self, drive: int) -> bytearray:
        """The head first: superblocks and journal are written when there must be no error any more."""
        self.members.pool[drive].make_room(0, self._head_bytes)
        known = bytearray(-(-self.members.pool[drive].size_bytes // CHUNK_BYTES))
        known[: self._head_bytes // CHUNK_BYTES] = b"\1" * (self._head_bytes // CHUNK_BYTES)
        self._known[drive] = known
        return known

    def _make(self, drive: int, chunk: int, start_bytes: int, end_bytes: int) -> None:
        """A chunk as a whole; where that is too much, what is wanted of it: that may have its space already."""
        pool, at_bytes = self.members.pool[drive], chunk * CHUNK_BYTES
        chunk_end_bytes = min(at_bytes + CHUNK_BYTES, pool.size_bytes)
        try:
            pool.make_room(at_bytes, chunk_end_bytes - at_bytes)
        except DriveError:
            first_bytes = max(start_bytes, at_bytes)
            pool.make_room(first_bytes, min(end_bytes, chunk_end_bytes) - first_bytes)
        else:
            self._known[drive][chunk] = 1
