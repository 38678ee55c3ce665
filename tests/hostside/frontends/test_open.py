"""Proves: each value of SHOW has its front-end, an unknown one is refused with the list, and folders are made."""

import os
from pathlib import Path

import pytest

from hostside.frontends.nbd import NbdFrontend
from hostside.frontends.open import FRONTENDS, Showing, file_of_loop, open_frontend
from hostside.settings import DiskSettings
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import memory_driver, unit_of

OWNER = (54_001, 54_002) if os.geteuid() == 0 else (os.geteuid(), os.getegid())


def test_the_register(tmp_path: Path) -> None:
    loop = Loop()
    driver = memory_driver(loop, unit_of(1 << 20), slots=4)
    at = tmp_path / "made" / "disk.sock"
    frontend = open_frontend(loop, driver, Showing(DiskSettings("unit_1", 0, "socket", at, 0o640, OWNER), "box1"))
    assert isinstance(frontend, NbdFrontend)
    status = at.stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (*OWNER, 0o640)
    assert frontend.client_count == 0
    frontend.close()
    assert {"socket", "nbd", "fuse", "loop"} == FRONTENDS.keys()
    with pytest.raises(OSError, match="socket, nbd, fuse, loop"):
        open_frontend(loop, driver, Showing(DiskSettings("unit_1", 0, "tape", at), "box1"))
    loop.close()


def test_the_file_below_a_loop_device_lies_hidden_beside_the_link() -> None:
    assert file_of_loop(Path("/dev/nsu/a"), "unit_1") == Path("/dev/nsu/.a.fuse/unit_1")
