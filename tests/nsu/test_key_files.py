"""Proves that keys are made whole, never over others, never shown by the way, and that a rotation ends in one step."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from nsu.conf.secrets import next_of, read_secret
from nsu.key_files import (
    SERVER,
    KeyRefusedError,
    Place,
    abandon_rotation,
    default_path,
    finish_rotation,
    given_secret,
    keys_of,
    new_secret,
    open_rotation,
    place_of,
    places,
    put,
    write_new,
)
from protocol.v2.login import fingerprint

SECRET = bytes(range(32))
TEXT = """\
HOST host1
  SECRET_FILE = /etc/nsu.d/host1.key
HOST both
SERVER both
  SECRET_FILE = /etc/nsu.d/both.key
"""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    path = tmp_path / "keys" / "host1.key"
    write_new(path, SECRET)
    return Place("HOST", "host1", path)


def path_of(place: Place) -> Path:
    assert place.path is not None
    return place.path


def test_a_new_file_is_whole_of_mode_0600_in_a_folder_of_its_own_and_alone(place: Place) -> None:
    path = path_of(place)
    assert path.read_text() == SECRET.hex() + "\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["host1.key"]


@pytest.mark.parametrize("how", [lambda path: None, lambda path: (path.unlink(), path.symlink_to("/nowhere"))])
def test_nothing_is_written_over(place: Place, how: Callable[[Path], object]) -> None:
    path = path_of(place)
    how(path)
    with pytest.raises(KeyRefusedError, match="is there already"):
        write_new(path, bytes(32))
    assert path.is_symlink() or read_secret(path) == SECRET
    assert os.listdir(path.parent) == ["host1.key"]


def test_a_folder_that_others_may_write_gets_no_key(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(KeyRefusedError, match="others may replace what is in"):
        write_new(tmp_path / "host1.key", SECRET)
    assert os.listdir(tmp_path) == []


def test_one_that_is_put_in_anothers_place_is_of_mode_0600_too(place: Place) -> None:
    path = path_of(place)
    path.chmod(0o644)
    put(path, bytes(32))
    assert (read_secret(path), os.listdir(path.parent)) == (bytes(32), ["host1.key"])


def test_blocks_are_found_by_name_and_by_kind_where_there_are_two() -> None:
    assert [(place.label, place.path and place.path.name) for place in places(TEXT)] == [
        ("HOST host1", "host1.key"),
        ("HOST both", None),
        ("SERVER both", "both.key"),
    ]
    assert place_of(TEXT, "host1").kind == "HOST"
    assert place_of(TEXT, "both", (SERVER,)).kind == "SERVER"
    for name, kinds, words in (
        ("both", ("HOST", "SERVER"), "say which, by --of host or --of server"),
        ("host2", ("HOST", "SERVER"), "no HOST host2 and no SERVER host2"),
        ("host1", ("SERVER",), "no SERVER host1"),
    ):
        with pytest.raises(KeyRefusedError, match=words):
            place_of(TEXT, name, kinds)
    assert default_path(Path("/etc/nsu.conf"), "host1") == Path("/etc/nsu.d/host1.key")


def test_what_is_given_is_a_key_or_refused_without_a_word_of_it() -> None:
    assert given_secret(f"  {SECRET.hex().upper()}\n".encode()) == SECRET
    for text in (b"", SECRET.hex()[:-1].encode(), SECRET.hex().encode() * 2):
        with pytest.raises(KeyRefusedError, match="not 64 hexadecimal digits") as error:
            given_secret(text)
        assert SECRET.hex()[:8] not in str(error.value)
    assert len({new_secret() for _ in range(8)}) == 8


def test_a_rotation_opens_once_and_ends_in_one_step(place: Place) -> None:
    path = path_of(place)
    key = open_rotation(place)
    held = keys_of(place)
    assert held.secret == SECRET
    assert fingerprint(held.newest) == key
    assert SECRET.hex()[:8] not in repr(held)
    assert repr(SECRET)[2:10] not in repr(held)
    with pytest.raises(KeyRefusedError, match="is open already"):
        open_rotation(place)
    for used in (None, fingerprint(SECRET)):
        with pytest.raises(KeyRefusedError, match="without the old key it may be cut off"):
            finish_rotation(place, used, force=False)
    assert keys_of(place) == held
    assert finish_rotation(place, key, force=False) == key
    assert (read_secret(path), os.listdir(path.parent)) == (held.newest, ["host1.key"])
    for end in (finish_rotation, abandon_rotation):
        with pytest.raises(KeyRefusedError, match="no rotation of the key of HOST host1 is open"):
            end(place, None, force=True)


def test_a_rotation_is_abandoned_unless_the_host_has_the_new_key(place: Place) -> None:
    key = open_rotation(place)
    with pytest.raises(KeyRefusedError, match="has proven the new key"):
        abandon_rotation(place, key, force=False)
    assert abandon_rotation(place, None, force=False) == fingerprint(SECRET)
    assert not next_of(path_of(place)).exists()
    open_rotation(place)
    assert finish_rotation(place, None, force=True) != fingerprint(SECRET)


def test_what_is_wrong_with_a_file_is_said(place: Place) -> None:
    path_of(place).chmod(0o640)
    with pytest.raises(KeyRefusedError, match="chmod 600"):
        keys_of(place)
    with pytest.raises(KeyRefusedError, match="has no SECRET_FILE"):
        keys_of(Place("HOST", "host2", None))
