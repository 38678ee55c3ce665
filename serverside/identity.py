"""What must not be forgotten from one start to the next: STATE/identity.json.

  * epochs: a session's number that never comes again. Boot counter (one more at each start, saved before the
    first epoch is given) in the high 32 bits, a running number in the low.
  * the cookie of Appendix D's "get starting time": changes exactly when the settings do. A file's mtime has a
    grain of a second and goes backwards at a restore; this is a counter, started at random so that a lost
    STATE does not repeat it.
  * units: each (host, unit) has the uuid of its partition and a generation. It gets a new generation whenever its
    definition changes, and no two units, nor two definitions of one, ever have the same: so a request that
    names a number and a generation can never mean another unit that has taken the number since (trap 24).
    The uuid is the one that nsu.conf gives the unit (UUID = …): so it stays with the partition through another name,
    another host, another size. A unit without one gets one, and keeps it until it begins elsewhere. A unit that is
    gone is remembered. The empty host is nobody, who has the partitions outside any HOST.
  * the write verifier: a number that changes exactly when writes that were acknowledged and not flushed may have been
    lost between two starts: the machine was started anew, and the former run had not come to an orderly end, all
    drives synced (`note_clean`). What processes that died left in the page cache of a machine that stayed up is there.
    Started at random too, and never 0: a lost STATE, or another NSU in this one's place, has another.
  * the instance: a UUID, by which an NSU that is seen by several ways is known as one (discovery.py).
  * ranges: each range of an array that ZERO partitions begin with has a uuid, the name of its zero map, and
    knows the units that use it.

When is a range still the same? Wrongly "yes" shows one owner's data to the next; wrongly "no" makes an
owner's data vanish. A range (array, first LBA) keeps its map as long as a unit with the uuid of one of its former
units begins there; or one without a UUID in nsu.conf that has the name of a former one, be it of the same host or of
another to which it was given. It may grow and shrink.
A range whose units are all gone is kept aside, so that a unit taken out for an hour comes back with its data;
it is forgotten as soon as another unit, or the same one without ZERO, lies over any part of it.

Saves are atomic (write, fsync, rename, fsync the folder). A damaged file is refused with a sentence and never
overwritten.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy, deepcopy
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from serverside.errors import StateError
from serverside.partitions.zero_live import NO_BOOT
from serverside.settings import HostSettings, PartitionSettings

FILE_NAME = "identity.json"
VERSION = 1
U32_MASK = 0xFFFFFFFF

Random = Callable[[int], int]
"""A whole number of so many random bits."""


@dataclass(slots=True)
class UnitRecord:
    """What is remembered of one unit of one host."""

    host: str
    name: str
    uuid: str
    generation: int
    array: str
    first_lba: int
    last_lba: int
    read_only: bool
    zero: bool
    is_gone: bool = False
    """The settings do not have it now."""


@dataclass(slots=True)
class RangeRecord:
    """What is remembered of a range that ZERO partitions begin with."""

    uuid: str
    array: str
    first_lba: int
    blocks: int
    units: list[list[str]]
    """[host, unit] of those that use it, or used it last."""
    in_use: bool
    partitions: list[str] = field(default_factory=list)
    """The uuids of those units."""


_Record = TypeVar("_Record", UnitRecord, RangeRecord)


@dataclass(slots=True)
class State:
    """The content of the file."""

    boot: int = 0
    cookie: int = 0
    generation: int = 0
    """The last that was given to any unit."""
    fingerprint: str | None = None
    verifier: int = 0
    """0: none was needed yet."""
    machine_boot: str = ""
    """In which boot of the machine the last start was (boot_id, hexadecimal)."""
    is_clean: bool = False
    """The last run has ended with nothing volatile left."""
    instance: str = ""
    """Which NSU this is: a UUID."""
    units: list[UnitRecord] = field(default_factory=list)
    ranges: list[RangeRecord] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class UnitIdentity:
    """What a host is told of its unit, beside its size."""

    uuid: UUID
    generation: int


@dataclass(frozen=True, slots=True)
class ZeroRange:
    """A range that needs a zero map: `blocks` is the longest of the partitions that begin there."""

    uuid: UUID
    array: str
    first_lba: int
    blocks: int


class Identity:
    """The identities of one NSU. Opening it is one start: the boot counter is counted up and saved.

    `machine_boot` names the boot of this machine; NO_BOOT, which nobody knows, is another one at each start.
    """

    def __init__(self, folder: Path, random: Random = secrets.randbits, machine_boot: bytes = NO_BOOT) -> None:
        self.path = folder / FILE_NAME
        self._random = random
        self._state = _load(self.path)
        self._state.boot += 1
        self._is_new = False
        """Of one that was planned: it differs from what it was planned from."""
        self._epochs = 0
        if not self._state.instance:
            self._state.instance = self._new_uuid()
        self.has_lost = self._judge_former_run(machine_boot)
        """What the former run acknowledged and did not flush may be gone."""
        self._save()

    @property
    def boot(self) -> int:
        """Which start of this NSU this is, from 1."""
        return self._state.boot

    @property
    def instance(self) -> UUID:
        """Which NSU this is, whatever its name and its addresses: as long as it has its STATE."""
        return UUID(self._state.instance)

    @property
    def verifier(self) -> int:
        """The write verifier: a u32, never 0."""
        return self._state.verifier

    def note_clean(self) -> None:
        """All that was acknowledged is on stable storage, and nothing more will be acknowledged in this run."""
        self._state.is_clean = True
        self._save()

    def _judge_former_run(self, machine_boot: bytes) -> bool:
        state = self._state
        this = machine_boot.hex()
        is_first = not state.verifier  # or the first that knows of this: the former version syncs at its end too
        is_kept = state.is_clean or (machine_boot != NO_BOOT and state.machine_boot == this)
        state.machine_boot, state.is_clean = this, False
        if is_first:
            state.verifier = self._random(32) or 1
        elif not is_kept:
            state.verifier = state.verifier + 1 & U32_MASK or 1
        return not (is_first or is_kept)

    def next_epoch(self) -> int:
        """Give a u64 that was never given and never will be."""
        self._epochs += 1
        assert self._epochs <= U32_MASK
        return self._state.boot << 32 | self._epochs

    def cookie_for(self, fingerprint: str) -> int:
        """Give the u32 cookie of the settings that have this fingerprint: the last one, or a new one, which is saved.

        OSError: it can't be saved, and was not given.
        """
        state = replace(self._state)
        if state.fingerprint is None:
            state.cookie = self._random(32)
        elif state.fingerprint != fingerprint:
            state.cookie = state.cookie + 1 & U32_MASK
        if state.fingerprint != fingerprint:
            state.fingerprint = fingerprint
            write_atomically(self.path, _text(state))
        self._state = state
        return state.cookie

    def plan(self, hosts: Iterable[HostSettings]) -> tuple["Identity", list[UUID]]:
        """Give what this will be with the hosts and units that there are now, and the ranges forgotten by it.

        Nothing changes yet: `prepare` what it gives, then `take` it.
        """
        planned = copy(self)
        planned._state = deepcopy(self._state)
        forgotten = planned._settle([(host.name, unit) for host in hosts for unit in host.units])
        planned._is_new = planned._state != self._state
        return planned, forgotten

    def prepare(self) -> None:
        """Write what was planned beside the file in force; what needs room needs it now. Raise OSError."""
        if self._is_new:
            write_beside(self.path, _text(self._state))

    def take(self, planned: "Identity") -> None:
        """Have what was planned and prepared be in force. Raise OSError."""
        if planned._is_new:
            put_in_place(self.path)
            self._state = planned._state

    def _settle(self, units: list[tuple[str, PartitionSettings]]) -> list[UUID]:
        here = {(host_name, unit.name) for host_name, unit in units}
        for record in self._state.units:
            record.is_gone = record.is_gone or (record.host, record.name) not in here
        for host_name, unit in units:
            self._settle_unit(host_name, unit)
        return self._settle_ranges(units)

    def unit(self, host_name: str, unit_name: str) -> UnitIdentity:
        """Give the identity of a unit that was planned with."""
        record = self._unit_record(host_name, unit_name)
        assert record is not None
        return UnitIdentity(UUID(record.uuid), record.generation)

    def zero_ranges(self) -> Iterator[ZeroRange]:
        """Give the ranges that need a zero map now."""
        for record in self._state.ranges:
            if record.in_use:
                yield ZeroRange(UUID(record.uuid), record.array, record.first_lba, record.blocks)

    # -- units
    # ---------------------------------------------------------------------------------------------------

    def _unit_record(self, host_name: str, unit_name: str) -> UnitRecord | None:
        for record in self._state.units:
            if (record.host, record.name) == (host_name, unit_name):
                return record
        return None

    def _settle_unit(self, host_name: str, unit: PartitionSettings) -> None:
        definition = (unit.array, unit.first_lba, unit.last_lba, unit.read_only, unit.zero)
        old = self._unit_record(host_name, unit.name)
        if old is None:
            uuid, generation = unit.uuid or self._new_uuid(), self._new_generation()
            self._state.units.append(UnitRecord(host_name, unit.name, uuid, generation, *definition))
            return
        stays = (unit.array, unit.first_lba) == (old.array, old.first_lba)
        uuid = unit.uuid or (old.uuid if stays else self._new_uuid())
        before = (old.uuid, old.array, old.first_lba, old.last_lba, old.read_only, old.zero)
        if (uuid, *definition) == before and not old.is_gone:
            return
        # One that was gone may have lost its blocks to others meanwhile: who still means the former content is told.
        old.is_gone = False
        old.generation = self._new_generation()
        old.uuid = uuid
        old.array, old.first_lba, old.last_lba, old.read_only, old.zero = definition

    # -- ranges
    # --------------------------------------------------------------------------------------------------

    def _settle_ranges(self, units: list[tuple[str, PartitionSettings]]) -> list[UUID]:
        wanted: dict[tuple[str, int], list[tuple[str, PartitionSettings]]] = {}
        for host_name, unit in units:
            wanted.setdefault((unit.array, unit.first_lba), []).append((host_name, unit))
        # One view of a range for all: if any of its partitions is ZERO, each of them goes by the map.
        wanted = {start: users for start, users in wanted.items() if any(unit.zero for _, unit in users)}
        kept = [self._continued(start, users) for start, users in wanted.items()]
        known = {record.uuid for record in kept}
        aside = [record for record in self._state.ranges if record.uuid not in known]
        for record in aside:
            record.in_use = False
        aside = [record for record in aside if not any(_lies_over(unit, record) for _, unit in units)]
        known.update(record.uuid for record in aside)
        forgotten = [UUID(record.uuid) for record in self._state.ranges if record.uuid not in known]
        self._state.ranges = kept + aside
        return forgotten

    def _continued(self, start: tuple[str, int], users: list[tuple[str, PartitionSettings]]) -> RangeRecord:
        """Give the record that a range goes on with: its old one, or a new one if its users are all new."""
        partitions = sorted({str(self.unit(host_name, unit.name).uuid) for host_name, unit in users})
        names = {unit.name for _, unit in users if not unit.uuid}
        uuid = self._new_uuid()
        for old in self._state.ranges:
            is_known = not set(partitions).isdisjoint(old.partitions) or any(name in names for _, name in old.units)
            if (old.array, old.first_lba) == start and is_known:
                uuid = old.uuid
        blocks = max(unit.blocks for _, unit in users)
        units = [[host_name, unit.name] for host_name, unit in users]
        return RangeRecord(uuid, *start, blocks, units, in_use=True, partitions=partitions)

    def _new_generation(self) -> int:
        self._state.generation += 1
        assert self._state.generation <= U32_MASK
        return self._state.generation

    def _new_uuid(self) -> str:
        return str(UUID(int=self._random(128), version=4))

    def _save(self) -> None:
        write_atomically(self.path, _text(self._state))


def write_atomically(path: Path, data: bytes) -> None:
    """Put `data` in place of a file so that a crash leaves the old or the new one, whole."""
    write_beside(path, data)
    put_in_place(path)


def write_beside(path: Path, data: bytes) -> None:
    """Write what `put_in_place` will put in place of a file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = _beside(path)
    fresh.unlink(missing_ok=True)  # a cut save's leftover, with whatever mode it has
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(fd)


