"""The disks of one NSU on this host: what was asked for, what the server gives, and their processes.

A disk's process is started when its unit is known and nothing of a former one can still be applied; it is told what
changes, by reports on the queue of its place. Whatever else happens, it hears LOST only through `tell_lost`, which the
table of paths calls when a path is buried (paths.py).
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostside.driver.unit import UnitInfo
from hostside.packets import PACKET_BYTES, REPORT, Report
from hostside.paths import Path, PathState
from hostside.settings import DiskSettings
from hostside.units import unit_info
from hostside.wiring import Wiring
from ipc.backoff import Backoff
from ipc.child import Child
from ipc.control import ControlError
from ipc.exits import Exit, describe_exit
from ipc.packets import QueueFull
from ipc.say import say
from protocol.config_base import USED_NUMBERS_MAX, UnitsUsed, units_mark
from protocol.records import UnitRecord

if TYPE_CHECKING:
    from hostside.link import ServerLink

WINDOW = {1: 1, 2: 64}
"""Requests on one path's wire at once, by version."""
STEADY_DISK_S = 30.0
"""A disk process that lived for this long starts its rests anew."""
ENXIO = 6


@dataclass(slots=True)
class DiskState:
    """One disk: what was asked for and what the server gives."""

    settings: DiskSettings
    index: int
    """Its place in the wiring."""
    wanted: bool = True
    """It is to be shown; not, once it was detached."""
    unit: UnitInfo | None = None
    uuid: bytes = b""
    """The unit's own name: another one under the same partition's name is another disk."""
    present: bool = False
    """The server has the unit, as far as we have been told."""
    trouble: str = "waiting for the server"
    """What the server does not give, in words."""
    failure: str = ""
    """Why its last process ended or could not be started, in words; of interest until a new one is ready."""
    told: str = ""
    """The failure that was said last: what fails all the time in one way is said once."""
    child: Child | None = None
    backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 10.0, random=random.random))
    start_not_before_s: float = 0.0
    died_in_session: int = -1
    """The session (counted by the link) in which its last process died: its successor needs a later one."""


