"""Proved: the newest whole copy counts, a write that is cut leaves the other one, and only empty drives are blank."""

from dataclasses import replace

import pytest

from serverside.redundancy import head
from serverside.redundancy.head import erase_labels, is_blank, is_damaged, read_label, write_label
from serverside.redundancy.superblock import COPIES_AT_BYTES
from tests.serverside.faults import MemoryDrive
from tests.serverside.redundancy.test_superblock import ONE

OLD = ONE
NEW = replace(ONE, superblock=replace(ONE.superblock, events=2))


def labelled() -> MemoryDrive:
    drive = MemoryDrive(bytes(256 << 10))
    write_label(drive, OLD)
    write_label(drive, NEW)
    return drive


def test_the_newest_copy_counts_and_is_durable() -> None:
    drive = labelled()
    assert read_label(drive) == NEW
    assert read_label(MemoryDrive(bytes(drive.stable))) == NEW


def test_a_cut_write_leaves_the_former_state() -> None:
    drive = labelled()
    drive.write_from(memoryview(b"?" * 512), COPIES_AT_BYTES[NEW.superblock.events % 2] + 512)
    assert read_label(drive) == OLD
    assert not is_damaged(drive)
    drive.write_from(memoryview(b"?" * 512), COPIES_AT_BYTES[OLD.superblock.events % 2] + 512)
    assert read_label(drive) is None
    assert is_damaged(drive)


def test_an_erased_drive_has_no_label_of_any_age() -> None:
    drive = labelled()
    erase_labels(drive)
    assert read_label(drive) is None
    assert not is_damaged(drive)


@pytest.mark.parametrize("size_bytes", [512, 4096, 256 << 10])
def test_zeros_are_blank_and_a_single_byte_is_not(size_bytes: int) -> None:
    assert is_blank(MemoryDrive(bytes(size_bytes)))
    assert read_label(MemoryDrive(bytes(size_bytes))) is None
    for at in (0, size_bytes // 2, size_bytes - 1):
        content = bytearray(size_bytes)
        content[at] = 1
        assert not is_blank(MemoryDrive(bytes(content)))


def test_of_a_large_device_the_ends_and_spots_between_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "SMALL_BYTES", 1 << 20)
    size = 3 << 20
    assert is_blank(MemoryDrive(bytes(size)))
    for at in (5, size // 2, size - 1):
        content = bytearray(size)
        content[at] = 1
        assert not is_blank(MemoryDrive(bytes(content)))
