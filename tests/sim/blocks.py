"""What a unit may answer, block by block: the checker of a whole life, losses of power included.

Every write carries a version, counted up in the order of `submit`, and fills each of its blocks with it (zeroing writes
fill with zeros, which may then be any of several versions). From that:
  * a read gives, for each block, a version no older than the newest that was acknowledged, or seen by another read,
    before the read was submitted: nothing stale, nothing lost, no way back;
  * and one that was submitted, whole: no bytes from anywhere else;
  * and none that had ended, acknowledged or not, and was seen to be absent: what is gone stays gone.
When a server's power fails, what was acknowledged and not flushed may be lost, as on any drive. So the floor falls to
what was flushed, and to reads what was acknowledged or answered across the failure binds nobody. But it is told:
  * What a FLUSH covered, or FUA, is there after any number of failures; and is on the drives the moment it is said. A
    FLUSH covers every write that was submitted before it and acknowledged, before a failure or after it, unless a FLUSH
    has failed since and said that power was lost.
  * A FLUSH says so only when some write may have been lost and nobody has been told.
  * Of what went to another process of the disk nobody is told: its users' connections broke.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct

from protocol.limits import BLOCK_BYTES
from tests.sim.kernel.kernel import SimulationError

_STAMP = Struct("<QII")
ZEROS = bytes(BLOCK_BYTES)


class BrokenWordError(SimulationError):
    """The disk has broken its word."""


def stamp(version: int, block: int, unit: int) -> bytes:
    """Give the content of one block."""
    return _STAMP.pack(version, block, unit) * (BLOCK_BYTES // _STAMP.size)


@dataclass(slots=True, eq=False)
class Write:
    """One write, or zeroing."""

    version: int
    first: int
    end: int
    """Blocks."""
    zeroes: bool
    losses: int
    """How many losses of power there had been when it was submitted."""
    is_done: bool = False
    is_orphan: bool = False
    """The process that its user was told by is gone."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What was known of the blocks of a read when it was submitted."""

    first: int
    floor: list[int]
    ended: list[tuple[int, ...]]
    losses: int


