"""Rebuild and scrub: walks over all rows, in bounded steps, whenever the owner has a moment. Owner only.

A step does at least one row and about STEP_BYTES of each drive. Nothing else of the owner's work runs in it, so a step
sees groups that agree. How far a walk has come is in the superblock every SAVE_BYTES, after a sync of what was written;
a new owner goes on there.

A stripe that can't be rebuilt, because another drive can't read its part, holds the rebuild up: calling the place good
would invent data. So does a full file system below the new drive. It is tried again later; what can be read is served
all the while.
"""

from serverside.drives.base import DriveError
from serverside.redundancy.guard import Change
from serverside.redundancy.machine import Machine
from serverside.redundancy.members import Spare
from serverside.redundancy.superblock import JOURNAL_AT_BYTES, State
from serverside.redundancy.xor import is_zero, xor_of

STEP_BYTES = 1 << 20
SAVE_BYTES = 256 << 20
TRY_AGAIN_NS = 60 * 10**9
NO_RECORD = memoryview(bytes(512))


class Mending:
    """What a machine does to itself. `tend` is to be called between batches."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.members = machine.members
        self.layout = machine.layout
        self.held_up: str | None = None
        """Why the rebuild does not go on."""
        self._try_again_ns = 0
        self._said = ""
        self._step_rows = max(1, STEP_BYTES // self.layout.stripe_bytes)
        self._save_rows = max(1, SAVE_BYTES // self.layout.stripe_bytes)
        self._unsaved_rows = 0
        self._scrub_row = self.members.superblock.scrub_row
        machine.board.totals.set("scrub_row", self._scrub_row)

    # -- what there is to do -------------------------------------------------------------------------------------

    def tend(self) -> bool:
        """Do one step of what there is to do; False: nothing. Raise DriveError if the array stops."""
        self.members.check()
        if self.held_up is not None and self.members.clock_ns() >= self._try_again_ns:
            self.try_again()
        self._use_spare()
        place = self._rebuilding()
        if place is not None and self.held_up is None:
            self._rebuild_rows(place)
        elif self._scrub_row:
            self._scrub_rows()
        else:
            return False
        return True

    def try_again(self) -> None:
        """Let a rebuild that was held up try its row once more."""
        place = self._rebuilding()
        if self.held_up is not None and place is not None:
            self.machine.board.say_why(place, "")
        self.held_up = None

    def begin_scrub(self) -> None:
        """Compare all groups, from the first on; one that is under way goes on."""
        if not self._scrub_row:
            self._set_scrub_row(1)
            self.machine.board.totals.set("mismatches", 0)
            self.members.save(scrub_row=1)

    # -- rebuild -------------------------------------------------------------------------------------------------

    def _use_spare(self) -> None:
        out = [place for place, member in enumerate(self.members.members) if member.state == State.OUT]
        if out and self.members.spares and self.held_up is None:
            self.put_in(out[0], self.members.spares[0])

    def put_in(self, place: int, spare: Spare) -> None:
        """Give a place that is out to a drive, and begin its rebuild."""
        # No record of before may be taken for one of this drive, nor one that it may have kept from another life.
        self.machine.settle()
        try:
            self.machine.room.make(spare.drive, 0, JOURNAL_AT_BYTES)
        except DriveError as error:
            self._hold_up(f"place {place} can't be rebuilt: {error}")
            return
        self.members.spares.remove(spare)
        try:
            self.members.pool[spare.drive].write_from(NO_RECORD, JOURNAL_AT_BYTES, durable=True)
        except DriveError as error:
            self.members.say(f"array {self.members.superblock.name}: a drive can't be put in: {error}")
            return
        self._unsaved_rows = 0
        self.members.begin_rebuild(place, spare)

    def _rebuilding(self) -> int | None:
        for place, member in enumerate(self.members.members):
            if member.state == State.REBUILDING:
                return place
        return None

    def _rebuild_rows(self, place: int) -> None:
        row = self.members.members[place].rows_done
        end = min(row + self._step_rows, self.layout.rows)
        if not self._has_room(place, row, end):
            return
        while row < end and self._rebuild_row(place, row):
            row += 1
        if self.members.members[place].state == State.OUT:
            return
        self._unsaved_rows += row - self.members.members[place].rows_done
        self.members.advance(place, row)
        if row == self.layout.rows or self._unsaved_rows >= self._save_rows:
            self._unsaved_rows = 0
            self.members.save_rebuild(place)

    def _rebuild_row(self, place: int, row: int) -> bool:
        group = self.layout.group(self.layout.group_at(place, row))
        content = memoryview(bytearray(self.layout.stripe_bytes))
        try:
            self.machine.reconstruct(group, group.places.index(place), 0, content)
        except DriveError as error:
            self.members.check()
            self._hold_up_at(place, row, error)
            return False
        return self.members.write(place, row * self.layout.stripe_bytes, content)

    def _has_room(self, place: int, row: int, end: int) -> bool:
        drive, stripe_bytes = self.members.members[place].drive, self.layout.stripe_bytes
        at_bytes = self.members.superblock.data_offset_bytes + row * stripe_bytes
        try:
            if drive is not None:
                self.machine.room.make(drive, at_bytes, (end - row) * stripe_bytes)
        except DriveError as error:
            self._hold_up_at(place, row, error)
        return self.held_up is None

    def _hold_up_at(self, place: int, row: int, error: DriveError) -> None:
        why = f"held up at row {row} of {self.layout.rows}: {error}"
        self.machine.board.say_why(place, why)
        self._hold_up(f"the rebuild of place {place} is {why}")

    def _hold_up(self, why: str) -> None:
        self.held_up, self._try_again_ns = why, self.members.clock_ns() + TRY_AGAIN_NS
        if why != self._said:
            self.members.say(f"array {self.members.superblock.name}: {why}")
        self._said = why

    # -- scrub ---------------------------------------------------------------------------------------------------

    def _scrub_rows(self) -> None:
        """Rows are counted from 1 here: 0 means that no scrub is under way."""
        row = self._scrub_row - 1
        end = min(row + self._step_rows, self.layout.rows)
        for each in range(row, end):
            for index in range(self.layout.groups_in_row):
                self._compare(each * self.layout.groups_in_row + index)
        finished = end == self.layout.rows
        self._set_scrub_row(0 if finished else end + 1)
        self._unsaved_rows += end - row
        if finished or self._unsaved_rows >= self._save_rows:
            self._unsaved_rows = 0
            self.members.save(scrub_row=self._scrub_row)
        if finished:
            totals = self.machine.board.totals
            totals.add("scrubs")
            name, found = self.members.superblock.name, totals.get("mismatches")
            self.members.say(f"array {name}: all groups were compared, {found} did not agree and were made to")

    def _compare(self, group_index: int) -> None:
        """Read all members; make the check agree where it does not. What can't be read is repaired by the reading."""
        group = self.layout.group(group_index)
        contents = []
        for member, place in enumerate(group.places):
            if not self.members.holds(place, group.row):
                return  # there is nothing to compare with
            content = memoryview(bytearray(self.layout.stripe_bytes))
            try:
                self.machine.read_member(group, member, 0, content)
            except DriveError:
                self.members.check()
                return  # two can't be read: whoever needs these blocks is told
            contents.append(content)
        if not is_zero(xor_of(contents)):
            self.machine.board.totals.add("mismatches")
            check = Change(group.places[-1], group.row * self.layout.stripe_bytes, xor_of(contents[:-1]))
            try:
                self.machine.apply([check])
            except DriveError as error:
                self.members.check()
                self.members.say(f"array {self.members.superblock.name}: a group that does not agree stays so: {error}")

    def _set_scrub_row(self, row: int) -> None:
        self._scrub_row = row
        self.machine.board.totals.set("scrub_row", row)
