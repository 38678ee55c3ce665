"""Proves: each value of SHOW has its front-end, an unknown one is refused with the list, and folders are made."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hostside.frontends.nbd import NbdFrontend
from hostside.frontends.open import FRONTENDS, Showing, file_of_loop, identifier_of, open_frontend
from hostside.settings import DiskSettings
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import memory_driver, unit_of

OWNER = (54_001, 54_002) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def test_the_register(tmp_path: Path) -> None:
    loop = Loop()
    driver = memory_driver(loop, unit_of(1 << 20), slots=4)
    at = tmp_path / "made" / "disk.sock"
    frontend = open_frontend(
        loop, driver, Showing(DiskSettings("unit_1", 0, "socket", at, 0o640, OWNER), "box1", tmp_path)
    )
    assert isinstance(frontend, NbdFrontend)
    status = at.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*OWNER, 0o640)
    assert frontend.client_count == 0
    frontend.close()
    assert {"socket", "nbd", "fuse", "loop"} == FRONTENDS.keys()
    with pytest.raises(OSError, match="socket, nbd, fuse, loop"):
        open_frontend(loop, driver, Showing(DiskSettings("unit_1", 0, "tape", at), "box1", tmp_path))
    loop.close()


def test_the_file_below_a_loop_device_lies_hidden_beside_the_link() -> None:
    assert file_of_loop(Path("/dev/nsu/a"), "unit_1") == Path("/dev/nsu/.a.fuse/unit_1")


def test_a_device_is_known_by_all_that_tells_two_disks_apart() -> None:
    """The kernel's list of devices is one for the whole machine, whatever nsu, server or mount namespace."""
    disk = DiskSettings("unit_1", 0, "nbd", Path("/run/nsu/unit_1"))
    ours = Showing(disk, "box1", Path("/var/lib/nsu"))
    others = [
        replace(ours, server="box2"), replace(ours, state_dir=Path("/other")),
        replace(ours, disk=replace(disk, name="unit_2")), replace(ours, disk=replace(disk, at=Path("/dev/nsu/a"))),
    ]  # fmt: skip
    assert len({identifier_of(showing) for showing in (ours, *others)}) == 5
    assert identifier_of(replace(ours, fail_after_s=5.0)) == identifier_of(ours), "a restart finds its device"
