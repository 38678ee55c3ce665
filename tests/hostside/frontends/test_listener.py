"""Proves: a dead process's socket is replaced, a living one's and a file never; the file's mode is right from birth."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from hostside.frontends.listener import identity, listen


def test_mode_is_what_was_asked_whatever_the_umask(tmp_path: Path) -> None:
    for mode in (0o600, 0o660, 0o666):
        at = tmp_path / f"{mode:o}.sock"
        with listen(at, mode):
            assert stat.S_IMODE(at.stat().st_mode) == mode
    assert os.umask(0o022) == 0o022, "the umask is as it was"


def test_a_dead_socket_is_replaced(tmp_path: Path) -> None:
    at = tmp_path / "disk.sock"
    listen(at, 0o600).close()
    before = identity(at)
    assert before is not None
    with listen(at, 0o600), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.connect(str(at))


def test_a_living_socket_is_not(tmp_path: Path) -> None:
    at = tmp_path / "disk.sock"
    with listen(at, 0o600):
        before = identity(at)
        with pytest.raises(OSError, match="another process serves at") as caught:
            listen(at, 0o600)
        assert caught.value.errno == errno.EADDRINUSE
        assert identity(at) == before


def test_a_file_is_not(tmp_path: Path) -> None:
    at = tmp_path / "precious"
    at.write_text("data")
    with pytest.raises(FileExistsError, match="is no socket and stays"):
        listen(at, 0o600)
    assert at.read_text() == "data"


def test_what_cannot_be_made_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no socket can be made at"):
        listen(tmp_path / "missing" / "disk.sock", 0o600)
    with pytest.raises(OSError, match="no socket can be made at"):
        listen(tmp_path / ("long" * 40), 0o600)
