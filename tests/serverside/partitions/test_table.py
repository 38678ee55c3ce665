"""Proved: units become partitions in their order, and a change disturbs only what it changes."""

import os
from collections.abc import Sequence
from errno import ENOSPC
from pathlib import Path

import pytest

import serverside.identity
from serverside.arrays.base import Array
from serverside.errors import SettingsError
from serverside.identity import Identity
from serverside.partitions.partition import Partition
from serverside.partitions.table import PartitionTable, build
from serverside.partitions.zero_file import ZeroFile
from serverside.settings import HostSettings, PartitionSettings
from tests.serverside.faults import MemoryDrive, memory_array

OLD = b"\xee"


def unit(name: str, first: int, last: int, *, zero: bool = False) -> PartitionSettings:
    return PartitionSettings(name, "unit0", first, last, zero=zero)


def host(name: str, *units: PartitionSettings) -> HostSettings:
    return HostSettings(name, (), None, (), units)


class Server:
    """What a server holds of all this, over its starts and changes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.arrays: dict[str, Array] = {"unit0": memory_array([MemoryDrive(OLD * 100 * 512)])}
        self.start()

    def start(self) -> None:
        self.identity = Identity(self.folder)
        self.table: PartitionTable | None = None

    def serve(self, *hosts: HostSettings) -> PartitionTable:
        self.table = build(hosts, self.arrays, self.identity, self.folder / "zero", self.table)
        return self.table


def read(partition: Partition) -> bytes:
    content = bytearray(partition.blocks * 512)
    partition.read_into(memoryview(content), 0)
    return bytes(content)


def write(partition: Partition, lba: int, data: bytes) -> None:
    partition.prepare_write(lba, len(data) // 512)
    partition.write_from(memoryview(data), lba)
    partition.settle()


def test_units_are_numbered_in_their_order(tmp_path: Path) -> None:
    table = Server(tmp_path).serve(host("host1", unit("b", 0, 9), unit("a", 10, 29)), host("host2", unit("b", 0, 9)))
    assert [partition.name for partition in table.units("host1")] == ["b", "a"]
    assert [partition.blocks for partition in table.units("host1")] == [10, 20]
    assert table.of_host == {"host1": (0, 1), "host2": (2,)}
    assert set(table.of_array("unit0")) == {0, 1, 2}
    assert table.of_array("unit9") == {}
    assert table.zero_maps == {}


def test_unchanged_partitions_stay_the_same_and_no_index_comes_again(tmp_path: Path) -> None:
    server = Server(tmp_path)
    first = server.serve(host("host1", unit("a", 0, 9), unit("b", 10, 19)), host("host2", unit("z", 20, 29, zero=True)))
    second = server.serve(
        host("host1", unit("a", 0, 9), unit("b", 10, 15)), host("host2", unit("z", 20, 29, zero=True))
    )
    assert second.of_host == {"host1": (0, 3), "host2": (2,)}
    assert second.partitions[0] is first.partitions[0]
    assert second.partitions[2] is first.partitions[2]
    assert (second.partitions[3].generation, second.partitions[3].blocks) == (4, 6)
    third = server.serve(host("host1", unit("a", 0, 9)))
    fourth = server.serve(host("host1", unit("a", 0, 9), unit("c", 10, 15)))
    assert (third.of_host, fourth.of_host) == ({"host1": (0,)}, {"host1": (0, 4)})


def test_all_partitions_that_begin_together_share_one_map(tmp_path: Path) -> None:
    server = Server(tmp_path)
    table = server.serve(host("host1", unit("a", 0, 9, zero=True)), host("host2", unit("b", 0, 19)))
    mine, other = table.units("host1")[0], table.units("host2")[0]
    assert mine.zero_map is other.zero_map
    write(mine, 3, b"m" * 512)
    assert read(other) == bytes(3 * 512) + b"m" * 512 + bytes(16 * 512)
    assert table.descriptors("unit0") == {mine.zero_map.file.fd} if mine.zero_map else False
    assert table.descriptors("unit9") == frozenset()


def test_data_outlives_starts_and_sizes(tmp_path: Path) -> None:
    server = Server(tmp_path)
    small = server.serve(host("host1", unit("a", 5, 14, zero=True))).partitions[0]
    small.prepare_write(0, 1)
    small.write_from(memoryview(b"d" * 512), 0)  # the bit is live, and not saved yet
    grown = server.serve(host("host1", unit("a", 5, 24, zero=True)))
    assert read(grown.units("host1")[0]) == b"d" * 512 + bytes(19 * 512)
    server.start()
    again = server.serve(host("host1", unit("a", 5, 24, zero=True)))
    assert read(again.units("host1")[0]) == b"d" * 512 + bytes(19 * 512)


def test_the_next_owner_of_a_range_sees_zeros_and_the_old_map_is_gone(tmp_path: Path) -> None:
    server = Server(tmp_path)
    first = server.serve(host("host1", unit("a", 0, 9, zero=True)))
    write(first.partitions[0], 0, b"d" * 512)
    old_map = first.zero_maps["unit0", 0]
    old_fd = old_map.file.fd
    second = server.serve(host("host2", unit("b", 0, 9, zero=True)))
    assert read(second.units("host2")[0]) == bytes(10 * 512)
    assert not old_map.file.path.exists()
    assert old_map.file.fd == -1
    assert old_fd != -1
    assert sorted(path.suffix for path in (tmp_path / "zero").iterdir()) == [".live", ".map"]


def test_units_beyond_their_array_are_named_all_at_once_before_anything_is_touched(tmp_path: Path) -> None:
    server = Server(tmp_path)
    with pytest.raises(SettingsError) as caught:
        server.serve(host("host1", unit("a", 0, 100, zero=True), unit("b", 0, 99)), host("host2", unit("c", 0, 500)))
    lines = str(caught.value).splitlines()
    assert lines == [
        "HOST host1 UNIT a: LBA = unit0(0,100) ends beyond the array, whose last block is 99",
        "HOST host2 UNIT c: LBA = unit0(0,500) ends beyond the array, whose last block is 99",
    ]
    assert not (tmp_path / "zero").exists()


A = unit("a", 0, 9, zero=True)
CHANGES = {
    "a grows": [host("host1", unit("a", 0, 19, zero=True))],
    "a goes, and b takes its blocks": [host("host2", unit("b", 0, 9, zero=True))],
}
NO_ROOM = {
    "for live bits": (os, "posix_fallocate"),
    "for a map": (ZeroFile, "prepare"),
    "for identities": (serverside.identity, "write_beside"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("full", NO_ROOM.values(), ids=NO_ROOM)
def test_a_change_for_which_there_is_no_room_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Sequence[HostSettings], full: tuple[object, str]
) -> None:
    """What is written and flushed after the refusal is there after the next change, and after the next start."""

    def no_room(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    server = Server(tmp_path)
    table = server.serve(host("host1", A))
    write(table.partitions[0], 0, b"d" * 512)
    with monkeypatch.context() as patched:
        patched.setattr(*full, no_room)
        with pytest.raises(OSError, match="No space left"):
            server.serve(*change)
    assert server.table is table
    write(table.partitions[0], 1, b"e" * 512)
    changed = server.serve(host("host1", A), host("host2", unit("c", 50, 59)))
    assert changed.partitions[0] is table.partitions[0]
    assert sorted(path.suffix for path in (tmp_path / "zero").iterdir()) == [".live", ".map"]
    server.start()
    again = server.serve(host("host1", A)).units("host1")[0]
    assert read(again) == b"d" * 512 + b"e" * 512 + bytes(8 * 512)
    assert again.generation == table.partitions[0].generation


def test_a_state_folder_that_fails_in_the_middle_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the new table there is a part: only a new start, which goes by the files, may go on."""
    server = Server(tmp_path)
    write(server.serve(host("host1", A)).partitions[0], 0, b"d" * 512)

    def fails(_: object) -> None:
        raise OSError(ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(ZeroFile, "publish", fails)
        with pytest.raises(RuntimeError, match="in the middle of a change"):
            server.serve(*CHANGES["a grows"])
    server.start()
    assert read(server.serve(*CHANGES["a grows"]).units("host1")[0]) == b"d" * 512 + bytes(19 * 512)
