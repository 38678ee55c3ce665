"""Proves which secret files are taken, that refusals never show the secret, and that a pipe does not hang the start."""

import os
from pathlib import Path

import pytest

from nsu.conf.secrets import NextSecret, next_of, read_next, read_secret
from nsu.conf.values import ValueWrong
from tests.nsu.conf.conftest import ARRAYS, SECRET, load


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


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o757, 0o703])
def test_a_folder_that_others_may_write_is_refused_with_the_command_that_mends_it(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    with pytest.raises(ValueWrong, match=f"others may replace what is in {folder} .mode {mode:04o}") as error:
        read_secret(folder / "host1.key")
    assert error.value.right == f"chmod go-w {folder}"
    folder.chmod(0o1777)  # as of /tmp: the sticky bit
    assert read_secret(folder / "host1.key") == SECRET
    folder.chmod(0o755)
    (folder / "link").symlink_to(folder / "host1.key")
    assert read_secret(folder / "link") == SECRET


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a file away")
@pytest.mark.parametrize("what", ["host1.key", ""])
def test_a_file_or_folder_of_somebody_else_is_refused(folder: Path, what: str) -> None:
    os.chown(folder / what, 4711, -1)
    with pytest.raises(ValueWrong, match="belongs to user 4711") as error:
        read_secret(folder / "host1.key")
    assert error.value.right == f"run as that user, or chown root {folder / what}"


def test_what_is_to_follow_is_held_to_the_same_and_kept_out_of_repr(folder: Path) -> None:
    key = folder / "host1.key"
    assert read_next(key) is None
    next_of(key).write_text(SECRET[::-1].hex())
    next_of(key).chmod(0o600)
    os.utime(next_of(key), (5, 7))
    found = read_next(key)
    assert found == NextSecret(SECRET[::-1], 7.0)
    assert SECRET[::-1].hex()[:8] not in repr(found)
    assert repr(SECRET[::-1])[2:8] not in repr(found)
    next_of(key).chmod(0o640)
    with pytest.raises(ValueWrong, match="mode 0640"):
        read_next(key)


def test_settings_hold_both_and_show_neither(folder: Path) -> None:
    conf = ARRAYS + f"HOST host1\n  SECRET_FILE = {folder}/host1.key\n  DATA_PORT = 10.1.1.1:10002(1)\n"
    conf += f"SERVER box2\n  ADDRESS = 10.1.1.2\n  SECRET_FILE = {folder}/host2.key\n"
    next_of(folder / "host1.key").write_text("cd" * 32)
    next_of(folder / "host1.key").chmod(0o600)
    loaded = load(conf)
    assert loaded.server is not None
    (host,) = loaded.server.hosts
    assert host.secrets == (SECRET, bytes.fromhex("cd" * 32))
    shown = repr(loaded)
    for secret in (*host.secrets, SECRET[::-1]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown


def test_a_read_error_is_told_like_any_other() -> None:
    """A file of mode 0600 that can be opened and not read; at a reload it must not end what runs."""
    with pytest.raises(ValueWrong, match="cannot be read"):
        read_secret(Path("/proc/self/mem"))