class Disks:
    """All disks of `link`, those that are detached too."""

    def __init__(self, link: "ServerLink", wiring: Wiring, settings: Sequence[DiskSettings]) -> None:
        self.link = link
        self.wiring = wiring
        self.all = [DiskState(each, place) for place, each in enumerate(settings)]
        """Those of nsu.conf and those attached since; a detached one stays, for whoever attaches it again."""
        self.records: list[UnitRecord] = []
        """What the server last said that this host has."""
        self.took_in = 0
        """The session, counted by the link, in which it said so."""

    def __iter__(self) -> Iterator[DiskState]:
        return iter(self.all)

    def __getitem__(self, at: int) -> DiskState:
        return self.all[at]

    def children(self) -> list[Child]:
        """Give their live processes."""
        return [disk.child for disk in self.all if disk.child is not None]

    def reap(self) -> None:
        """Bury those that have ended, and start those that can be."""
        for disk in self.all:
            if disk.child is not None:
                status = disk.child.poll()
                if status is not None:
                    self.exited(disk, status)
        self.start()

    # -- their units ---------------------------------------------------------------------------------------------

    def take(self, records: list[UnitRecord]) -> None:
        self.records = records
        self.took_in = self.link.sessions
        for disk in self.all:
            self.look_up(disk)
        self.start()

    def used(self) -> UnitsUsed | None:
        """Say which of the server's units are shown here, or are to be; None: no list of units came yet."""
        if self.link.granted is None or self.took_in != self.link.sessions:
            return None
        used = [disk.unit.number for disk in self.all if disk.unit and disk.present and (disk.wanted or disk.child)]
        if any(number >= USED_NUMBERS_MAX for number in used):
            return None
        return UnitsUsed(units_mark(self.records), sum(1 << number for number in set(used)))

    def look_up(self, disk: DiskState) -> None:
        """Find the disk's unit among those that the server gives."""
        name, number = disk.settings.name, disk.settings.number
        if self.link.version == 2:
            record = next((record for record in self.records if record.name == name), None)
        else:
            record = _at(self.records, number)
        if record is None:
            self.missing(disk)
        else:
            self.known(disk, record)

    def missing(self, disk: DiskState) -> None:
        what = f"no partition {disk.settings.name}" if self.link.version == 2 else f"no unit {disk.settings.number}"
        disk.trouble = f"the server has {what} for this host; see the HOST block in its nsu.conf"
        disk.present = False
        if disk.unit is not None:
            self.report(disk, Report.UNIT, status=ENXIO, value=0, spare=disk.unit.generation)

    def known(self, disk: DiskState, record: UnitRecord) -> None:
        """Tell the disk's process what has changed.

        A unit of another number or uuid is another disk: what is in flight was never meant for it. So the process goes,
        as if a drive had been pulled out, and its successor serves the new one.
        """
        unit = unit_info(disk.settings.name, record, self.link.version)
        known, knew = (record.number, record.uuid), (disk.unit and disk.unit.number, disk.uuid)
        if disk.child is not None and known != knew:
            self.link.kill(disk.child, "its partition was exchanged for another")
        elif disk.unit != unit or not disk.present:
            self.report(disk, Report.UNIT, value=unit.blocks, spare=unit.generation, credits=int(unit.flags))
        disk.unit = unit
        disk.uuid = record.uuid
        disk.present = True
        disk.trouble = ""

    # -- their processes -----------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the disk processes that are wanted and can be: their unit is known and nothing old is in flight."""
        now_s = self.link.loop.now()
        for disk in self.all:
            wanted = disk.wanted and disk.present and disk.child is None and not self.link.stopping
            buried = disk.died_in_session < self.link.sessions and not self.link.paths.unburied
            if wanted and (buried or disk.died_in_session < 0) and now_s >= disk.start_not_before_s:
                self.tidy_reports(disk.index)
                self.announce_paths(disk)
                self.wiring.write_reason(self.wiring.disk_row(disk.index), "")
                try:
                    disk.child = self.link.start_disk(self.link, disk)
                except OSError as error:  # no process or no descriptor is left
                    self.rest(disk, f"its process can't be forked: {error.strerror}")

    def exited(self, disk: DiskState, status: int) -> None:
        """A disk process died: what it had given to agents may still be written and may still reach its slots.

        So all paths are buried before its successor starts: a new session is the fence of everything before it. One
        that says by its exit that nothing of it is in flight disturbs nobody.
        """
        child = disk.child
        assert child is not None
        last_words = self.wiring.read_reason(self.wiring.disk_row(disk.index))
        may_have_given = not (status == Exit.DETACHED or (status == Exit.FAILED and last_words))
        child.close()
        disk.child = None
        why = self.link.killed.pop(child, "") or describe_exit(status)
        if self.link.stopping:
            return
        if may_have_given:
            disk.told = ""
        if self.link.loop.now() - child.started_s >= STEADY_DISK_S:
            disk.backoff.reset()
        if not disk.wanted:
            disk.failure = disk.told = ""
        elif status in (Exit.NEVER_AGAIN, Exit.MISUSE):
            self.failed(disk, "its process can't work here and is not started again: the log says why")
            disk.start_not_before_s = float("inf")
        elif last_words:
            self.rest(disk, f"{last_words}; it is tried again")
        else:
            self.rest(disk, f"its process (pid {child.pid}) died and is started again: {why}")
        if may_have_given:
            disk.died_in_session = self.link.sessions
            sentence = f"the process of disk {disk.settings.name} died; its paths are fenced by a new session"
            self.link.client.lose(sentence, stays=True)

    def failed(self, disk: DiskState, failure: str) -> None:
        disk.failure = failure
        if failure != disk.told:
            disk.told = failure
            say(f"nsu: host: disk {disk.settings.name}: {failure}", about=f"disk {disk.settings.name}")

    def rest(self, disk: DiskState, failure: str) -> None:
        self.failed(disk, failure)
        pause_s = disk.backoff.next()
        disk.start_not_before_s = self.link.loop.now() + pause_s
        self.link.loop.call_later(pause_s, self.start)

    def tidy_reports(self, place: int) -> None:
        """Leave in the queue of a place without a process what a new one must know: which paths are available.

        All else was for its predecessor, whose tags come again in the successor. Nobody reads the queue meanwhile, so
        this also keeps it from filling while paths come and go.
        """
        queue = self.wiring.disks[place].reports
        kept: list[bytes] = []
        while packets := queue.get_many():
            kept += [packet for packet in _split(packets) if self.is_news(packet)]
        queue.put_many(b"".join(kept))

    def is_news(self, packet: bytes) -> bool:
        _, kind, _, number, incarnation, *_ = REPORT.unpack(packet)
        path = self.link.paths.paths[number]
        lives = path.state in (PathState.STARTING, PathState.UP) and path.incarnation == incarnation
        return lives and kind == Report.AVAILABLE

    def announce_paths(self, disk: DiskState) -> None:
        """Message 1H again: what the agents told this place, its former process may have read."""
        for path in self.link.paths.paths:
            if path.state is PathState.UP:
                window = WINDOW[self.link.version]
                packet = REPORT.pack(0, Report.AVAILABLE, 0, path.number, path.incarnation, disk.index, 0, window, 0, 0)
                self.wiring.disks[disk.index].reports.put_many(packet)

    # -- attaching and detaching ---------------------------------------------------------------------------------

    def attach(self, settings: DiskSettings) -> DiskState:
        """Have one more disk, or one that was detached, or is not there yet, with other settings.

        Raises:
            ControlError: there is no place for it.

        """
        disk = next((disk for disk in self.all if disk.settings.name == settings.name), None)
        if disk is None:
            disk = DiskState(settings, self.free_place(settings.name))
            self.all.append(disk)
        disk.settings, disk.wanted = settings, True
        disk.failure = disk.told = ""
        disk.start_not_before_s = 0.0
        disk.backoff.reset()
        if self.link.granted is not None:
            self.look_up(disk)
        self.start()
        return disk

    def free_place(self, name: str) -> int:
        """Give a place that no disk has, or that of a detached one, which is then known no more."""
        free = set(range(len(self.wiring.disks))) - {disk.index for disk in self.all}
        if free:
            return min(free)
        for disk in self.all:
            if not disk.wanted and disk.child is None and disk.died_in_session < 0:
                self.all.remove(disk)
                return disk.index
        most = len(self.wiring.disks)
        raise ControlError(f"{name} can't be attached: {most} disks of {self.link.entry.name} are; detach one first")

    # -- reports -------------------------------------------------------------------------------------------------

    def tell_unavailable(self, path: Path) -> None:
        """Nobody takes commands for `path` any more, though it is not yet buried.

        So a disk knows that it is without a path while its server is gone, which is when ON_NO_PATH counts.
        """
        self.report_all(Report.AVAILABLE, path=path.number, incarnation=path.incarnation)

    def tell_lost(self, path: int, incarnation: int) -> None:
        self.report_all(Report.LOST, path=path, incarnation=incarnation)

    def tell_forgotten(self) -> None:
        """A process that starts later has had nothing acknowledged."""
        for disk in self.all:
            self.report(disk, Report.FORGOTTEN)

    def report_all(self, kind: Report, *, path: int, incarnation: int) -> None:
        """Tell every disk, and leave nothing to gather in the places without a process: agents speak to all."""
        served = set()
        for disk in self.all:
            if disk.child is not None:
                served.add(disk.index)
                self.report(disk, kind, path=path, incarnation=incarnation)
        for place in range(len(self.wiring.disks)):
            if place not in served:
                self.tidy_reports(place)

    def report(
        self,
        disk: DiskState,
        kind: Report,
        *,
        path: int = 0,
        incarnation: int = 0,
        status: int = 0,
        credits: int = 0,
        value: int = 0,
        spare: int = 0,
    ) -> None:
        """Tell the process of `disk`. Never waits: a process that does not read its reports is killed, and buried."""
        if disk.child is None:
            return
        packet = REPORT.pack(0, kind, 0, path, incarnation, disk.index, status, credits, value, spare)
        try:
            self.wiring.disks[disk.index].reports.put_many(packet)
        except QueueFull:
            self.link.kill(disk.child, "it did not read its reports")


def _split(packets: bytes) -> list[bytes]:
    return [packets[at : at + PACKET_BYTES] for at in range(0, len(packets), PACKET_BYTES)]


def _at(records: Sequence[UnitRecord], number: int) -> UnitRecord | None:
    return records[number] if 0 <= number < len(records) else None
