"""Proves which secret files are taken, that refusals never show the secret, and that a pipe does not hang the start."""

import os
from pathlib import Path

import pytest

from nsu.conf.secrets import read_secret
from nsu.conf.values import ValueWrong
from tests.nsu.conf.conftest import SECRET


def test_good_secrets(folder: Path) -> None:
    assert read_secret(folder / "host1.key") == SECRET
    assert read_secret(folder / "host2.key") == SECRET[::-1]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610])
def test_a_file_open_to_others_is_refused_with_the_command_that_mends_it(folder: Path, mode: int) -> None:
    path = folder / "host1.key"
    path.chmod(mode)
    with pytest.raises(ValueWrong, match=f"mode {mode:04o}") as error:
        read_secret(path)
    assert error.value.right == f"chmod 600 {path}"


def test_wrong_contents_are_refused_and_not_shown(folder: Path) -> None:
    with pytest.raises(ValueWrong, match="64 hexadecimal digits") as error:
        read_secret(folder / "short.key")
    assert SECRET.hex()[:8] not in error.value.wrong + error.value.right


def test_what_is_no_file_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe", 0o600)
    for name, wrong in (("pipe", "is not a file"), ("", "is not a file"), ("none", "No such file")):
        with pytest.raises(ValueWrong, match=wrong):
            read_secret(folder / name)


def test_a_read_error_is_told_like_any_other() -> None:
    """A file of mode 0600 that can be opened and not read; at a reload it must not end what runs."""
    with pytest.raises(ValueWrong, match="cannot be read"):
        read_secret(Path("/proc/self/mem"))
