"""Proves that after `confine` a process, root too, can open no drive, and can still do what the pages need."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ipc.landlock import landlock_version
from nsu.conf.settings import MachineSettings
from nsu.web.confine import confine, folders_needed, secret_files
from tests.users import errno_in_child

needs_landlock = pytest.mark.skipif(
    landlock_version() < 1, reason="this kernel has no Landlock (5.13 and later, switched on)"
)


@pytest.fixture
def machine(tmp_path: Path) -> MachineSettings:
    for folder in ("state", "etc", "keys", "drives"):
        (tmp_path / folder).mkdir()
    (tmp_path / "drives" / "drive0.img").write_bytes(bytes(4096))
    (tmp_path / "keys" / "host1.key").write_text("0" * 64)
    (tmp_path / "etc" / "nsu.conf").write_text(f"HOST host1\n  SECRET_FILE = {tmp_path}/keys/host1.key\n")
    return MachineSettings("box1", tmp_path / "state", ("127.0.0.1", 1))


@needs_landlock
def test_a_drive_cannot_be_opened_and_what_is_needed_can(tmp_path: Path, machine: MachineSettings) -> None:
    conf, drive = tmp_path / "etc" / "nsu.conf", tmp_path / "drives" / "drive0.img"

    def confined(act: Callable[[], object]) -> int:
        def both() -> None:
            assert confine(folders_needed(conf, machine))
            act()

        return errno_in_child(both)

    assert confined(lambda: os.open(drive, os.O_RDONLY)) == 13
    assert confined(lambda: os.open(drive, os.O_RDWR)) == 13
    assert confined(drive.unlink) == 13
    assert confined(lambda: os.truncate(drive, 0)) == 13
    assert confined(lambda: os.link(drive, tmp_path / "state" / "drive")) in (13, 18)
    assert confined(lambda: os.execv("/bin/true", ["true"])) == 13
    assert confined((tmp_path / "keys" / "host1.key").read_text) == 0
    assert confined(lambda: (tmp_path / "keys" / "more.key").write_text("")) == 13
    assert confined(lambda: (tmp_path / "state" / "web.json").write_text("{}")) == 0
    assert confined(lambda: conf.with_suffix(".new").write_text("")) == 0
    assert confined(lambda: os.rename(conf.with_suffix(".new"), conf.with_suffix(".bak"))) == 0
    assert confined(Path("/proc/self/status").read_text) == 0
    assert confined(Path("/etc/hostname").read_bytes) == 0


@needs_landlock
def test_no_node_of_a_device_can_be_made(tmp_path: Path, machine: MachineSettings) -> None:
    def make() -> None:
        confine(folders_needed(tmp_path / "etc" / "nsu.conf", machine))
        os.mknod(tmp_path / "state" / "sda", 0o060600, os.makedev(7, 200))

    assert errno_in_child(make) in (1, 13)


def test_secrets_are_found_in_nsu_conf(tmp_path: Path, machine: MachineSettings) -> None:
    assert secret_files(tmp_path / "etc" / "nsu.conf") == [tmp_path / "keys" / "host1.key"]
