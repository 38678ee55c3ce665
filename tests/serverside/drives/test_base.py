"""Proved, on real descriptors that fail: what each error of a drive costs, and whom.

/dev/full refuses every write with ENOSPC and has no fsync; a descriptor that is only read from refuses writes
with EBADF. So the errors are the kernel's own.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from serverside.drives.base import DriveError
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth

DATA = memoryview(b"d" * 4096)


def drive_on(path: str | Path, health: DriveHealth, flags: int = os.O_RDWR, size_bytes: int = 8192) -> FileDrive:
    return FileDrive(Path(path), os.open(path, flags), size_bytes, health, 0)


def no_room(_fd: int, _views: list[memoryview], _offset_bytes: int, _flags: int = 0) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("durable", [False, True])
def test_no_room_concerns_one_request_only(durable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    health = DriveHealth(1)
    drive = drive_on("/dev/full", health)
    if durable:  # which /dev/full does not know
        monkeypatch.setattr(os, "pwritev", no_room)
    with pytest.raises(DriveError, match="/dev/full has no room") as caught:
        drive.write_from(DATA, 0, durable)
    assert caught.value.errno == errno.ENOSPC
    assert health.errno(0) == 0
    drive.close()


def test_no_room_only_when_syncing_fails_the_drive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    health = DriveHealth(1)
    drive = drive_on(path, health)
    plain = os.pwritev

    def thin(fd: int, views: list[memoryview], offset_bytes: int, flags: int = 0) -> int:
        # A file system on thin storage: the cache takes the data, the storage below does not.
        return no_room(fd, views, offset_bytes) if flags & os.RWF_DSYNC else plain(fd, views, offset_bytes, flags)

    monkeypatch.setattr(os, "pwritev", thin)
    with pytest.raises(DriveError, match="has failed"):
        drive.write_from(DATA, 0, True)
    assert health.errno(0) == errno.ENOSPC
    drive.close()


def test_a_write_error_fails_the_drive_for_good(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    health = DriveHealth(1)
    drive = drive_on(path, health, os.O_RDONLY)
    with pytest.raises(DriveError, match=r"has failed: a write at byte 4096 failed, .*it stays failed") as caught:
        drive.write_from(DATA, 4096)
    assert caught.value.errno == errno.EIO
    assert health.errno(0) == errno.EBADF
    check_every_operation_refuses(drive)
    drive.close()


def test_a_sync_error_fails_the_drive_for_good_and_is_never_asked_again() -> None:
    health = DriveHealth(1)
    drive = drive_on("/dev/full", health)
    with pytest.raises(DriveError, match="a flush failed"):
        drive.flush()
    os.dup2(os.open("/etc/passwd", os.O_RDONLY), drive.fd)  # a descriptor that would now sync well
    check_every_operation_refuses(drive)
    drive.close()


def check_every_operation_refuses(drive: FileDrive) -> None:
    acts: list[Callable[[], None]] = [
        lambda: drive.read_into(memoryview(bytearray(512)), 0),
        lambda: drive.write_from(DATA, 0),
        lambda: drive.write_from(DATA, 0, True),
        drive.flush,
        lambda: drive.trim(0, 512),
        lambda: drive.write_zeroes(0, 512, True),
    ]
    for act in acts:
        with pytest.raises(DriveError, match=f"{drive.name} has failed: .*; it stays failed until replaced") as caught:
            act()
        assert caught.value.errno == errno.EIO


def test_another_process_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    health = DriveHealth(1)
    drive = drive_on(path, health)
    pid = os.fork()
    if pid == 0:
        health.fail(0, errno.EIO)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    with pytest.raises(DriveError, match="stays failed"):
        drive.flush()
    drive.close()


def test_a_read_error_concerns_one_request_only(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    health = DriveHealth(1)
    drive = drive_on(path, health, os.O_WRONLY)
    with pytest.raises(DriveError, match="could not be read at byte 512") as caught:
        drive.read_into(memoryview(bytearray(512)), 512)
    assert caught.value.errno == errno.EIO
    assert health.errno(0) == 0
    drive.write_from(DATA, 0)
    drive.close()


def test_a_file_that_somebody_cut_is_an_error_not_a_short_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8192)
    drive = drive_on(path, DriveHealth(1))
    os.truncate(path, 5000)
    with pytest.raises(DriveError, match="ends at byte 5000 now, and had 8192"):
        drive.read_into(memoryview(bytearray(4096)), 4096)
    drive.close()


def test_short_counts_are_looped_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    drive = drive_on(path, DriveHealth(1))
    write, read = os.pwritev, os.preadv
    # No file gives short counts on demand, so each call is cut to 100 bytes.
    monkeypatch.setattr(os, "pwritev", lambda fd, views, at, flags=0: write(fd, [views[0][:100]], at, flags))
    monkeypatch.setattr(os, "preadv", lambda fd, views, at: read(fd, [views[0][:100]], at))
    data = os.urandom(1024)
    drive.write_from(memoryview(data), 512)
    back = bytearray(1024)
    drive.read_into(memoryview(back), 512)
    assert bytes(back) == data
    assert path.read_bytes()[512:1536] == data
    drive.close()


def test_reopen_gives_an_own_description_and_keeps_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(8192))
    drive = drive_on(path, DriveHealth(1))
    inherited = drive.fd
    path.rename(tmp_path / "renamed")
    drive.reopen()
    drive.reopen()
    assert drive.fd != inherited
    assert drive.descriptors() == {drive.fd, inherited}
    os.lseek(drive.fd, 100, os.SEEK_SET)
    assert os.lseek(inherited, 0, os.SEEK_CUR) == 0  # an offset is the description's, so these are two
    drive.write_from(DATA, 0)
    assert (tmp_path / "renamed").read_bytes()[:4096] == DATA
    drive.close()


def test_reopen_believes_its_witness() -> None:
    health = DriveHealth(1)
    drive = drive_on("/dev/full", health)
    drive.reopen()  # this descriptor can't bear witness: the kernel refuses the question
    with pytest.raises(DriveError, match="has failed"):
        drive.read_into(memoryview(bytearray(512)), 0)
    drive.close()
