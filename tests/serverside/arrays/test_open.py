"""Proved: levels are told by name, and what can't be joined is refused with a sentence naming the array."""

import pytest

from serverside.arrays.jbod import Jbod
from serverside.arrays.raid0 import Raid0
from serverside.errors import SettingsError
from tests.serverside.faults import MemoryDrive, memory_array


def test_levels_by_name() -> None:
    assert isinstance(memory_array([MemoryDrive(bytes(512))], "jbod"), Jbod)
    assert isinstance(memory_array([MemoryDrive(bytes(512))], "raid0", 512), Raid0)


@pytest.mark.parametrize(("level", "drives"), [("raid10", 3), ("raid5", 2)])
def test_levels_with_redundancy_say_how_many_drives_they_need(level: str, drives: int) -> None:
    with pytest.raises(SettingsError, match=f"ARRAY unit0: LEVEL = {level} has {drives} DRIVEs"):
        memory_array([MemoryDrive(bytes(512))] * drives, level)


def test_unknown_levels_are_refused() -> None:
    with pytest.raises(SettingsError, match="LEVEL = raid6 is unknown"):
        memory_array([MemoryDrive(bytes(512))], "raid6")


@pytest.mark.parametrize("stripe_bytes", [0, -512, 1000])
def test_stripes_are_whole_blocks(stripe_bytes: int) -> None:
    with pytest.raises(SettingsError, match=f"STRIPE = {stripe_bytes} bytes"):
        memory_array([MemoryDrive(bytes(4096))], "raid0", stripe_bytes)


def test_drives_too_small_are_named_with_their_sizes() -> None:
    with pytest.raises(SettingsError, match="too small for LEVEL = raid0: memory has 4096 bytes"):
        memory_array([MemoryDrive(bytes(4096))], "raid0", 65536)
