"""Proved: how a file becomes a drive, whom it belongs to, and that its bytes are kept."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from serverside.drives.base import DriveError
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth
from serverside.settings import DriveSettings

MIB = 1 << 20


def open_file(path: Path, size_bytes: int | None = None) -> FileDrive:
    return FileDrive.open(DriveSettings(path, size_bytes), DriveHealth(1), 0)


def test_an_absent_file_is_made_sparse_at_its_size(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    drive = open_file(path, 3 << 40)
    assert drive.size_bytes == path.stat().st_size == 3 << 40
    assert path.stat().st_blocks == 0
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]
    data = memoryview(os.urandom(512))
    drive.write_from(data, (3 << 40) - 512)
    back = bytearray(1024)
    drive.read_into(memoryview(back), (3 << 40) - 1024)
    assert back == bytes(512) + data
    drive.close()


def test_it_knows_whether_anything_was_ever_written(tmp_path: Path) -> None:
    drive = open_file(tmp_path / "drive.img", 1 << 30)
    assert drive.has_no_data()
    drive.write_from(memoryview(b"d" * 512), 1 << 29)
    assert drive.has_no_data() is False
    drive.close()


def test_an_absent_file_without_a_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match=r"No such file.*give its size") as caught:
        open_file(tmp_path / "absent")
    assert caught.value.errno == errno.ENOENT
    assert list(tmp_path.iterdir()) == []


def test_an_absent_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DriveError, match=f"{tmp_path}/no/drive.img can't be opened.*to be made with 4096 bytes"):
        open_file(tmp_path / "no" / "drive.img", 4096)


def test_a_smaller_file_is_not_grown_and_both_sizes_are_named(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    path.write_bytes(bytes(MIB))
    with pytest.raises(DriveError, match=f"has {MIB} bytes, less than the {2 * MIB} bytes asked for"):
        open_file(path, 2 * MIB)
    assert path.stat().st_size == MIB
    open_file(path, MIB).close()


def test_of_a_larger_file_only_what_was_asked_is_used(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    path.write_bytes(bytes(2 * MIB))
    drive = open_file(path, MIB)
    assert drive.size_bytes == MIB
    drive.close()
    assert path.stat().st_size == 2 * MIB


def test_an_empty_file_without_a_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(DriveError, match="has no bytes"):
        open_file(tmp_path / "empty")


def test_a_making_that_was_cut_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    (tmp_path / ".drive.img.new").write_bytes(b"half")
    drive = open_file(tmp_path / "drive.img", MIB)
    assert (tmp_path / "drive.img").read_bytes()[:8] != b"half"
    drive.close()


def test_two_owners_never_share_a_drive(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    drive = open_file(path, MIB)
    with pytest.raises(DriveError, match=f"{path} is in use already") as caught:
        open_file(path)
    assert caught.value.errno == errno.EBUSY
    drive.close()
    open_file(path).close()


def test_two_owners_never_make_one_drive(tmp_path: Path) -> None:
    with (tmp_path / ".drive.img.new").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # another NSU is at making it
        with pytest.raises(DriveError, match="in use already"):
            open_file(tmp_path / "drive.img", MIB)
    assert not (tmp_path / "drive.img").exists()


def test_the_lock_lasts_as_long_as_any_forked_child(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    drive = open_file(path, MIB)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    drive.close()
    with pytest.raises(DriveError, match="in use already"):
        open_file(path)
    os.close(writer)
    os.waitpid(pid, 0)
    open_file(path).close()


@pytest.mark.parametrize("may_trim", [False, True])
def test_write_zeroes_zeroes_exactly(tmp_path: Path, may_trim: bool) -> None:
    path = tmp_path / "drive.img"
    path.write_bytes(b"x" * 3 * MIB)
    drive = open_file(path)
    drive.write_zeroes(512, 2 * MIB, may_trim)
    drive.write_zeroes(3 * MIB, 0, may_trim)
    drive.close()
    assert path.read_bytes() == b"x" * 512 + bytes(2 * MIB) + b"x" * (MIB - 512)


@pytest.mark.parametrize("may_trim", [False, True])
def test_write_zeroes_writes_them_where_the_file_system_can_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, may_trim: bool
) -> None:
    def unknown(*_: int) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr("serverside.drives.file.fallocate", unknown)
    path = tmp_path / "drive.img"
    path.write_bytes(b"x" * 3 * MIB)
    drive = open_file(path)
    drive.trim(0, 512)  # a hint: harmless
    drive.write_zeroes(512, 2 * MIB, may_trim)
    drive.close()
    assert path.read_bytes() == b"x" * 512 + bytes(2 * MIB) + b"x" * (MIB - 512)


def test_trim_gives_space_back_and_touches_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    path.write_bytes(b"x" * 3 * MIB)
    drive = open_file(path)
    drive.flush()
    before = path.stat().st_blocks
    drive.trim(MIB, MIB)
    drive.trim(3 * MIB, 0)
    drive.close()
    assert path.stat().st_size == 3 * MIB
    assert path.stat().st_blocks <= before
    content = path.read_bytes()
    assert content[:MIB] == content[2 * MIB :] == b"x" * MIB


def test_room_is_taken_up_and_content_stays(tmp_path: Path) -> None:
    path = tmp_path / "drive.img"
    drive = open_file(path, 4 * MIB)
    drive.write_from(memoryview(b"d" * 4096), MIB)
    drive.make_room(MIB, MIB)
    assert path.stat().st_blocks * 512 >= MIB
    assert path.stat().st_size == 4 * MIB
    back = bytearray(8192)
    drive.read_into(memoryview(back), MIB)
    assert back == b"d" * 4096 + bytes(4096)
    drive.close()


def test_room_is_refused_where_there_is_none_and_the_drive_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = open_file(tmp_path / "drive.img", MIB)

    def says(number: int) -> None:
        def fallocate(*_: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("serverside.drives.file.fallocate", fallocate)

    says(errno.EDQUOT)
    with pytest.raises(DriveError, match="has no room to write: Disk quota exceeded") as caught:
        drive.make_room(0, 4096)
    assert caught.value.errno == errno.ENOSPC
    says(errno.EOPNOTSUPP)
    drive.make_room(0, 4096)
    drive.flush()
    drive.close()
