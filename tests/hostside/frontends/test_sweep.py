"""Proves that what a killed process left of a disk is cleared away, whatever showed it, and that what lives stays."""

from pathlib import Path

import pytest

from hostside.frontends import loop_device
from hostside.frontends.fuse_mount import is_mounted
from hostside.frontends.open import FRONTENDS, Showing
from hostside.frontends.sweep import SWEEPS, sweep
from hostside.settings import DiskSettings
from tests.hostside.frontends.file_server import NAME, NEEDS_FUSE, NEEDS_LOOP, file_server


def showing(show: str, at: Path) -> Showing:
    return Showing(DiskSettings(NAME, 0, show, at), "box1", at.parent)


def test_every_way_to_show_a_disk_has_its_sweep() -> None:
    assert SWEEPS.keys() == FRONTENDS.keys()


def test_a_socket_file_goes(tmp_path: Path) -> None:
    at = tmp_path / "disk.sock"
    with file_server("socket", at) as server:
        sweep(showing("socket", at))
        assert at.is_socket(), "it lives"
        server.child.kill_and_reap()
        assert at.is_socket()
        sweep(showing("socket", at))
        assert not at.exists()


@NEEDS_FUSE
def test_a_mount_goes(tmp_path: Path) -> None:
    at = tmp_path / "mount" / "disk"
    with file_server("fuse", at) as server:
        sweep(showing("fuse", at))
        assert is_mounted(at.parent), "it lives"
        server.child.kill_and_reap()
        assert is_mounted(at.parent)
        sweep(showing("fuse", at))
        assert not is_mounted(at.parent)


@NEEDS_LOOP
def test_a_device_its_link_and_its_hidden_mount_go(tmp_path: Path) -> None:
    at = tmp_path / "dev"
    with file_server("loop", at) as server:
        device = server.device()
        sweep(showing("loop", at))
        assert loop_device.is_attached(device), "it lives"
        server.child.kill_and_reap()
        sweep(showing("loop", at))
        assert not loop_device.is_attached(device)
        assert not is_mounted(server.file.parent)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("show", sorted(SWEEPS))
def test_nothing_to_sweep_is_no_error(tmp_path: Path, show: str) -> None:
    (tmp_path / "mine").write_text("stays")
    sweep(showing(show, tmp_path / "mine"))
    sweep(showing(show, tmp_path / "nothing" / "there"))
    assert (tmp_path / "mine").read_text() == "stays"
