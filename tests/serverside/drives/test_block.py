"""How a device is opened, asked in pieces, and served plainly if it lacks the ioctls.

A block device is only at hand for root, so the ioctls mostly meet a file here, which refuses them as old devices do
(ENOTTY).
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostside.frontends import loop_device
from serverside.drives import block
from serverside.drives.base import DriveError
from serverside.drives.block import BlockDrive
from serverside.drives.health import DriveHealth
from serverside.settings import DriveSettings

MIB = 1 << 20


def plain_device(tmp_path: Path) -> tuple[BlockDrive, Path]:
    path = tmp_path / "device"
    path.write_bytes(b"x" * 3 * MIB)
    return BlockDrive.open(DriveSettings(path), DriveHealth(1), 0), path


def test_size_lock_and_absence(tmp_path: Path) -> None:
    drive, path = plain_device(tmp_path)
    assert drive.size_bytes == 3 * MIB
    with pytest.raises(DriveError, match="in use already"):
        BlockDrive.open(DriveSettings(path), DriveHealth(1), 0)
    drive.close()
    with pytest.raises(DriveError, match=f"has {3 * MIB} bytes, less than the {4 * MIB}"):
        BlockDrive.open(DriveSettings(path, 4 * MIB), DriveHealth(1), 0)
    with pytest.raises(DriveError, match="can't be opened"):
        BlockDrive.open(DriveSettings(tmp_path / "absent"), DriveHealth(1), 0)


def test_without_the_ioctls_zeroing_writes_and_trim_does_nothing(tmp_path: Path) -> None:
    drive, path = plain_device(tmp_path)
    drive.trim(0, MIB)
    drive.write_zeroes(512, 2 * MIB, True)
    drive.close()
    assert path.read_bytes() == b"x" * 512 + bytes(2 * MIB) + b"x" * (MIB - 512)


def test_the_ioctls_cover_the_range_in_bounded_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, bytes]] = []
    monkeypatch.setattr(fcntl, "ioctl", lambda _fd, request, pair: asked.append((request, pair)))
    monkeypatch.setattr(block, "PIECE_BYTES", MIB)
    drive, _ = plain_device(tmp_path)
    drive.trim(512, 2 * MIB + 512)
    drive.write_zeroes(0, 512, False)
    drive.close()
    pairs = [(request, int.from_bytes(p[:8], "little"), int.from_bytes(p[8:], "little")) for request, p in asked]
    assert pairs == [
        (block.BLKDISCARD, 512, MIB),
        (block.BLKDISCARD, 512 + MIB, MIB),
        (block.BLKDISCARD, 512 + 2 * MIB, 512),
        (block.BLKZEROOUT, 0, 512),
    ]


def test_a_device_that_fails_to_zero_has_failed_and_one_that_fails_to_trim_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(fcntl, "ioctl", fails)
    drive, _ = plain_device(tmp_path)
    with pytest.raises(DriveError, match="could not trim"):
        drive.trim(0, 512)
    assert drive.health.errno(0) == 0
    with pytest.raises(DriveError, match="has failed"):
        drive.write_zeroes(0, 512, True)
    assert drive.health.errno(0) == errno.EIO
    drive.close()


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    if not os.access("/dev/loop-control", os.W_OK):
        pytest.skip("no block device can be made: run as root, with loop devices")
    (tmp_path / "image").write_bytes(bytes(3 * MIB))
    device = loop_device.attach(tmp_path / "image", read_only=False)
    yield device
    loop_device.detach(device)


def test_what_was_just_written_can_be_trimmed_and_zeroed(device: Path) -> None:
    drive = BlockDrive.open(DriveSettings(device), DriveHealth(1), 0)
    drive.reopen()  # as each process does after its fork
    data = memoryview(b"x" * MIB)
    for offset_bytes in (0, MIB, 2 * MIB):
        drive.write_from(data, offset_bytes)
    drive.trim(0, MIB)
    drive.write_zeroes(MIB, MIB, True)
    found = memoryview(bytearray(2 * MIB))
    drive.read_into(found, MIB)
    assert found == bytes(MIB) + data
    assert drive.health.errno(0) == 0
    drive.close()
