"""Proves: a folder to mount on is made, must be empty, and asking the kernel's list names other mounts rightly."""

from errno import ENOTEMPTY
from pathlib import Path

import pytest

from hostside.frontends.fuse_mount import _is_ours, _mount_point, is_mounted, prepare, unmount

LINE = "36 35 0:52 / /mnt/two\\040words\\134x rw,nosuid shared:1 - fuse.nsu nsu:two rw,user_id=0\n"


def test_a_folder_is_made_and_must_be_empty(tmp_path: Path) -> None:
    prepare(tmp_path / "a" / "b")
    prepare(tmp_path / "a" / "b")
    (tmp_path / "a" / "b" / "file").touch()
    with pytest.raises(OSError, match="holds file") as caught:
        prepare(tmp_path / "a" / "b")
    assert caught.value.errno == ENOTEMPTY


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    assert _is_ours(LINE)
    assert not _is_ours(LINE.replace("fuse.nsu ", "ext4 "))
    assert _mount_point(LINE) == "/mnt/two words\\x"


def test_where_nothing_is_mounted_nothing_is_unmounted(tmp_path: Path) -> None:
    assert not is_mounted(tmp_path)
    unmount(tmp_path)
    assert not is_mounted(Path("/proc"))  # a mount, but none of ours