@dataclass
class Blocks:
    """One unit. `durable` gives the content of a block on stable storage, only looked at."""

    unit: int
    count: int
    durable: Callable[[int], bytes]
    losses: int = 0
    checked: int = 0
    """Blocks of reads that were checked."""
    writes: list[Write] = field(default_factory=list)
    unsettled: list[Write] = field(default_factory=list)
    """Acknowledged, not flushed, and not said to be lost."""
    tellings: int = 0
    """How many FLUSHes have told of a loss."""
    told: list[tuple[int, Write]] = field(default_factory=list)
    """What was said to be lost, with the number of the telling: whose FLUSH waited then has not been told yet."""
    losses_at_good: int = 0
    """How often the power had gone when the last FLUSH was submitted that ended well."""
    has_failed_drive: bool = False
    open: list[Write] = field(default_factory=list)
    absent: set[tuple[int, int]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.floor = [0] * self.count
        self.durable_floor = [0] * self.count
        self.ended: list[list[int]] = [[] for _ in range(self.count)]
        self.zeroing: list[list[int]] = [[0] for _ in range(self.count)]
        """Of each block, the versions that are zeros."""

    # -- writes --------------------------------------------------------------------------------------------------

    def write_submitted(self, first: int, end: int, *, zeroes: bool) -> Write:
        write = Write(len(self.writes) + 1, first, end, zeroes, self.losses)
        self.writes.append(write)
        self.open.append(write)
        if zeroes:
            for block in range(first, end):
                self.zeroing[block].append(write.version)
        return write

    def write_done(self, write: Write, *, acked: bool, fua: bool) -> None:
        if write.is_done:
            raise BrokenWordError(f"write {write.version} ended twice")
        self._end(write)
        if acked and fua:
            self.check_durable(write, "was acknowledged with FUA")
            self._settle(write)
        elif acked:
            self.unsettled.append(write)
        if acked and write.losses == self.losses:
            for block in range(write.first, write.end):
                self.floor[block] = max(self.floor[block], write.version)

    def _end(self, write: Write) -> None:
        write.is_done = True
        self.open.remove(write)
        for block in range(write.first, write.end):
            self.ended[block].append(write.version)

    def forget_open(self) -> None:
        """The disk's process is gone, and its successor is up: what was in flight is there, or never will be."""
        for write in list(self.open):
            self._end(write)
        self.unsettled = [write for write in self.unsettled if write.losses == self.losses]
        for write in self.unsettled:
            write.is_orphan = True

    def _settle(self, write: Write) -> None:
        for block in range(write.first, write.end):
            self.durable_floor[block] = max(self.durable_floor[block], write.version)
            self.floor[block] = max(self.floor[block], write.version)

    # -- reads ---------------------------------------------------------------------------------------------------

    def read_submitted(self, first: int, end: int) -> Expected:
        return Expected(first, self.floor[first:end], [tuple(self.ended[b]) for b in range(first, end)], self.losses)

    def read_done(self, expected: Expected, data: bytes) -> None:
        for number, low in enumerate(expected.floor):
            block = expected.first + number
            across = expected.losses != self.losses
            if across:
                low = min(low, self.durable_floor[block])
            found = self._versions_of(block, data[number * BLOCK_BYTES : (number + 1) * BLOCK_BYTES])
            fit = [v for v in found if v >= low and (block, v) not in self.absent]
            if not fit:
                self._complain(block, found, low)
            self.checked += 1
            if not across:
                self.absent.update((block, ended) for ended in expected.ended[number] if ended > fit[-1])
                self.floor[block] = max(self.floor[block], fit[0])

    def _versions_of(self, block: int, content: bytes) -> list[int]:
        """Give the versions that look like this, in their order; complain of what nobody wrote here."""
        if content == ZEROS:
            return self.zeroing[block]
        version = _STAMP.unpack_from(content)[0]
        if not 0 < version <= len(self.writes):
            raise BrokenWordError(f"unit {self.unit} block {block} reads {content[:16].hex()}: nobody wrote that")
        write = self.writes[version - 1]
        if content != stamp(version, block, self.unit) or not write.first <= block < write.end:
            raise BrokenWordError(f"unit {self.unit} block {block} is torn, or was written elsewhere: {version}")
        return [version]

    def _complain(self, block: int, found: list[int], low: int) -> None:
        if found[-1] < low:
            raise BrokenWordError(f"unit {self.unit} block {block} reads as {found[-1]}, after {low}: stale or lost")
        raise BrokenWordError(f"unit {self.unit} block {block} reads as {found}, which was gone before")

    # -- flushes -------------------------------------------------------------------------------------------------

    def flush_submitted(self) -> tuple[int, int, int]:
        """Give what it covers, what was told before it, and how often the power had gone."""
        return len(self.writes), self.tellings, self.losses

    def flush_told_loss(self, submitted: tuple[int, int, int]) -> None:
        """A FLUSH has failed, with the words that the NSU lost power."""
        rest = [write for write in self.unsettled if write.losses == self.losses]
        is_owed = len(rest) < len(self.unsettled) or submitted[1] != self.tellings or self.has_failed_drive
        # A FLUSH may have been done, and its answer lost with the power: until one is known to be good, an alarm is
        # not always true, but nobody can know better.
        if not is_owed and self.losses == self.losses_at_good:
            raise BrokenWordError("a FLUSH told of a loss, and nothing can have been lost that was not told before")
        self.tellings += 1
        self.told += [(self.tellings, write) for write in self.unsettled if write.losses != self.losses]
        self.unsettled = rest

    def flush_done(self, submitted: tuple[int, int, int]) -> None:
        newest, tellings, self.losses_at_good = submitted
        for write in self.writes:
            if write.version <= newest and not write.is_done:
                raise BrokenWordError(f"a FLUSH ended before write {write.version}, which is older")
        for telling, write in self.told:
            if write.version <= newest and telling > tellings:
                self.check_durable(write, "was said to be lost to another FLUSH, while this one waited")
        rest = []
        for write in self.unsettled:
            if write.version <= newest:
                self.check_durable(write, "was acknowledged, and a later FLUSH too")
                self._settle(write)
            else:
                rest.append(write)
        self.unsettled = rest

    def check_durable(self, write: Write, what: str) -> None:
        for block in range(write.first, write.end):
            found = self._versions_of(block, self.durable(block))
            if found[-1] < write.version:
                raise BrokenWordError(
                    f"unit {self.unit} write {write.version} {what}, but block {block} is {found[-1]} on the drive"
                )

    # -- accidents -----------------------------------------------------------------------------------------------

    def power_failed(self) -> None:
        """What was not flushed may be gone."""
        self.losses += 1
        self.floor = list(self.durable_floor)
        self.unsettled = [write for write in self.unsettled if not write.is_orphan]

    def drive_failed(self) -> None:
        """A sync failed, and the server has started anew since: what was not flushed may never be."""
        self.has_failed_drive = True
        self.unsettled.clear()

    def over(self) -> None:
        """All is quiet: nobody was forgotten."""
        if self.open:
            raise BrokenWordError(f"write {self.open[0].version} never ended")
