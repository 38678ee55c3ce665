"""What a disk may answer: the checker that a simulated world reports its requests to.

Every write carries a version, counted up in the order of `submit`, in each of its blocks. From that:
  * a read gives, for each block, a version no older than the newest that was acknowledged, or seen by another read,
    before the read was submitted: nothing stale, nothing lost, no way back;
  * and one that was submitted: no bytes from anywhere else;
  * and none that failed and was seen to be absent by a read submitted after that: what has failed stays away;
  * an acknowledged write is wholly on the server; with FUA, on its stable storage;
  * a FLUSH that succeeded has put every write submitted before it on stable storage, and found none unfinished.
"""

from array import array
from dataclasses import dataclass


class BrokenWordError(AssertionError):
    """The disk has broken its word."""


@dataclass(slots=True)
class Write:
    version: int
    first: int
    """Block."""
    end: int
    is_done: bool = False
    is_acked: bool = False


@dataclass(frozen=True, slots=True)
class Expected:
    """What was known of the blocks of a read when it was submitted."""

    first: int
    floor: "array[int]"
    failed: dict[int, tuple[int, ...]]
    """Block -> versions that had failed by then."""


class History:
    """`stored` and `durable` are the server's blocks, which the checker only looks at."""

    def __init__(self, blocks: int, stored: "array[int]", durable: "array[int]") -> None:
        self.stored = stored
        self.durable = durable
        self.floor = array("Q", bytes(8 * blocks))
        """Of each block, the version below which no new read may come."""
        self.writes: list[Write] = []
        self.not_flushed: list[Write] = []
        self.failed: dict[int, set[int]] = {}
        """Block -> versions whose writes failed, and that may be there or not."""
        self.absent: set[tuple[int, int]] = set()
        """Block and failed version that was not there when looked for."""

    def write_submitted(self, first: int, end: int) -> Write:
        write = Write(len(self.writes) + 1, first, end)
        self.writes.append(write)
        self.not_flushed.append(write)
        return write

    def write_done(self, write: Write, *, acked: bool, fua: bool) -> None:
        if write.is_done:
            raise BrokenWordError(f"write {write.version} ended twice")
        write.is_done = True
        write.is_acked = acked
        if not acked:
            for block in range(write.first, write.end):
                self.failed.setdefault(block, set()).add(write.version)
            return
        if min(self.stored[write.first : write.end]) < write.version:
            raise BrokenWordError(f"write {write.version} was acknowledged, but is not whole on the server")
        if fua and min(self.durable[write.first : write.end]) < write.version:
            raise BrokenWordError(f"write {write.version} with FUA was acknowledged, but is not durable")
        self._raise_floor(write.first, [write.version] * (write.end - write.first))

    def read_submitted(self, first: int, end: int) -> Expected:
        failed = {block: tuple(self.failed[block]) for block in range(first, end) if block in self.failed}
        return Expected(first, self.floor[first:end], failed)

    def read_done(self, expected: Expected, versions: list[int]) -> None:
        first, newest = expected.first, len(self.writes)
        for block, (low, version) in enumerate(zip(expected.floor, versions, strict=True), first):
            if (block, version) in self.absent:
                raise BrokenWordError(f"block {block} read as {version}, which had failed and was not there before")
            self.absent.update((block, failed) for failed in expected.failed.get(block, ()) if failed > version)
            if version < low:
                raise BrokenWordError(f"block {block} read as {version}, after {low} was acknowledged or seen")
            if version > newest:
                raise BrokenWordError(f"block {block} read as {version:#x}, which nobody wrote")
            if version and not self.writes[version - 1].first <= block < self.writes[version - 1].end:
                raise BrokenWordError(f"block {block} read as {version}, which was written elsewhere")
        self._raise_floor(first, versions)

    def flush_submitted(self) -> int:
        return len(self.writes)

    def flush_done(self, newest_covered: int) -> None:
        for write in self.not_flushed:
            if write.version > newest_covered:
                continue
            if not write.is_done:
                raise BrokenWordError(f"a FLUSH ended before write {write.version}, which is older")
            if write.is_acked and min(self.durable[write.first : write.end]) < write.version:
                raise BrokenWordError(f"a FLUSH ended, but the older write {write.version} is not durable")
        self.not_flushed = [write for write in self.not_flushed if write.version > newest_covered]

    def ended(self) -> None:
        """All is quiet: nobody was forgotten, and what the server holds is what a read may give."""
        for write in self.writes:
            if not write.is_done:
                raise BrokenWordError(f"write {write.version} never ended")
        self.read_done(self.read_submitted(0, len(self.floor)), self.stored.tolist())

    def _raise_floor(self, first: int, versions: list[int]) -> None:
        for block, version in enumerate(versions, first):
            if version > self.floor[block]:
                self.floor[block] = version
