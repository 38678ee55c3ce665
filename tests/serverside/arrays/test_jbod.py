"""Proved by examples that a person can check: jbod is concatenation of whole blocks."""

from serverside.arrays.base import Extent
from tests.serverside.faults import MemoryDrive, memory_array


def test_drives_follow_one_another_and_odd_ends_are_cut() -> None:
    array = memory_array([MemoryDrive(bytes(1024 + 100)), MemoryDrive(bytes(100)), MemoryDrive(bytes(512))])
    assert array.capacity_blocks == 3
    assert array.extents(512, 1024) == [Extent(0, 512, 512), Extent(2, 0, 512)]
    assert array.extents(1024, 512) == [Extent(2, 0, 512)]
    assert array.extents(0, 0) == []


def test_one_drive_is_itself() -> None:
    array = memory_array([MemoryDrive(bytes(4096))])
    assert array.extents(1024, 2048) == [Extent(0, 1024, 2048)]
