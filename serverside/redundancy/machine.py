"""The machine of a redundant array: reads, writes, and mending, over members that were handed in. One owner runs it.

It knows no level: a group's stripes XOR to zero, and any one of them is the XOR of the others.

How a write goes (`write_many` takes all that wait at once)
  1. It is cut into updates (`updates.py`). For each, the new check is computed in the cheaper of two ways: from all
     data of the group (nothing to read when all of it is new), or from the old check and what changes.
  2. Room is made on thin drives (`room.py`), or it is refused: nothing was begun.
  3. The guard is told (`guard.py`): a crash from here on can be mended.
  4. All changes are written in place. A drive that fails is put out, durably, on the way.
  5. Only now is it acknowledged, by returning.

How a read goes: from the place itself if it holds the row, else as the XOR of its companions. A place that can't be
read is read that way too, and then written again with what it should have had. Too many such repairs put it out.

Nothing here is remembered from one owner to the next: `recover` comes first, whatever happened before.
"""

import errno
from collections.abc import Iterable, Mapping, Sequence

from serverside.arrays.groups import Group, Layout
from serverside.drives.base import DriveError
from serverside.redundancy.guard import Change, Guard
from serverside.redundancy.members import Members
from serverside.redundancy.room import Room
from serverside.redundancy.updates import Update, Write, updates_of
from serverside.redundancy.xor import xor_of

REPAIRS_MAX = 20
"""A drive that has forgotten more blocks than this is put out (docs/decisions/0013)."""
ZERO_BYTES_MIN = 4 << 20
"""Fewer bytes of each drive are made zero by writing them: else two superblocks and a sync are needed."""
ZEROES = memoryview(bytes(1 << 20))
UPDATES_AT_ONCE = 64
"""Updates that one guard's `prepare` gets at most: their data lies in memory together."""


