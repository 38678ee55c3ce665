"""Proves what a process can't do after it has taken Landlock, root or not, and that what was open works on."""

import os
import signal
import socket
from collections.abc import Callable
from errno import EACCES, EPERM
from pathlib import Path

import pytest

from ipc.landlock import NETWORK_FROM, SCOPES_FROM, landlock_version, restrict_all, restrict_files
from tests.users import errno_in_child

VERSION = landlock_version()
pytestmark = pytest.mark.skipif(VERSION < 1, reason="this kernel has no Landlock (5.13 and later, switched on)")


def restricted(act: Callable[[], object], *to_read: Path, connects: bool = False) -> int:
    def both() -> None:
        assert restrict_all(to_read, connects=connects)
        act()

    return errno_in_child(both)


def test_no_file_can_be_opened_made_or_removed_and_one_that_is_open_can_be_used(tmp_path: Path) -> None:
    file = tmp_path / "drive"
    file.write_bytes(b"abc")
    with open(file, "r+b", buffering=0) as before:
        assert restricted(lambda: os.open(file, os.O_RDONLY)) == EACCES
        assert restricted(lambda: os.open(f"/proc/self/fd/{before.fileno()}", os.O_RDWR)) == EACCES
        assert restricted((tmp_path / "new").touch) == EACCES
        assert restricted(file.unlink) == EACCES
        assert restricted(lambda: before.write(b"xyz")) == 0
    assert file.read_bytes() == b"xyz"


def test_what_may_be_read_may_not_be_written(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert restricted(lambda: os.open(file, os.O_RDONLY), tmp_path) == 0
    assert restricted(lambda: os.open(file, os.O_WRONLY), tmp_path) == EACCES


def test_what_may_be_written_takes_files_and_no_device(tmp_path: Path) -> None:
    def make(name: str, mode: int) -> Callable[[], None]:
        def both() -> None:
            assert restrict_files((), (tmp_path,))
            os.mknod(tmp_path / name, mode | 0o600, os.makedev(7, 200))

        return both

    assert errno_in_child(make("file", 0o100000)) == 0
    assert errno_in_child(make("device", 0o060000)) in (EACCES, EPERM)


@pytest.mark.skipif(VERSION < NETWORK_FROM, reason="Landlock of 6.7 and later knows TCP")
def test_tcp_but_what_is_open_is_closed_and_connecting_where_it_is_not_needed() -> None:
    def dial() -> None:
        socket.create_connection(listener.getsockname(), 5).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert restricted(dial) == EACCES
        assert restricted(dial, connects=True) == 0
        assert restricted(lambda: socket.create_server(("127.0.0.1", 0)), connects=True) == EACCES


@pytest.mark.skipif(VERSION < SCOPES_FROM, reason="Landlock of 6.12 and later knows signals")
def test_no_signal_reaches_another() -> None:
    parent = os.getpid()
    assert restricted(lambda: os.kill(parent, 0)) == EPERM
    assert restricted(lambda: os.kill(os.getpid(), signal.SIGCONT)) == 0
