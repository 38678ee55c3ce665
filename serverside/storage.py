"""All that the server owns of storage, put together: drives, arrays, the partition table, and one driver process per array.

Everything that SRWs and drivers share is made here, before any fork. A driver process lives in a place, like an agent on
its path: its queues stay when it is replaced, and who waits for one that died posts again to its successor.
"""

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ipc.child import Child, fork_child
from ipc.counters import CounterTable
from protocol.records import UnitFlag, UnitRecord
from serverside.arrays.base import Array
from serverside.arrays.open import open_array
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.driver.channel import DriverChannel, SeatDoor
from serverside.driver.driver import ServerDriver
from serverside.driver.process import run_driver
from serverside.identity import Identity
from serverside.partitions.partition import Partition
from serverside.partitions.table import PartitionTable, build
from serverside.settings import ArraySettings, HostSettings, ServerSettings

SIGTERM = 15
DRIVER_STOP_S = 10.0
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


class Storage:
    """Opened at the start of the server process; `seats` SRWs at most share it."""

    def __init__(self, settings: ServerSettings, seats: int) -> None:
        self.seats = seats
        self.identity = Identity(settings.state_dir)
        self.health = DriveHealth(sum(len(array.drives) for array in settings.arrays))
        self.arrays = self.open_arrays(settings.arrays)
        self.folder = settings.state_dir / "zero"
        self.table: PartitionTable = build(settings.hosts, self.arrays, self.identity, self.folder)
        self.settings = settings
        self.cookie = self.identity.cookie_for(fingerprint(settings))
        self.hearts = CounterTable(max(1, len(self.arrays)), ("beat",))
        self.places = {
            name: DriverPlace(array, DriverChannel(seats + 1)) for name, array in self.arrays.items()
        }

    def open_arrays(self, wanted: Sequence[ArraySettings]) -> dict[str, Array]:
        arrays = {}
        index = 0
        for settings in wanted:
            drives = []
            for drive in settings.drives:
                drives.append(open_drive(drive, self.health, index))
                index += 1
            arrays[settings.name] = open_array(settings, drives)
        return arrays

    # -- what SRWs need ------------------------------------------------------------------------------------------

    def view_of(self, host: HostSettings) -> HostView:
        """Give what an SRW of `host` is forked with."""
        return HostView(self.table.units(host.name), self.table.of_host[host.name])

    def doors(self, seat: int, alive: Callable[[], bool]) -> Mapping[str, SeatDoor]:
        """Give the ways from `seat` to each array's driver process; `alive` is asked while one waits there."""
        return {name: SeatDoor(place.channel, seat, alive) for name, place in self.places.items()}

    def descriptors(self, seat: int) -> list[int]:
        """Descriptors that the SRW of `seat` keeps: drives, and the ways to the drivers."""
        kept = [fd for array in self.arrays.values() for fd in array.descriptors()]
        return kept + [fd for place in self.places.values() for fd in place.channel.seat_descriptors(seat)]

    def reopen(self) -> None:
        """In a fresh SRW: open the drives for itself, so that no other process can take an fsync error away from it."""
        for array in self.arrays.values():
            array.reopen()

    def unit_records(self, host: HostSettings) -> list[UnitRecord]:
        """Give what `host` is told of its units: only what is really done."""
        return [
            UnitRecord(number, p.generation, p.blocks, flags_of(p), p.uuid.bytes, p.name)
            for number, p in enumerate(self.table.units(host.name))
        ]

    # -- driver processes ----------------------------------------------------------------------------------------

    def start_drivers(self) -> None:
        """Fork the driver processes that are missing."""
        for row, (name, place) in enumerate(self.places.items()):
            if place.child is None:
                place.child = self.fork_driver(name, place, row)

    def fork_driver(self, name: str, place: DriverPlace, row: int) -> Child:
        driver = ServerDriver(place.array, self.table.of_array(name))
        channel = place.channel
        keep = {*place.array.descriptors(), *channel.driver_descriptors(), *self.table.descriptors(name)}
        return fork_child(
            f"nsu: driver {name}",
            lambda life: run_driver(life, driver, channel),
            hearts=self.hearts,
            heart_row=row,
            keep=keep,
        )

    def mind_drivers(self) -> bool:
        """Replace driver processes that died; whoever waits for one posts again to its successor. Always True."""
        for place in self.places.values():
            if place.child is not None and place.child.poll() is not None:
                print(f"{place.child.title} died; it is started again", file=sys.stderr, flush=True)
                place.child.close()
                place.child = None
        self.start_drivers()
        return True

    def stop_drivers(self) -> None:
        """Have the drivers finish what is posted, and go."""
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

    def drain(self, seat: int) -> None:
        """Wait until the drivers have done all that the SRW of `seat`, which is reaped, had posted."""
        for place in self.places.values():
            place.channel.drain(seat, self.mind_drivers)

    # -- changes and the end -------------------------------------------------------------------------------------

    def adopt(self, settings: ServerSettings) -> list[str]:
        """Take new settings; no SRW of a host whose units change may live. Give warnings for what must wait."""
        warnings = []
        if settings.arrays != self.settings.arrays:
            warnings.append("the ARRAY blocks of nsu.conf have changed: that takes effect at the next start")
            settings = replace(settings, arrays=self.settings.arrays)
        self.stop_drivers()
        self.table = build(settings.hosts, self.arrays, self.identity, self.folder, self.table)
        self.start_drivers()
        self.cookie = self.identity.cookie_for(fingerprint(settings))
        self.settings = settings
        return warnings

    def close(self) -> None:
        """Stop the drivers, make everything durable, close the drives."""
        self.stop_drivers()
        for array in self.arrays.values():
            array.flush()
            array.close()

    # -- telling -------------------------------------------------------------------------------------------------

    def describe_arrays(self) -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "level": settings.level,
                "capacity_bytes": self.arrays[name].capacity_blocks * 512,
                "driver_pid": child.pid if (child := self.places[name].child) else None,
                "drives": [
                    {"name": drive.name, "size_bytes": drive.size_bytes, "state": "failed" if self.health.errno(drive.index) else "good"}
                    for drive in self.arrays[name].drives
                ],
            }
            for settings in self.settings.arrays
            for name in [settings.name]
        ]

    def describe_hosts(self) -> list[dict[str, Any]]:
        return [
            {
                "name": host.name,
                "version": 1 if host.secret is None else 2,
                "units": [
                    {
                        "number": number,
                        "name": p.name,
                        "blocks": p.blocks,
                        "read_only": p.read_only,
                        "generation": p.generation,
                        "uuid": str(p.uuid),
                        "lba": f"{p.settings.array}({p.settings.first_lba},{p.settings.last_lba})",
                    }
                    for number, p in enumerate(self.table.units(host.name))
                ],
            }
            for host in self.settings.hosts
        ]


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
    secrets = [host.secret for host in settings.hosts]
    return hashlib.sha256(repr((settings, secrets)).encode()).hexdigest()