class Machine:
    """`guard` is the level's."""

    def __init__(self, members: Members, guard: Guard) -> None:
        self.members = members
        self.layout: Layout = members.layout
        self.guard = guard
        self.board = members.board
        self.room = Room(members)

    def recover(self) -> None:
        """Mend what a crash left. First of all, once, by every owner."""
        self.room.make_heads()
        self._finish_zeroes()
        mended = self.guard.recover()
        self.board.totals.add("replayed", mended)
        self.members.open_to_readers()
        lost = sorted(self.members.lost())
        if mended and lost:
            places = ", ".join(map(str, lost))
            self.members.say(
                f"array {self.members.superblock.name}: not all was in place at its last end, and these places are out "
                f"or not rebuilt: {places}. {mended} changes were mended; nothing flushed is lost"
            )

    # -- requests ------------------------------------------------------------------------------------------------

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        """Fill `view` with the bytes of the array, or raise DriveError."""
        self.members.check()
        at = 0
        for piece in self.layout.pieces(offset_bytes, len(view)):
            part = view[at : at + piece.length_bytes]
            self.read_member(self.layout.group(piece.group), piece.member, piece.within_bytes, part)
            at += piece.length_bytes

    def write_many(self, writes: Iterable[Write], durable: bool = False) -> None:
        """Write all, in their order; or raise DriveError, and then any part of them may be written."""
        self.members.check()
        changes: list[Change] = []
        updates = 0
        for update in updates_of(self.layout, writes):
            fresh = self._changes(update)
            if changes and (updates == UPDATES_AT_ONCE or not self.guard.fits([*changes, *fresh])):
                self.apply(changes, durable)
                changes, updates = [], 0
            changes += fresh
            updates += 1
        if changes:
            self.apply(changes, durable)

    def write_zeroes(self, offset_bytes: int, length_bytes: int) -> None:
        """Make a range zero: whole rows, if they are many, by the drives' own means; the rest by writing."""
        row_bytes = self.layout.group_bytes * self.layout.groups_in_row
        first, end = -(-offset_bytes // row_bytes), (offset_bytes + length_bytes) // row_bytes
        if (end - first) * self.layout.stripe_bytes < ZERO_BYTES_MIN:
            self._write_zero_bytes(offset_bytes, offset_bytes + length_bytes)
            return
        self._write_zero_bytes(offset_bytes, first * row_bytes)
        self._write_zero_bytes(end * row_bytes, offset_bytes + length_bytes)
        # No older record may come over the zeros, and no later one can be before they are finished.
        self.guard.settle()
        self.members.save(zero_from_row=first, zero_to_row=end)
        self._finish_zeroes()

    def _finish_zeroes(self) -> None:
        block = self.members.superblock
        if block.zero_to_row:
            self.members.zero_rows(block.zero_from_row, block.zero_to_row)
            stripe_bytes, at_bytes = self.layout.stripe_bytes, block.data_offset_bytes
            rows = block.zero_to_row - block.zero_from_row
            self.room.forget(at_bytes + block.zero_from_row * stripe_bytes, rows * stripe_bytes)
            self.members.flush()
            self.members.save(zero_from_row=0, zero_to_row=0)

    def _write_zero_bytes(self, start_bytes: int, end_bytes: int) -> None:
        for at_bytes in range(start_bytes, end_bytes, len(ZEROES)):
            self.write_many([(at_bytes, ZEROES[: min(len(ZEROES), end_bytes - at_bytes)])])

    def flush(self) -> None:
        """Make everything written so far durable."""
        self.members.check()
        if not self.guard.durable:
            self.members.flush()

    def settle(self) -> None:
        """As `flush`, and leave nothing to be mended at the next start."""
        self.members.check()
        self.guard.settle()

    # -- members of a group --------------------------------------------------------------------------------------

    def read_member(self, group: Group, member: int, within_bytes: int, view: memoryview) -> None:
        """Read a part of a member's stripe, by whatever way there is."""
        place, offset_bytes = group.places[member], group.row * self.layout.stripe_bytes + within_bytes
        if not self.members.holds(place, group.row):
            self.reconstruct(group, member, within_bytes, view)
            self.board.totals.add("reconstructed")
            return
        try:
            self.members.read(place, offset_bytes, view)
        except DriveError as error:
            self.reconstruct(group, member, within_bytes, view, because=error)
            self._repair(place, offset_bytes, view)

    def reconstruct(
        self, group: Group, member: int, within_bytes: int, view: memoryview, because: DriveError | None = None
    ) -> None:
        """Give what a member should have: the XOR of all others. DriveError if one of them can't be read either."""
        offset_bytes = group.row * self.layout.stripe_bytes + within_bytes
        others = [place for index, place in enumerate(group.places) if index != member]
        if not all(self.members.holds(place, group.row) for place in others):
            raise because or self._too_much_lost(group)
        view[:] = xor_of([self._read(place, offset_bytes, len(view)) for place in others])

    def _read(self, place: int, offset_bytes: int, length_bytes: int) -> bytearray:
        content = bytearray(length_bytes)
        self.members.read(place, offset_bytes, memoryview(content))
        return content

    def _repair(self, place: int, offset_bytes: int, content: memoryview) -> None:
        """Write what could not be read once more: a drive gives such a block another spot."""
        repaired = self.board.rows[place]
        repaired.add("repaired")
        self.board.totals.add("repaired")
        if self.members.write(place, offset_bytes, content) and repaired.get("repaired") > REPAIRS_MAX:
            self.members.put_out(place, f"more than {REPAIRS_MAX} of its blocks could not be read any more")

    def _too_much_lost(self, group: Group) -> DriveError:
        lost = ", ".join(str(place) for place in group.places if not self.members.holds(place, group.row))
        name = self.members.superblock.name
        return DriveError(
            errno.EIO, f"array {name} can't give these blocks: places {lost} are out or not rebuilt there"
        )

    # -- writes --------------------------------------------------------------------------------------------------

    def apply(self, changes: Sequence[Change], durable: bool = False) -> None:
        """Do what was computed, so that a crash at any point can be mended."""
        self.room.make_for(changes)
        self.guard.prepare(changes)
        for change in changes:
            self.members.write(change.place, change.offset_bytes, change.data, durable and not self.guard.durable)

    def _changes(self, update: Update) -> list[Change]:
        """Give the new bytes of each place that an update changes."""
        group = self.layout.group(update.group)
        has_check = self.members.holds(group.places[-1], group.row)
        by_difference = has_check and self._is_by_difference(group, update)
        olds, news = {}, {}
        for member in update.members():
            if by_difference or (has_check and not update.covers(member)):
                olds[member] = self._range_of(group, member, update)
            news[member] = update.content(member, olds.get(member))
        at_bytes = group.row * self.layout.stripe_bytes
        changes = [
            Change(group.places[member], at_bytes + start, new[start - update.start_bytes : end - update.start_bytes])
            for member, new in news.items()
            if self.members.holds(group.places[member], group.row)
            for start, end in update.runs(member)
        ]
        if has_check:
            parts = [*news.values(), *self._rest_of_check(group, update, olds, by_difference)]
            check = parts[0] if len(parts) == 1 else xor_of(parts)
            changes.append(Change(group.places[-1], at_bytes + update.start_bytes, check))
        return changes

    def _is_by_difference(self, group: Group, update: Update) -> bool:
        """Whether the new check comes from the old one and what changes, and not from all data of the group."""
        changed = update.members()
        rest = [member for member in range(self.layout.data_members) if member not in changed]
        if not all(self.members.holds(group.places[member], group.row) for member in changed):
            return False
        if not all(self.members.holds(group.places[member], group.row) for member in rest):
            return True
        with_gaps = sum(not update.covers(member) for member in changed)
        return len(changed) + 1 < len(rest) + with_gaps

    def _rest_of_check(
        self, group: Group, update: Update, olds: Mapping[int, memoryview], by_difference: bool
    ) -> list[memoryview]:
        """Give what makes the new check, together with the new bytes of the members that change."""
        if by_difference:
            return [*olds.values(), self._range_of(group, len(group.places) - 1, update)]
        changed = update.members()
        rest = (member for member in range(self.layout.data_members) if member not in changed)
        return [self._range_of(group, member, update) for member in rest]

    def _range_of(self, group: Group, member: int, update: Update) -> memoryview:
        content = memoryview(bytearray(update.size_bytes))
        self.read_member(group, member, update.start_bytes, content)
        return content