def put_in_place(path: Path) -> None:
    """Put what was written beside a file in its place, for good."""
    os.rename(_beside(path), path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _text(state: State) -> bytes:
    return json.dumps({"version": VERSION, **asdict(state)}, indent=1).encode()


def _lies_over(unit: PartitionSettings, record: RangeRecord) -> bool:
    last_lba = record.first_lba + record.blocks - 1
    return unit.array == record.array and unit.first_lba <= last_lba and unit.last_lba >= record.first_lba


def _load(path: Path) -> State:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return State()
    try:
        return _parse(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StateError(
            f"{path} is damaged ({error}). It holds what hosts know their units by. Restore it from a "
            "backup; if it is removed, every unit is new to its hosts, and ZERO partitions read as zeros"
        ) from error


def read_units(folder: Path) -> list[UnitRecord]:
    """Give what is remembered of units, without a start. StateError: the file is damaged."""
    return _load(folder / FILE_NAME).units


def _parse(content: Mapping[str, Any]) -> State:
    if content["version"] != VERSION:
        raise ValueError(f"its version is {content['version']}, and {VERSION} is known here")
    fingerprint = content["fingerprint"]
    units = [_checked(UnitRecord(**record)) for record in content["units"]]
    ranges = [_checked(RangeRecord(**record)) for record in content["ranges"]]
    for record in ranges:
        if not record.partitions:  # written before partitions had uuids of their own
            record.partitions = [unit.uuid for unit in units if [unit.host, unit.name] in record.units]
    return State(
        boot=_whole(content["boot"]),
        cookie=_whole(content["cookie"]),
        generation=_whole(content["generation"]),
        fingerprint=None if fingerprint is None else str(fingerprint),
        verifier=_whole(content.get("verifier", 0)),
        machine_boot=str(content.get("machine_boot", "")),
        is_clean=content.get("is_clean") is True,
        instance=str(UUID(content["instance"])) if content.get("instance") else "",
        units=units,
        ranges=ranges,
    )


def _checked(record: _Record) -> _Record:
    """Check the types of a record's plain fields, and its uuid."""
    for column in fields(record):
        value = getattr(record, column.name)
        if column.type in (str, int, bool) and type(value) is not column.type:
            raise ValueError(f"{column.name} is {value!r}")
    UUID(record.uuid)
    return record


def _whole(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} stands where a whole number belongs")
    return value
