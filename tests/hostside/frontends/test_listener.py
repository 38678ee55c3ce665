"""Proves: a dead process's socket is replaced, a living one's and a file never; nobody reaches it who never should."""

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hostside.frontends.base import OWN
from hostside.frontends.listener import identity, listen, remove
from tests.users import ONLY_ROOT, as_user, public_folder

NEW_USER, NEW_GROUP, NOBODY = 54_001, 54_002, 65_534
USERS = [(NEW_USER, NOBODY), (NOBODY, NEW_GROUP), (NOBODY, 0), (NOBODY, NOBODY), (NEW_USER, NEW_GROUP)]
"""(uid, gid) of all sorts of people who might try; root always may."""


def at_each_instant(look: Callable[[], object], act: Callable[[], socket.socket]) -> None:
    """Look before and after each function that `act` calls, in Python or below it."""
    sys.setprofile(lambda *_: look())
    try:
        act().close()
    finally:
        sys.setprofile(None)


def may_connect(uid: int, gid: int, status: os.stat_result) -> bool:
    """Judge as the kernel does (path_resolution(7)): of owner, group and others the first that fits counts alone."""
    shift = 6 if uid == status.st_uid else 3 if gid == status.st_gid else 0
    return bool(status.st_mode >> shift & 0o2)


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


@ONLY_ROOT
@pytest.mark.parametrize("mode", [0o600, 0o060, 0o006, 0o660, 0o606, 0o666])
@pytest.mark.parametrize("owner", [OWN, (NEW_USER, -1), (-1, NEW_GROUP), (NEW_USER, NEW_GROUP)])
def test_at_no_instant_anybody_reaches_it_who_will_not_in_the_end(
    tmp_path: Path, mode: int, owner: tuple[int, int]
) -> None:
    at = tmp_path / "disk.sock"
    seen: list[os.stat_result] = []

    def look() -> None:
        if os.path.lexists(at):
            seen.append(at.lstat())

    at_each_instant(look, lambda: listen(at, mode, owner))
    uid, gid = (number if number >= 0 else 0 for number in owner)
    assert (seen[-1].st_uid, seen[-1].st_gid, stat.S_IMODE(seen[-1].st_mode)) == (uid, gid, mode)
    assert len({status.st_mode for status in seen}) > 1, "it was seen while it was made"
    for user in USERS:
        if not may_connect(*user, seen[-1]):
            assert not any(may_connect(*user, status) for status in seen), user


@ONLY_ROOT
@pytest.mark.parametrize(
    ("mode", "put"),
    [(None, Path.symlink_to), (0o000, Path.symlink_to), (None, Path.hardlink_to), (0o600, Path.hardlink_to)],
    ids=["a link to a file", "a link to a socket", "a file", "a socket"],
)
def test_what_is_put_in_its_place_meanwhile_is_given_to_nobody(
    tmp_path: Path, mode: int | None, put: Callable[[Path, Path], None]
) -> None:
    """By another user who may write the folder: /etc/shadow must not become theirs. `mode`: of the socket put there."""
    at, precious = tmp_path / "disk.sock", tmp_path / "precious"
    if mode is None:
        precious.touch(0)
    else:
        listen(precious, mode).close()
    before = precious.stat()
    swapped: list[bool] = []

    def swap() -> None:
        if not swapped and at.is_socket():
            swapped.append(True)
            at.unlink()
            put(at, precious)

    with pytest.raises(OSError, match="somebody has put something else there"):
        at_each_instant(swap, lambda: listen(at, 0o666, (NEW_USER, NEW_GROUP)))
    after = precious.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert os.path.lexists(at), "what is not ours is not removed either"


@ONLY_ROOT
def test_who_may_not_give_it_away_is_told_and_leaves_nothing() -> None:
    with public_folder(0o777) as folder:

        def give(uid: int, gid: int) -> str:
            try:
                listen(folder / "disk.sock", 0o660, (uid, gid)).close()
            except OSError as error:
                return f"{error.strerror}; left: {os.listdir(folder)}"
            return f"group {(folder / 'disk.sock').stat().st_gid}"

        said = f"no socket can be made at {folder}/disk.sock: this user may not give it to "
        assert as_user(NOBODY, [NOBODY], lambda: give(0, 0)) == f"{said}user 0 and group 0; left: []"
        assert as_user(NOBODY, [NOBODY], lambda: give(-1, NEW_GROUP)) == f"{said}group {NEW_GROUP}; left: []"
        assert as_user(NOBODY, [NOBODY, NEW_GROUP], lambda: give(-1, NEW_GROUP)) == f"group {NEW_GROUP}"


def test_only_what_was_made_is_removed(tmp_path: Path) -> None:
    at = tmp_path / "disk.sock"
    with listen(at, 0o600):
        made = identity(at)
        remove(at, None)
        assert at.exists()
        remove(at, made)
        assert not at.exists()
        at.touch()
        remove(at, made)
        assert at.exists()
