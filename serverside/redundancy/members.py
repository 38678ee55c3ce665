"""The drives of a redundant array at their places: who is in, and the superblocks that remember it.

Owner only. Guarantees
  * A change is durable on every drive that is not out when the method that makes it returns. Each pass over the drives
    is finished before the next event begins, so that no drive that is in is ever more than one event behind.
  * A drive that fails to take a write, a sync or a superblock is put out, and that is remembered by all others, before
    the method returns. Read errors are the caller's (they can be repaired).
  * Where the level would not survive that, nothing is changed on the drives: the array stops, and every method raises.

Offsets are those of the data area unless a name says otherwise.
"""

import errno
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from serverside.arrays.groups import Layout
from serverside.drives.base import Drive, DriveError
from serverside.redundancy.board import Board
from serverside.redundancy.head import write_label
from serverside.redundancy.superblock import NO_PLACE, Label, MemberRecord, State, Superblock

Say = Callable[[str], None]


@dataclass(slots=True)
class Member:
    """One place. `drive` is an index of the pool; None: the drive is not there."""

    drive: int | None
    uuid: UUID
    state: State
    rows_done: int = 0
    """Rebuilding: rows below this are good."""
    rows_synced: int = 0
    """Rebuilding: rows below this are good on stable storage too; this is what the superblock tells."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A drive of the pool that waits for a place."""

    drive: int
    uuid: UUID


