"""raid10 and raid5 as arrays: who may do what in which process (docs/decisions/0010).

  * In every process: a place that holds is read directly, on the drives inherited at the fork; `OwnerNeeded` says that
    this can't be done now. Nothing is written.
  * In the owner, which is the array's driver process, all goes through the machine (`serverside/redundancy/`). It
    begins with `own`: recognise the drives, put out what is missing, mend what a crash left.
  * The server process makes or recognises the array at its start. It may own it for a moment, before or between driver
    processes (zero maps that change their size write zeros), and releases it.

`drives` are all that could be opened, DRIVEs and SPAREs; which of them has which place, their labels tell.
"""

import errno
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import UUID, uuid4

from ipc.say import say
from protocol.ops import Op
from serverside.arrays.base import Array, Extent, OwnerNeeded
from serverside.arrays.groups import Group, Layout
from serverside.driver.packets import PUT_OUT, SCRUB
from serverside.drives.base import Drive, DriveError
from serverside.errors import SettingsError
from serverside.redundancy.assembly import Assembly, Found, check_level, create, is_new, recognise
from serverside.redundancy.board import Board
from serverside.redundancy.guard import Guard
from serverside.redundancy.head import erase_labels, is_blank, is_damaged, read_label, write_label
from serverside.redundancy.journal import Journal
from serverside.redundancy.machine import Machine
from serverside.redundancy.members import Member, Members, Spare
from serverside.redundancy.mending import Mending
from serverside.redundancy.regions import Regions
from serverside.redundancy.slowness import Judge
from serverside.redundancy.superblock import NO_PLACE, Label, State
from serverside.redundancy.watch import Watch
from serverside.settings import ArraySettings

GUARDS: dict[str, Callable[[Members], Guard]] = {"raid5": Journal, "raid10": Regions}
RESTS_TO_SETTLE: Final = 5
"""So many quiet seconds, until all is settled."""


