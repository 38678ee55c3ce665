"""Proved: the kind of a drive is told by what its path is, and anything else is refused with a sentence."""

from pathlib import Path

import pytest

from serverside.drives.base import DriveError
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth
from serverside.drives.open import KINDS, kind_of, open_drive
from serverside.settings import DriveSettings


def test_files_present_and_absent(tmp_path: Path) -> None:
    drive = open_drive(DriveSettings(tmp_path / "drive.img", 4096), DriveHealth(2), 1)
    assert isinstance(drive, FileDrive)
    assert (drive.index, drive.size_bytes, drive.name) == (1, 4096, str(tmp_path / "drive.img"))
    assert kind_of(DriveSettings(tmp_path / "drive.img")) == "file"
    drive.close()


@pytest.mark.parametrize("path", ["/dev/null", "/tmp"])
def test_neither_file_nor_device(path: str) -> None:
    with pytest.raises(DriveError, match=f"drive {path} is neither a file nor a block device"):
        open_drive(DriveSettings(Path(path), 4096), DriveHealth(1), 0)


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DriveError, match="Not a directory"):
        open_drive(DriveSettings(tmp_path / "file" / "drive.img", 4096), DriveHealth(1), 0)


def test_the_register_names_each_kind_once() -> None:
    assert len(set(KINDS.values())) == len(KINDS)