class Members:
    """The members of an array whose superblock is `superblock`; `pool` are all its open drives, spares included."""

    def __init__(
        self,
        layout: Layout,
        superblock: Superblock,
        pool: Sequence[Drive],
        members: list[Member],
        spares: list[Spare],
        board: Board,
        say: Say,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.layout = layout
        self.superblock = superblock
        self.pool = pool
        self.members = members
        self.spares = spares
        self.board = board
        self.say = say
        self.clock_ns = clock_ns
        self.stopped: str | None = None
        self.is_open = False
        """Whether everybody may read directly what is in."""
        self.withheld: int | None = None
        """The place that the owner alone reads: it is on trial (`watch.py`)."""
        self._data_at = superblock.data_offset_bytes
        for place in range(layout.places):
            self._publish(place)

    # -- who is in -----------------------------------------------------------------------------------------------

    def holds(self, place: int, row: int) -> bool:
        """Whether this place has what it should have in this row."""
        member = self.members[place]
        return member.state == State.IN or (member.state == State.REBUILDING and row < member.rows_done)

    def present(self) -> list[int]:
        """Give the places with a drive that takes part."""
        return [place for place, member in enumerate(self.members) if member.state != State.OUT]

    def lost(self) -> frozenset[int]:
        """Give the places without which everything must be had now."""
        return frozenset(place for place, member in enumerate(self.members) if member.state != State.IN)

    def drive(self, place: int) -> Drive:
        """Give the drive of a place that is not out."""
        index = self.members[place].drive
        assert index is not None
        return self.pool[index]

    def check(self) -> None:
        """Raise DriveError if the array has stopped."""
        if self.stopped is not None:
            raise DriveError(errno.EIO, self.stopped)

    # -- bytes ---------------------------------------------------------------------------------------------------

    def read(self, place: int, offset_bytes: int, view: memoryview) -> None:
        """Read from a place that is not out. Raise DriveError; nothing follows from it here."""
        began_ns = self.clock_ns()
        self.drive(place).read_into(view, self._data_at + offset_bytes)
        self.board.note_time(place, (self.clock_ns() - began_ns) // 1000, read=True)

    def write(self, place: int, offset_bytes: int, view: memoryview, durable: bool = False) -> bool:
        """Write to a place; False: it is out, or is put out by this. Raise DriveError if the array stops."""
        return self.write_at(place, self._data_at + offset_bytes, view, durable)

    def write_at(self, place: int, drive_offset_bytes: int, view: memoryview, durable: bool) -> bool:
        """As `write`, at an offset of the whole drive. While the array is mended, ENOSPC puts nobody out: it raises."""
        if self.members[place].state == State.OUT:
            return False
        began_ns = self.clock_ns()
        try:
            self.drive(place).write_from(view, drive_offset_bytes, durable)
        except DriveError as error:
            if error.errno == errno.ENOSPC and not self.is_open:
                raise  # a crash took back the room that was made: the next start mends it, when there is some again
            self.put_out(place, str(error))
            return False
        self.board.note_time(place, (self.clock_ns() - began_ns) // 1000, stable=durable)
        return True

    def zero_rows(self, from_row: int, to_row: int) -> None:
        """Make rows zero on every drive that takes part: then their groups agree."""
        at_bytes = self._data_at + from_row * self.layout.stripe_bytes
        length_bytes = (to_row - from_row) * self.layout.stripe_bytes
        for place in self.present():
            try:
                self.drive(place).write_zeroes(at_bytes, length_bytes, may_trim=True)
            except DriveError as error:
                self.put_out(place, str(error))

    def flush(self, places: Iterable[int] | None = None) -> None:
        """Sync the drives; one that can't is put out. Raise DriveError if the array stops."""
        self.check()
        for place in self.present() if places is None else places:
            began_ns = self.clock_ns()
            try:
                self.drive(place).flush()
            except DriveError as error:
                self.put_out(place, str(error))
            else:
                self.board.note_time(place, (self.clock_ns() - began_ns) // 1000, stable=True)

    # -- changes -------------------------------------------------------------------------------------------------

    def save(self, **changes: Any) -> None:
        """Change fields of the superblock, and remember them and all members durably."""
        self.check()
        self.superblock = replace(
            self.superblock,
            members=tuple(MemberRecord(m.uuid, m.state, m.rows_synced) for m in self.members),
            events=self.superblock.events + 1,
            **changes,
        )
        refused = []
        for place in self.present():
            try:
                write_label(self.drive(place), Label(self.superblock, self.members[place].uuid, place))
            except DriveError as error:
                refused.append((place, str(error)))
        for place, why in refused:
            self.put_out(place, why)

    def put_out(self, place: int, why: str) -> None:
        """Trust this place no more. Raise DriveError if the level does not survive that: then the array stops."""
        if self.members[place].state == State.OUT:
            return
        if not self.layout.survives(self.lost() | {place}):
            self._stop(place, why)
        self.say(f"array {self.superblock.name}: place {place} is put out: {why}")
        self.members[place] = replace(self.members[place], state=State.OUT, rows_done=0, rows_synced=0)
        self.board.say_why(place, why)
        self._publish(place)
        self.save()

    def begin_without(self, whys: Mapping[int, str]) -> None:
        """At the start, before anything is mended: put out the places whose drives are not there.

        Two events, one after the other: a drive that is not there may be one event ahead of all that are (the power
        went when it alone had the next one). When it comes back, it must not be the newest, nor as new as they are.
        """
        for place, why in whys.items():
            self.put_out(place, why)
        if whys:
            self.save()

    def begin_rebuild(self, place: int, spare: Spare) -> None:
        """Give a place that is out to a drive that holds nothing of it yet."""
        assert self.members[place].state == State.OUT
        self.members[place] = Member(spare.drive, spare.uuid, State.REBUILDING)
        self.board.forget_times(place)
        self.board.say_why(place, "")
        self.say(f"array {self.superblock.name}: place {place} is rebuilt on {self.pool[spare.drive].name}")
        self._publish(place)
        self.save()

    def advance(self, place: int, rows_done: int) -> None:
        """Rows below this are rebuilt; not yet synced."""
        self.members[place].rows_done = rows_done
        self._publish(place)

    def save_rebuild(self, place: int) -> None:
        """Sync the drive of a place, and remember how far it is rebuilt; when that is all of it, it is in."""
        self.flush([place])
        member = self.members[place]
        if member.state == State.OUT:
            return
        member.rows_synced = member.rows_done
        if member.rows_done < self.layout.rows:
            self.save()
            return
        member.state, member.rows_done, member.rows_synced = State.IN, 0, 0
        self.save()
        self._publish(place)  # only now, when all remember that it is good, may an SRW read from it
        if self.members[place].state == State.IN:
            self.say(f"array {self.superblock.name}: place {place} is rebuilt")

    def label_spares(self) -> None:
        """Write the array's name on its spares, so that they are known again. One that can't take it is let go."""
        for spare in list(self.spares):
            try:
                write_label(self.pool[spare.drive], Label(self.superblock, spare.uuid, NO_PLACE))
            except DriveError as error:
                self.say(f"array {self.superblock.name}: spare {self.pool[spare.drive].name} is let go: {error}")
                self.spares.remove(spare)

    def open_to_readers(self) -> None:
        """After the recovery. Before it, what was acknowledged may be in the journal and not yet in its place.

        Where all is in its place, because only the owner has died, it does not stay there meanwhile: the journal is
        replayed from the tail on, and a block that was written twice is old for a moment.
        """
        self.is_open = True
        for place in range(self.layout.places):
            self._publish(place)

    def withhold(self, place: int | None) -> None:
        """Have the owner alone read this place; None: whoever was withheld before is read by everybody again."""
        former, self.withheld = self.withheld, place
        for each in (former, place):
            if each is not None:
                self._publish(each)

    def _publish(self, place: int) -> None:
        member = self.members[place]
        may_read = member.state == State.IN and self.is_open and place != self.withheld
        self.board.publish(place, member.drive, member.state, member.rows_done, may_read=may_read)

    def _stop(self, place: int, why: str) -> None:
        level, name = self.superblock.level, self.superblock.name
        out = ", ".join(str(other) for other in sorted(self.lost() - {place})) or "none"
        self.stopped = (
            f"array {name} has stopped: {level} does not survive the loss of place {place} ({why}) with these out "
            f"already: {out}. What was acknowledged is on the drives; repair one and restart the NSU"
        )
        for each in range(self.layout.places):
            self.board.rows[each].set("readable", 0)
        self.board.totals.set("stopped", 1)
        self.board.totals.add("epoch")
        self.say(self.stopped)
        self.check()
