"""Proves that a file is replaced in one step by a good one, or not touched at all; and what is kept of the old one."""

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest

from nsu.conf import save
from nsu.conf.edit import add_key, remove_block, set_key
from nsu.conf.errors import ChangeRefused
from nsu.conf.load import ConfErrors, load_text
from nsu.conf.save import backup_of, change_file, lock_of, save_text
from nsu.conf.syntax import Document

TEXT = "# kept\nNSU box1\n  CONFIG_PORT   =  10001   # the usual\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "nsu.conf"
    path.write_text(TEXT)
    return path


def port(value: str) -> save.Change:
    return lambda document: set_key(document, ("NSU box1",), "CONFIG_PORT", value)


def names(path: Path) -> list[str]:
    return sorted(set(os.listdir(path.parent)) - {lock_of(path).name})


def test_a_change_is_saved_and_the_old_text_kept_once(path: Path) -> None:
    loaded = change_file(path, port("10011"))
    assert loaded.server is not None
    assert loaded.server.config_port == 10011
    assert path.read_text() == TEXT.replace("10001", "10011")
    assert backup_of(path).read_text() == TEXT
    change_file(path, port("10012"))
    assert backup_of(path).read_text() == TEXT.replace("10001", "10011")
    assert names(path) == ["nsu.conf", "nsu.conf.bak"]


@pytest.mark.parametrize("text", ["", "\n  \n", "# nothing\n", "NSU box1\n  PORT = 1\n", "nonsense"])
def test_a_good_file_is_never_replaced_by_a_bad_or_empty_one(path: Path, text: str) -> None:
    with pytest.raises(ConfErrors):
        save_text(path, text, expected=TEXT)
    with pytest.raises(ConfErrors):
        change_file(path, lambda document: Document(text))
    assert path.read_text() == TEXT
    assert names(path) == ["nsu.conf"]


def test_the_last_role_is_not_taken_away(path: Path) -> None:
    with pytest.raises(ChangeRefused, match="without any role"):
        save_text(path, "MACHINE box1\n", expected=TEXT)
    with pytest.raises(ConfErrors):
        change_file(path, lambda document: remove_block(document, ("NSU box1",)))
    assert path.read_text() == TEXT


def test_what_somebody_else_wrote_meanwhile_is_not_overwritten(path: Path) -> None:
    theirs = TEXT + "  LISTEN = 10.1.1.1\n"
    path.write_text(theirs)
    for expected in (TEXT, None):
        with pytest.raises(ChangeRefused, match="changed by somebody else"):
            save_text(path, TEXT.replace("10001", "10011"), expected=expected)
    assert path.read_text() == theirs


def test_a_first_file_is_written_without_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "new.conf"
    save_text(path, TEXT, expected=None)
    assert path.read_text() == TEXT
    assert names(path) == ["new.conf"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_empty_file_does_not_cost_the_backup(path: Path) -> None:
    change_file(path, port("10011"))
    path.write_text("")
    save_text(path, TEXT.replace("10001", "10012"), expected="")
    assert backup_of(path).read_text() == TEXT


def test_mode_and_owner_are_kept(path: Path) -> None:
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    change_file(path, port("10011"))
    for after in (path.stat(), backup_of(path).stat()):
        assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert path.stat().st_ino != before.st_ino, "replaced, not rewritten in place"


def test_a_link_stays_a_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    link = path.parent / "elsewhere" / "link.conf"
    link.symlink_to(path)
    change_file(link, port("10011"))
    assert link.is_symlink()
    assert "10011" in path.read_text()
    assert backup_of(link) == path.parent / "nsu.conf.bak"


def test_a_change_of_nothing_writes_nothing(path: Path) -> None:
    before = path.stat()
    change_file(path, port("10001"))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert names(path) == ["nsu.conf"]


@pytest.mark.parametrize("broken", ["fsync", "rename"])
def test_when_writing_fails_the_old_file_stands_and_nothing_is_left_over(
    path: Path, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, broken, fail)
    with pytest.raises(OSError, match="No space"):
        change_file(path, port("10011"))
    monkeypatch.undo()
    assert path.read_text() == TEXT
    assert names(path) == ["nsu.conf"]


def test_the_new_text_and_the_folder_reach_the_drive_around_the_rename(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def noted_fsync(descriptor: int) -> None:
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        fsync(descriptor)

    def noted_rename(old: str, new: Path) -> None:
        steps.append(f"rename to {new.name}")
        rename(old, new)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "rename", noted_rename)
    change_file(path, port("10011"))
    assert steps == [
        *("fsync file", "rename to nsu.conf.bak", "fsync folder"),
        *("fsync file", "rename to nsu.conf", "fsync folder"),
    ]


def test_a_lock_that_anybody_can_take_holds_up_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may read a folder or a file may lock it; the lock that counts is open to its owner alone."""
    monkeypatch.setattr(save, "_LOCK_TIMEOUT_S", 0.0)
    for theirs in (path.parent, path):
        descriptor = os.open(theirs, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        change_file(path, port("10011"))
        os.close(descriptor)
    lock = lock_of(path)
    assert (stat.S_IMODE(lock.stat().st_mode), lock.stat().st_uid) == (0o600, path.stat().st_uid)
    with open(lock, "rb") as ours:
        fcntl.flock(ours, fcntl.LOCK_EX)
        with pytest.raises(ChangeRefused, match="Another change"):
            change_file(path, port("10012"))


def test_changes_made_at_once_are_all_kept(path: Path) -> None:
    def listen(number: int) -> None:
        change_file(path, lambda document: add_key(document, ("NSU box1",), "LISTEN", f"10.1.1.{number}"))

    threads = [threading.Thread(target=listen, args=(number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    server = load_text(path.read_text(), path).server
    assert server is not None
    assert set(server.listen) == {f"10.1.1.{number}" for number in range(1, 9)}