class Redundant(Array):
    """An array with a superblock. `absent`: why the other drives of nsu.conf can't be had."""

    def __init__(
        self,
        settings: ArraySettings,
        drives: Sequence[Drive],
        layout: type[Layout],
        absent: Sequence[str] = (),
        *,
        force: bool = False,
        new_uuid: Callable[[], UUID] = uuid4,
    ) -> None:
        check_level(settings, layout)
        self._kind = layout
        self._absent = tuple(absent)
        self._new_uuid = new_uuid
        self._machine: Machine | None = None
        self._mending: Mending | None = None
        self._watch: Watch | None = None
        self._rests = 0
        self._stopped: str | None = None
        assembly = self._begin(settings, drives, force)
        self.superblock = assembly.superblock
        self.layout = layout(len(settings.drives), self.superblock.stripe_bytes, self.superblock.data_bytes)
        self.board = Board(self.layout.places)
        super().__init__(settings, drives)
        for place, record in enumerate(self.superblock.members):
            known = assembly.drives.get(place)
            state = record.state if known is not None else State.OUT
            # Told, not opened: what was acknowledged may still be in the journal, until an owner has mended it.
            self.board.publish(place, known, state, record.rows_done, may_read=False)
            self.board.say_why(place, assembly.missing.get(place, ""))
        for note in assembly.notes:
            say(f"nsu: server: {note}")

    def _only_drive(self) -> Drive | None:
        """None, also when one drive is all that is left: it has a superblock, and an owner."""
        return None

    def _capacity_bytes(self) -> int:
        return self.layout.capacity_bytes

    def extents(self, offset_bytes: int, length_bytes: int) -> list[Extent]:
        """Where the data is, by place, when all are in; offsets are those of the drives."""
        found = []
        for piece in self.layout.pieces(offset_bytes, length_bytes):
            group = self.layout.group(piece.group)
            at_bytes = self._at(group, piece.within_bytes)
            found.append(Extent(group.places[piece.member], at_bytes, piece.length_bytes))
        return found

    # -- every process -------------------------------------------------------------------------------------------

    def needs_owner(self, op: int) -> bool:
        """Everything but reading."""
        return op != Op.READ

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        """Fill `view`; OwnerNeeded where only the owner can."""
        self._check(offset_bytes, len(view))
        if self._machine is not None or self._stopped is not None:
            self._owned().read_into(view, offset_bytes)
        elif not self._read_directly(view, offset_bytes):
            raise OwnerNeeded

    def _read_directly(self, view: memoryview, offset_bytes: int) -> bool:
        self.board.mark_read()
        # The epoch before and after: what was read from a place that was put out meanwhile counts for nothing.
        epoch = self.board.epoch
        at = 0
        for piece in self.layout.pieces(offset_bytes, len(view)):
            group = self.layout.group(piece.group)
            drive = self._drive_to_read(group, piece.member)
            if drive is None:
                return False
            try:
                drive.read_into(view[at : at + piece.length_bytes], self._at(group, piece.within_bytes))
            except DriveError:
                return False  # the owner repairs it
            at += piece.length_bytes
        return self.board.epoch == epoch

    def _drive_to_read(self, group: Group, member: int) -> Drive | None:
        """Give the drive of a member; where both members are the same, of the one whose turn it is in this row."""
        places = group.places[member : member + 1]
        if self.layout.data_members == 1:
            places = group.places if group.row % 2 == 0 else group.places[::-1]
        for place in places:
            index = self.board.readable(place)
            if index is not None and index < len(self.drives):  # one that came later was not inherited here
                return self.drives[index]
        return None

    def _at(self, group: Group, within_bytes: int) -> int:
        return self.superblock.data_offset_bytes + group.row * self.layout.stripe_bytes + within_bytes

    # -- the owner -----------------------------------------------------------------------------------------------

    def own(self) -> None:
        """Recognise the drives, and mend what a crash left. Where that fails, all requests get the reason."""
        self._machine = self._mending = self._watch = None
        try:
            members = self._members()
            machine = Machine(members, GUARDS[self.settings.level](members))
            machine.recover()
            members.label_spares()
        except (SettingsError, DriveError) as error:
            self._stopped = str(error)
            self.board.totals.set("stopped", 1)
            say(f"nsu: driver {self.name}: {error}")
            return
        self._stopped = None
        self._machine, self._mending, self._watch = machine, Mending(machine), Watch(members, Judge())

    def release(self) -> None:
        """Settle, and forget what only an owner may know."""
        if self._machine is not None:
            try:
                self._machine.settle()
            finally:  # the next owner mends what this one could not settle
                self._machine = self._mending = self._watch = None

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        """Write all of `view`."""
        self.write_many([(offset_bytes, view)], durable)

    def write_many(self, writes: Sequence[tuple[int, memoryview]], durable: bool = False) -> None:
        """Write all as one batch: neighbours share their parity's computing and the guard's writes."""
        for offset_bytes, view in writes:
            self._check(offset_bytes, len(view))
        self._owned().write_many(writes, durable)

    def flush(self) -> None:
        """Make everything acknowledged durable."""
        if self._machine is None and self._stopped is None:
            self._sync()
        else:
            self._owned().flush()

    def _sync(self) -> None:
        """Where there is no owner any more, at the end of the server: sync what takes part."""
        for place in range(self.layout.places):
            index = self.board.drive(place)
            if index is not None and index < len(self.drives) and self.board.rows[place].get("state") != State.OUT:
                with suppress(DriveError):  # it is marked, and the next owner puts it out
                    self.drives[index].flush()

    def trim(self, offset_bytes: int, length_bytes: int) -> None:
        """Nothing: a hint that one drive follows and another does not would leave groups that don't agree."""
        self._check(offset_bytes, length_bytes)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, may_trim: bool = True) -> None:
        """Make a range zero."""
        del may_trim
        self._check(offset_bytes, length_bytes)
        self._owned().write_zeroes(offset_bytes, length_bytes)

    def tend(self) -> bool:
        """Look out for slow drives; use a spare, rebuild, or compare: one step."""
        if self._mending is None or self._watch is None:
            return False
        try:
            self._watch.look()
            return self._mending.tend()
        except DriveError:
            return False  # it has stopped, and has said so

    def was_read(self) -> bool:
        """Take the mark that SRWs leave."""
        return self.board.take_read_mark()

    def rest(self) -> None:
        """Settle after some quiet seconds, so that the next start has nothing to mend."""
        self._rests += 1
        if self._machine is None or self._mending is None or self._machine.members.stopped:
            return
        if self._rests % RESTS_TO_SETTLE == 0:
            try:
                self._machine.settle()
            except DriveError:
                return  # it has stopped, and has said so

    def obey(self, order: int, place: int) -> None:
        """SCRUB or PUT_OUT. Raise DriveError where the level does not survive it."""
        self._owned()
        assert self._mending is not None
        if order == SCRUB:
            self._mending.begin_scrub()
        elif order == PUT_OUT and place < self.layout.places:
            members = self._mending.members
            if members.layout.survives(members.lost() | {place}):
                members.put_out(place, "it was replaced by order")

    def _owned(self) -> Machine:
        if self._machine is None and self._stopped is None:
            self.own()
        if self._machine is None:
            raise DriveError(errno.EIO, self._stopped or "the array has stopped")
        return self._machine

    def _members(self) -> Members:
        found = [_find(drive) for drive in self.drives]
        assembly = recognise(self.settings, self._kind, found, self._absent, self._new_uuid)
        records = assembly.superblock.members
        members = [
            Member(assembly.drives.get(place), record.drive, record.state, record.rows_done, record.rows_done)
            for place, record in enumerate(records)
        ]
        spares = [Spare(index, uuid) for index, uuid in assembly.spares.items() if self._is_large_enough(index)]
        made = Members(self.layout, assembly.superblock, self.drives, members, spares, self.board, self._say)
        made.begin_without(assembly.missing)
        return made

    def _is_large_enough(self, index: int) -> bool:
        drive, needed = self.drives[index], self.superblock.data_offset_bytes + self.superblock.data_bytes
        if drive.size_bytes < needed:
            self._say(f"array {self.name}: {drive.name} is no spare: it has {drive.size_bytes} of {needed} bytes")
        return drive.size_bytes >= needed

    def _say(self, sentence: str) -> None:
        say(f"nsu: {sentence}")

    # -- the start -----------------------------------------------------------------------------------------------

    def _begin(self, settings: ArraySettings, drives: Sequence[Drive], force: bool) -> Assembly:
        """Recognise the array, or make it of blank drives."""
        found = [_find(drive) for drive in drives]
        if not force and not is_new(found):
            return recognise(settings, self._kind, found, self._absent, self._new_uuid)
        all_zero = all(drive.has_no_data() for drive in drives[: len(settings.drives)])
        assembly = create(settings, self._kind, found, self._absent, self._new_uuid, force=force, all_zero=all_zero)
        layout = self._kind(len(settings.drives), assembly.superblock.stripe_bytes, assembly.superblock.data_bytes)
        members = [
            Member(assembly.drives[place], record.drive, record.state)
            for place, record in enumerate(assembly.superblock.members)
        ]
        for place, member in enumerate(members):
            write_label(drives[assembly.drives[place]], Label(assembly.superblock, member.uuid, place))
        # The second event says that all drives have the first: only now is the array made.
        made = Members(layout, assembly.superblock, drives, members, [], Board(layout.places), self._say)
        made.save()
        for index, uuid in assembly.spares.items():
            made.spares.append(Spare(index, uuid))
        made.label_spares()
        assembly.superblock = made.superblock
        return assembly

    # -- orders, in the server process ---------------------------------------------------------------------------

    def place_of(self, name: str) -> int:
        """Give the place of a drive by its path or its number. Raise SettingsError."""
        for place in range(self.layout.places):
            index = self.board.drive(place)
            if name == str(place) or (
                index is not None and index < len(self.drives) and self.drives[index].name == name
            ):
                return place
        raise SettingsError(f"array {self.name} has no drive {name} at any place: see nsu array list")

    def check_put_out(self, place: int) -> None:
        """Raise SettingsError if the array does not survive without this place now."""
        lost = {each for each in range(self.layout.places) if self.board.rows[each].get("state") != State.IN}
        if place not in lost and not self.layout.survives(lost | {place}):
            raise SettingsError(
                f"array {self.name}: place {place} can't be taken out now: {self.settings.level} does not survive it"
                f" with these out or not rebuilt: {', '.join(map(str, sorted(lost)))}"
            )

    def unused_drive(self, name: str) -> Drive | None:
        """Give the open drive of this path that takes no part: a spare, or one that was put out."""
        taken = {self.board.drive(p) for p, row in enumerate(self.board.rows) if row.get("state") != State.OUT}
        return next((d for index, d in enumerate(self.drives) if d.name == name and index not in taken), None)

    def add_spare(self, drive: Drive, *, force: bool) -> None:
        """Make a drive a spare. The owner that is forked next finds it. Raise SettingsError, DriveError."""
        needed = self.superblock.data_offset_bytes + self.superblock.data_bytes
        if drive.size_bytes < needed:
            raise SettingsError(
                f"drive {drive.name} has {drive.size_bytes} bytes; array {self.name} needs {needed} of it"
            )
        if not force and not is_blank(drive):
            raise SettingsError(f"drive {drive.name} is not blank: if what it holds is not needed, add --force")
        erase_labels(drive)
        write_label(drive, Label(self.superblock, self._new_uuid(), NO_PLACE))
        if drive not in self.drives:
            self.drives = (*self.drives, drive)

    # -- telling -------------------------------------------------------------------------------------------------

    def describe_drives(self) -> list[dict[str, Any]]:
        """Places first, then spares and those that are not used."""
        places = [self._describe_place(place) for place in range(self.layout.places)]
        taken = {self.board.drive(place) for place in range(self.layout.places)}
        rest = [
            {"name": drive.name, "size_bytes": drive.size_bytes, "state": "spare or not used"}
            for index, drive in enumerate(self.drives)
            if index not in taken
        ]
        return places + rest

    def _describe_place(self, place: int) -> dict[str, Any]:
        row, index = self.board.rows[place], self.board.drive(place)
        state = State(row.get("state"))
        known = index is not None and index < len(self.drives)
        words = {State.IN: "good", State.OUT: "out", State.REBUILDING: "rebuilding"}
        return {
            "name": self.drives[index].name if known and index is not None else "(not there)",
            "size_bytes": self.drives[index].size_bytes if known and index is not None else 0,
            "state": words[state],
            "place": place,
            "rebuilt_percent": 100 * row.get("rows_done") // self.layout.rows if state == State.REBUILDING else None,
            "repaired_blocks": row.get("repaired"),
            "operations": row.get("operations"),
            "mean_us": row.get("busy_us") // max(1, row.get("operations")),
            "slowest_us": row.get("slowest_us"),
            "slow_s": row.get("slow_s"),
            "why_out": self.board.why(place) if state != State.IN else "",
        }

    def describe(self) -> dict[str, Any]:
        """Give the counters of the array."""
        totals = self.board.totals.as_dict()
        scrub_row = totals.pop("scrub_row")
        return {
            "redundancy": {
                **totals,
                "stopped": bool(totals["stopped"]),
                "scrubbed_percent": 100 * (scrub_row - 1) // self.layout.rows if scrub_row else None,
            }
        }


def _find(drive: Drive) -> Found:
    """Look at a drive. One that can't be read is as good as damaged."""
    try:
        label = read_label(drive)
        damaged = label is None and is_damaged(drive)
        return Found(drive.name, drive.size_bytes, label, damaged, label is None and not damaged and is_blank(drive))
    except DriveError:
        return Found(drive.name, drive.size_bytes, None, damaged=True)
