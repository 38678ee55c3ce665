"""All that the server owns of storage, put together: drives, arrays, partition table, a driver process for each array.

Everything that SRWs and drivers share is made here, before any fork. A driver process lives in a place, like an agent
on its path: its queues stay when it is replaced, and who waits for one that died posts again to its successor.
"""

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from errno import EBUSY
from typing import Any

from ipc.child import Child, fork_child
from ipc.confinement import confine_to_drives
from ipc.counters import CounterTable
from ipc.exits import describe_exit
from ipc.say import say
from protocol.records import UnitFlag, UnitRecord
from serverside.arrays.base import Array
from serverside.arrays.open import LAYOUTS, open_array
from serverside.driver.channel import NO_SEAT, DriverChannel, SeatDoor, Waiting
from serverside.driver.driver import ServerDriver
from serverside.driver.packets import Command
from serverside.driver.process import run_driver
from serverside.drives.base import Drive, DriveError
from serverside.drives.failed_journal import FailedJournal
from serverside.drives.failed_notes import FailedNotes
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.errors import SettingsError
from serverside.identity import Identity
from serverside.partitions.partition import Partition
from serverside.partitions.table import PartitionTable, build
from serverside.partitions.zero_live import forget_memories, this_boot
from serverside.settings import ArraySettings, DriveSettings, HostSettings, ServerSettings

SIGTERM = 15
DRIVER_STOP_S = 10.0
DRIVER_YOUNG_S = 1.0
"""A driver process that died younger than this is started again only after as long a rest."""
FORMER_RUN_S = 10.0
"""How long a killed server's SRWs may still hold a drive, in a sync for instance. Until the last of them is gone, what
it was told to write may still be written: so the next start waits for the drive's lock, and does not give up at once.
"""
REPLACEMENTS_MOST = 16
"""Drives that may come while the server runs: each has its failed mark in memory made before the first fork."""
ABILITIES = UnitFlag.FLUSH | UnitFlag.FUA | UnitFlag.TRIM | UnitFlag.WRITE_ZEROES


@dataclass(frozen=True, slots=True)
class HostView:
    """One host's partitions by zn_zlun, and each one's index for the driver process."""

    partitions: Sequence[Partition]
    indexes: Sequence[int]


@dataclass(slots=True)
class DriverPlace:
    """Where one array's driver process lives."""

    array: Array
    channel: DriverChannel
    child: Child | None = None
    rest_until_s: float = 0.0
    is_renewed: bool = False
    """It was told to end, so that another one follows."""


