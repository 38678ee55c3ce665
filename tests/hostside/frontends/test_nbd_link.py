"""The link leads where it was pointed and nothing else is touched; marks last as long as the device they are about."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostside.frontends.nbd_link import DeviceLink


def test_it_leads_to_the_device_and_is_never_missing(tmp_path: Path) -> None:
    at = tmp_path / "unit_1"
    (tmp_path / ".unit_1.new").symlink_to("/dev/nbd9")  # of a process that was killed
    link = DeviceLink(at)
    for index in (0, 12):
        link.point(index)
        assert os.readlink(at) == f"/dev/nbd{index}"
    assert os.listdir(tmp_path) == ["unit_1"]


def test_a_link_that_leads_elsewhere_by_now_is_not_removed(tmp_path: Path) -> None:
    link = DeviceLink(tmp_path / "unit_1")
    link.point(1)
    link.remove(2)
    assert os.listdir(tmp_path) == ["unit_1"]
    link.remove(1)
    link.remove(1)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda at: at.symlink_to("/dev/sda")])
def test_what_is_no_link_of_ours_stays(tmp_path: Path, make: Callable[[Path], None]) -> None:
    at = tmp_path / "unit_1"
    make(at)
    with pytest.raises(FileExistsError, match="is no link to an NBD device and stays"):
        DeviceLink(at)
    assert os.path.lexists(at)


def test_marks_are_kept_while_their_devices_are_attached(tmp_path: Path) -> None:
    link, other = DeviceLink(tmp_path / "unit_1"), DeviceLink(tmp_path / "unit_10")
    for index in (1, 3, 3, 11):
        link.mark(index)
    other.mark(4)
    assert link.marked([0, 1, 3]) == {1, 3}
    assert link.marked([1]) == {1}
    assert link.marked([1, 3, 4, 11]) == {1}
    assert other.marked([1, 4]) == {4}
    assert link.marked([]) == set()
    assert len(os.listdir(tmp_path)) == 1
