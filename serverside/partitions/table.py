"""The partition table: every partition that this NSU serves, and what a change of the settings makes of it.

An index of the table names a partition to the array's driver process. It is never given twice in one run of
the server, and a partition whose definition did not change keeps it, and the same object: SRWs that were
forked with the old table and whose units did not change work on undisturbed beside those of the new one.

A change is made whole or not at all: everything that may fail is prepared beside what is there (maps, identities), and
then put in its place. Until that moment the former table is in force, its maps and their files are as they were.

Zero maps are made here, one for each range, shared by the partitions that begin there. A range that gets
another size gets a new map object (its live bits are saved first): whoever uses the old one must have ended
before `build`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from protocol.limits import BLOCK_BYTES
from serverside.arrays.base import Array
from serverside.errors import SettingsError
from serverside.identity import Identity, ZeroRange
from serverside.partitions.partition import Partition
from serverside.partitions.zero_file import ZeroFile
from serverside.partitions.zero_live import NO_BOOT, this_boot
from serverside.partitions.zero_map import ZeroMap, prepare_zero_map
from serverside.settings import HostSettings, PartitionSettings

Start = tuple[str, int]
"""(array, first LBA): where a range begins."""


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """`partitions` by index; `of_host` gives each host's indexes in the order of its zn_zlun."""

    partitions: Mapping[int, Partition]
    of_host: Mapping[str, tuple[int, ...]]
    zero_maps: Mapping[Start, ZeroMap]
    next_index: int

    def units(self, host_name: str) -> list[Partition]:
        """Give a host's partitions, by zn_zlun."""
        return [self.partitions[index] for index in self.of_host[host_name]]

    def of_array(self, array_name: str) -> dict[int, Partition]:
        """Give what the driver process of an array must know."""
        return {i: partition for i, partition in self.partitions.items() if partition.array.name == array_name}

    @property
    def is_dirty(self) -> bool:
        """Whether some zero map holds what was not persisted."""
        return any(zero_map.dirty for zero_map in self.zero_maps.values())

    def descriptors(self, array_name: str) -> frozenset[int]:
        """The descriptors that an array's driver process must keep beside the array's own: its maps."""
        return frozenset(map_.file.fd for (array, _), map_ in self.zero_maps.items() if array == array_name)


def build(
    hosts: Iterable[HostSettings],
    arrays: Mapping[str, Array],
    identity: Identity,
    folder: Path,
    previous: PartitionTable | None = None,
) -> PartitionTable:
    """Make the table of these hosts; zero maps lie in `folder`. Raise SettingsError, StateError, DriveError.

    Settings are checked before anything is touched. After an error `previous` is in force as before. Else it is used
    up: zero maps that no partition needs any more are closed, and the files of ranges that are forgotten are removed.
    """
    hosts = tuple(hosts)
    _check(hosts, arrays)
    old = previous or PartitionTable({}, {}, {}, 0)
    planned, forgotten = identity.plan(hosts)
    zero_maps: dict[Start, ZeroMap] = {}
    fresh: list[ZeroMap] = []
    try:
        for range_ in planned.zero_ranges():
            zero_map = _kept(range_, old)
            if zero_map is None:
                zero_map = _prepared(range_, arrays[range_.array], folder)
                fresh.append(zero_map)
            zero_maps[range_.array, range_.first_lba] = zero_map
        table = _table(hosts, arrays, planned, zero_maps, old)
        planned.prepare()
        for zero_map in fresh:
            zero_map.zero_what_is_new()
    except Exception:
        for zero_map in fresh:
            zero_map.discard()
        raise
    _commit(identity, planned, fresh)
    for start, zero_map in old.zero_maps.items():
        if zero_maps.get(start) is not zero_map:
            zero_map.file.close()
    for uuid in forgotten:
        ZeroFile(folder, uuid).remove()
    return table


def _commit(identity: Identity, planned: Identity, fresh: Iterable[ZeroMap]) -> None:
    """Put all that was prepared in its place: renames, nothing that needs room.

    Raises:
        RuntimeError: one failed, and some of the files are of the new table, some of the old one. Each is whole, so a
            new start goes on from there; this process must not.

    """
    try:
        identity.take(planned)
        for zero_map in fresh:
            zero_map.publish()
    except OSError as error:
        raise RuntimeError(f"the STATE folder failed in the middle of a change: {error}") from error


def _table(
    hosts: tuple[HostSettings, ...],
    arrays: Mapping[str, Array],
    identity: Identity,
    zero_maps: Mapping[Start, ZeroMap],
    old: PartitionTable,
) -> PartitionTable:
    by_identity = {(p.uuid, p.generation): index for index, p in old.partitions.items()}
    partitions: dict[int, Partition] = {}
    of_host: dict[str, tuple[int, ...]] = {}
    next_index = old.next_index
    for host in hosts:
        indexes = []
        for unit in host.units:
            fresh = _partition(host.name, unit, arrays, identity, zero_maps)
            index = by_identity.get((fresh.uuid, fresh.generation), -1)
            if index >= 0 and _is_same(old.partitions[index], fresh):
                fresh = old.partitions[index]
            else:
                index, next_index = next_index, next_index + 1
            partitions[index] = fresh
            indexes.append(index)
        of_host[host.name] = tuple(indexes)
    return PartitionTable(partitions, of_host, zero_maps, next_index)


def _partition(
    host_name: str,
    unit: PartitionSettings,
    arrays: Mapping[str, Array],
    identity: Identity,
    zero_maps: Mapping[Start, ZeroMap],
) -> Partition:
    known = identity.unit(host_name, unit.name)
    zero_map = zero_maps.get((unit.array, unit.first_lba))
    return Partition(arrays[unit.array], unit, zero_map, known.generation, known.uuid)


def _is_same(old: Partition, new: Partition) -> bool:
    return old.array is new.array and old.zero_map is new.zero_map


def _kept(range_: ZeroRange, old: PartitionTable) -> ZeroMap | None:
    """Give the map that is in use and stays; of one that gets another size, save the live bits."""
    current = old.zero_maps.get((range_.array, range_.first_lba))
    if current is None or current.uuid != range_.uuid:
        return None
    if current.blocks == range_.blocks:
        return current
    current.persist()
    return None


def _prepared(range_: ZeroRange, array: Array, folder: Path) -> ZeroMap:
    first_bytes = range_.first_lba * BLOCK_BYTES

    def zero(offset_bytes: int, length_bytes: int) -> None:
        array.write_zeroes(first_bytes + offset_bytes, length_bytes)

    # What lay in the page cache of a drive that has failed may be gone, and the zeroing with it.
    boot = NO_BOOT if array.has_failed else this_boot()
    return prepare_zero_map(ZeroFile(folder, range_.uuid), range_.blocks, zero, array.flush, boot)


def _check(hosts: Iterable[HostSettings], arrays: Mapping[str, Array]) -> None:
    """Refuse partitions that end beyond their array: only now are the drives' sizes known."""
    wrong = [
        f"HOST {host.name} UNIT {unit.name}: LBA = {unit.array}({unit.first_lba},{unit.last_lba}) ends "
        f"beyond the array, whose last block is {arrays[unit.array].capacity_blocks - 1}"
        for host in hosts
        for unit in host.units
        if unit.last_lba >= arrays[unit.array].capacity_blocks
    ]
    if wrong:
        raise SettingsError("\n".join(wrong))