class Storage:
    """Opened at the start of the server process; `seats` SRWs at most share it."""

    def __init__(self, settings: ServerSettings, seats: int) -> None:
        self.seats = seats
        self.is_confined = False
        """This is a process that may open no file any more."""
        self.identity = Identity(settings.state_dir, machine_boot=this_boot())
        if self.identity.has_lost:
            say(
                "nsu: server: this machine went down without an orderly end of nsu: "
                "hosts are told that writes since their last flush may be lost"
            )
        self.folder = settings.state_dir / "zero"
        self.failed_notes = FailedNotes(settings.state_dir / "failed")
        self.user = settings.user
        self.journal = self.open_journal(settings)
        self.drive_names: list[str] = []
        most = sum(len(array.drives) + len(array.spares) for array in settings.arrays)
        self.health = DriveHealth(most + REPLACEMENTS_MOST, on_fail=self.note_failed)
        self.arrays = self.open_arrays(settings.arrays)
        self.table: PartitionTable = build(settings.holders, self.arrays, self.identity, self.folder)
        self.release_arrays()
        self.settings = settings
        self.cookie = self.identity.cookie_for(fingerprint(settings))
        self.hearts = CounterTable(max(1, len(self.arrays)), ("beat",))
        self.places = {name: DriverPlace(array, DriverChannel(seats + 1)) for name, array in self.arrays.items()}

    def open_arrays(self, wanted: Sequence[ArraySettings]) -> dict[str, Array]:
        return {settings.name: self.open_one(settings) for settings in wanted}

    def open_one(self, settings: ArraySettings) -> Array:
        """Open the drives of an array, and join them. One with redundancy may begin without some of them."""
        if settings.level not in LAYOUTS:
            return open_array(settings, [self.open_next(drive, open_patiently) for drive in settings.drives])
        drives, absent = [], []
        for drive in (*settings.drives, *settings.spares):
            try:
                drives.append(self.open_next(drive, open_patiently))
            except DriveError as error:
                if error.errno == EBUSY:
                    raise  # it is there, and somebody uses it, perhaps this very array: no reason to go on without it
                absent.append(str(error))
        return open_array(settings, drives, absent)

    def open_next(self, settings: DriveSettings, opener: Callable[[DriveSettings, DriveHealth, int], Drive]) -> Drive:
        """Open a drive with the next free mark, and remember whether it has failed in a former run."""
        drive = opener(settings, self.health, len(self.drive_names))
        self.drive_names.append(str(settings.path))
        self.recall_failed(drive)
        return drive

    def release_arrays(self) -> None:
        """Own no array here: the driver processes do, from their fork on. Raise DriveError."""
        for array in self.arrays.values():
            array.release()

    def open_journal(self, settings: ServerSettings) -> FailedJournal | None:
        """Open it for processes that will be confined, and take over what those of a former run noted."""
        path = settings.state_dir / "failed.journal"
        if self.user is None and not path.exists():
            return None
        journal = FailedJournal(path)
        journal.take(self.put_note)
        if self.user is not None:
            return journal
        journal.close()
        return None

    def note_failed(self, index: int, errno: int) -> None:
        """A drive is being marked as failed, in whatever process: what must outlive the mark."""
        name = self.drive_names[index]
        try:
            if self.is_confined and self.journal is not None:
                self.journal.add(name, errno)
            else:
                self.put_note(name, errno)
        except OSError as error:
            say(f"nsu: server: that drive {name} failed can't be noted: {error.strerror}")

    def put_note(self, drive: str, errno: int) -> None:
        """Note a failed drive in STATE. Raises OSError."""
        forget_memories(self.folder)  # what was written and not yet synced may be lost, and zeroing with it
        self.failed_notes.put(drive, errno)

    def recall_failed(self, drive: Drive) -> None:
        """Mark a drive that has failed in a former run."""
        errno = self.failed_notes.errno(str(drive.path))
        if errno:
            self.health.recall(drive.index, errno)
            note = self.failed_notes.path_of(str(drive.path))
            say(
                f"nsu: server: drive {drive.name} failed in a former run ({os.strerror(errno)}) and is not used; "
                f"when it is good again, or another, remove {note} and start nsu again"
            )

    # -- what SRWs need ------------------------------------------------------------------------------------------

    def view_of(self, host: HostSettings) -> HostView:
        """Give what an SRW of `host` is forked with."""
        return HostView(self.table.units(host.name), self.table.of_host[host.name])

    def doors(self, seat: int, alive: Callable[[], bool]) -> Mapping[str, SeatDoor]:
        """Give the ways from `seat` to each array's driver process; `alive` is asked while one waits there."""
        return {name: SeatDoor(place.channel, seat, alive) for name, place in self.places.items()}

    def descriptors(self, seat: int) -> list[int]:
        """Descriptors that the SRW of `seat` keeps: drives, and the ways to the drivers."""
        kept = [fd for array in self.arrays.values() for fd in array.descriptors()] + self.journal_descriptors()
        return kept + [fd for place in self.places.values() for fd in place.channel.seat_descriptors(seat)]

    def reopen(self) -> None:
        """In a fresh SRW: open the drives for itself, so that no other process can take an fsync error away from it."""
        for array in self.arrays.values():
            array.reopen()

    def confine(self) -> None:
        """In a fresh process that has its drives open: give all else up, where we are root. Raises OSError."""
        confine_to_drives(self.user)
        self.is_confined = self.user is not None

    def journal_descriptors(self) -> list[int]:
        return [] if self.journal is None else [self.journal.fd]

    def unit_records(self, host: HostSettings) -> list[UnitRecord]:
        """Give what `host` is told of its units: only what is really done."""
        return [
            UnitRecord(number, p.generation, p.blocks, flags_of(p), p.uuid.bytes, p.name)
            for number, p in enumerate(self.table.units(host.name))
        ]

    # -- driver processes ----------------------------------------------------------------------------------------

    def start_drivers(self) -> None:
        """Fork the driver processes that are missing; where that fails, or one has just failed, come again later."""
        now_s = time.monotonic()
        for row, (name, place) in enumerate(self.places.items()):
            if place.child is None and now_s >= place.rest_until_s:
                try:
                    place.child = self.fork_driver(name, place, row)
                except OSError as error:
                    say(f"nsu: server: the driver of {name} can't be started: {error.strerror}; it is tried again")
                    place.rest_until_s = now_s + DRIVER_YOUNG_S

    def fork_driver(self, name: str, place: DriverPlace, row: int) -> Child:
        driver = ServerDriver(place.array, self.table.of_array(name))
        channel = place.channel
        keep = {*place.array.descriptors(), *channel.driver_descriptors(), *self.table.descriptors(name)}
        keep.update(self.journal_descriptors())
        return fork_child(
            f"nsu: driver {name}",
            lambda life: run_driver(life, driver, channel, self.confine),
            hearts=self.hearts,
            heart_row=row,
            keep=keep,
        )

    def mind_drivers(self) -> None:
        """Replace driver processes that died; whoever waits for one posts again to its successor."""
        if self.journal is not None:
            self.journal.take(self.put_note)
        now_s = time.monotonic()
        for place in self.places.values():
            if place.child is not None and (status := place.child.poll()) is not None:
                if not place.is_renewed:
                    who = f"{place.child.title.removeprefix('nsu: ')} (pid {place.child.pid})"
                    say(f"nsu: server: {who} died: {describe_exit(status)}; it is started again")
                if not place.is_renewed and now_s - place.child.started_s < DRIVER_YOUNG_S:
                    place.rest_until_s = now_s + DRIVER_YOUNG_S
                place.is_renewed = False
                place.child.close()
                place.child = None
        self.start_drivers()

    def children(self) -> list[Child]:
        """Give the driver processes."""
        return [place.child for place in self.places.values() if place.child is not None]

    def order(self, array: Array, order: int, place: int = 0) -> None:
        """Post an order to an array's owner. Nobody waits for it: `describe_arrays` tells what it does. QueueFull."""
        self.places[array.name].channel.commands.put_many(Command(0, NO_SEAT, order, False, 0, place, 0).pack())

    def renew_driver(self, array: Array) -> None:
        """Have another driver process follow, forked now: it knows what this process has learnt since."""
        place = self.places[array.name]
        if place.child is not None:
            place.child.signal(SIGTERM)  # it does first what is posted; `mind_drivers` forks the next
            place.is_renewed = True

    def stop_drivers(self) -> None:
        """Have the drivers finish what is posted, and go. TimeoutError: one is held by its drive."""
        for place in self.places.values():
            if place.child is not None:
                place.child.signal(SIGTERM)
        deadline_s = time.monotonic() + DRIVER_STOP_S
        for place in self.places.values():
            if place.child is not None:
                if place.child.wait(max(0.0, deadline_s - time.monotonic())) is None:
                    place.child.kill_and_reap()
                place.child.close()
                place.child = None

    def begin_drain(self, seat: int) -> list[tuple[int, Waiting]]:
        """Ask each driver to say when it has done all that the SRW of `seat`, which is reaped, had posted.

        Gives, for each, the descriptor on which it answers, and the question.
        """
        return [
            (place.channel.answers[seat].fileno(), place.channel.begin_drain(seat)) for place in self.places.values()
        ]

    # -- changes and the end -------------------------------------------------------------------------------------

    def check(self, settings: ServerSettings) -> None:
        """Raise SettingsError for what can't be served from the arrays that are open, before anybody is disturbed."""
        for host in settings.holders:
            for unit in host.units:
                array = self.arrays.get(unit.array)
                if array is None:
                    raise SettingsError(
                        f"HOST {host.name} UNIT {unit.name}: ARRAY {unit.array} is new: it is opened at the next start"
                    )
                if unit.last_lba >= array.capacity_blocks:
                    raise SettingsError(
                        f"HOST {host.name} UNIT {unit.name}: block {unit.last_lba} is beyond {unit.array}, whose last "
                        f"block is {array.capacity_blocks - 1}"
                    )

    def adopt(self, settings: ServerSettings) -> None:
        """Take new settings, of the same arrays; no SRW of a host whose units change may live.

        Raise SettingsError, StateError, DriveError, OSError: then the old settings stay, all of them.
        """
        assert settings.arrays == self.settings.arrays
        cookie = self.identity.cookie_for(fingerprint(settings))  # one that is not used is skipped, which harms nobody
        self.stop_drivers()
        try:
            self.table = build(settings.holders, self.arrays, self.identity, self.folder, self.table)
            self.settings, self.cookie = settings, cookie
            try:
                self.release_arrays()
            except DriveError as error:  # the change stands; what is wrong with the drives, the next owner finds too
                say(f"nsu: server: {error}")
        finally:
            self.start_drivers()

    def close(self) -> None:
        """Stop the drivers, make everything durable, close the drives; then raise the first error, if any.

        The SRWs are gone, so nothing is acknowledged any more: without an error, this run leaves nothing volatile.
        """
        failure: Exception | None = None
        try:
            self.stop_drivers()
        except TimeoutError as error:
            failure = error
        for array in self.arrays.values():
            try:
                array.flush()
            except DriveError as error:
                failure = failure or error
            array.close()
        if self.journal is not None:
            self.journal.take(self.put_note)
            self.journal.close()
        if failure is not None:
            raise failure
        if not self.table.is_dirty:  # a driver process that could not settle its zero maps said nothing
            self.note_clean()

    def note_clean(self) -> None:
        try:
            self.identity.note_clean()
        except OSError as error:  # nothing is lost; after a reboot it will look so
            say(f"nsu: server: that all is on the drives can't be noted in {self.identity.path}: {error.strerror}")

    # -- telling -------------------------------------------------------------------------------------------------

    def describe_arrays(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "level": settings.level,
                "capacity_bytes": self.arrays[name].capacity_blocks * 512,
                "driver_pid": child.pid if (child := self.places[name].child) else None,
                "drives": self.describe_drives(self.arrays[name]),
                **self.arrays[name].describe(),
            }
            for settings in self.settings.arrays
            for name in [settings.name]
        ]

    def describe_drives(self, array: Array) -> list[dict[str, Any]]:
        notes = {drive.name: self.note_of(drive) for drive in array.drives}
        return [{**told, "note": notes.get(told["name"])} for told in array.describe_drives()]

    def note_of(self, drive: Drive) -> str | None:
        """Give the file to remove when a failed drive has been seen to."""
        return str(self.failed_notes.path_of(str(drive.path))) if self.health.errno(drive.index) else None

    def describe_hosts(self) -> list[dict[str, Any]]:
        return [
            {
                "name": host.name,
                "version": 1 if host.secret is None else 2,
                "units": self.describe_units(host.name),
            }
            for host in self.settings.hosts
        ]

    def describe_unassigned(self) -> list[dict[str, Any]]:
        return self.describe_units("") if self.settings.unassigned else []

    def describe_units(self, holder: str) -> list[dict[str, Any]]:
        return [
            {
                "number": number,
                "name": p.name,
                "blocks": p.blocks,
                "read_only": p.read_only,
                "zero": p.zero_map is not None,
                "written_blocks": p.written_blocks,
                "generation": p.generation,
                "uuid": str(p.uuid),
                "lba": f"{p.settings.array}({p.settings.first_lba},{p.settings.last_lba})",
            }
            for number, p in enumerate(self.table.units(holder))
        ]


def open_patiently(settings: DriveSettings, health: DriveHealth, index: int) -> Drive:
    """Open a drive; wait, for a while, for whoever still holds it."""
    deadline_s = time.monotonic() + FORMER_RUN_S
    told = False
    while True:
        try:
            return open_drive(settings, health, index)
        except DriveError as error:
            if error.errno != EBUSY or time.monotonic() > deadline_s:
                raise
            if not told:
                say(f"nsu: server: {error}; waiting for it, {FORMER_RUN_S:g} s at most")
            told = True
        time.sleep(0.02)


def flags_of(partition: Partition) -> UnitFlag:
    """Give what the host may ask of a partition."""
    flags = ABILITIES
    if partition.read_only:
        flags |= UnitFlag.READ_ONLY
    if partition.zero_map is not None:
        flags |= UnitFlag.ZERO
    return flags


def fingerprint(settings: ServerSettings) -> str:
    """Give a digest that changes exactly when the settings do; secrets enter only as part of it."""
    secrets = [host.secrets for host in settings.hosts]
    return hashlib.sha256(repr((settings, secrets)).encode()).hexdigest()
