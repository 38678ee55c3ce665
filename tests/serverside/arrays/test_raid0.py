"""Proved by examples that a person can check: raid0 deals stripes round, as long as the smallest lasts."""

from serverside.arrays.base import Extent
from tests.serverside.faults import MemoryDrive, memory_array


def test_stripes_go_round() -> None:
    array = memory_array([MemoryDrive(bytes(4096 + 512)), MemoryDrive(bytes(9000))], "raid0", 1024)
    assert array.capacity_blocks == 16
    assert array.extents(512, 2048) == [Extent(0, 512, 512), Extent(1, 0, 1024), Extent(0, 1024, 512)]
    assert array.spans(512, 2048) == [Extent(0, 512, 1024), Extent(1, 0, 1024)]


def test_a_terabyte_is_one_span_for_each_drive() -> None:
    array = memory_array([MemoryDrive(bytes(1024)) for _ in range(4)], "raid0", 512)
    spans = array.spans(0, 1 << 40)  # pure: it asks for no drive
    assert spans == [Extent(index, 0, 1 << 38) for index in range(4)]
