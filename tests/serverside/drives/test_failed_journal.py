"""Proves that notes of processes that may open no file arrive, once each, and that nonsense among them harms nobody."""

import os
from errno import EIO, ENODEV
from pathlib import Path

import pytest

from serverside.drives.failed_journal import BYTES_MAX, LINES_MAX, FailedJournal
from tests.users import errno_in_child

DRIVE = "/srv/nsu/drive1.img"


def taken(journal: FailedJournal) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    journal.take(lambda drive, errno: found.append((drive, errno)))
    return found


def test_what_a_child_notes_is_taken_once_also_by_the_next_run(tmp_path: Path) -> None:
    journal = FailedJournal(tmp_path / "failed.journal")
    assert errno_in_child(lambda: journal.add(DRIVE, EIO)) == 0
    assert taken(journal) == [(DRIVE, EIO)]
    assert taken(journal) == []
    journal.add(DRIVE, ENODEV)
    journal.close()
    assert taken(FailedJournal(tmp_path / "failed.journal")) == [(DRIVE, ENODEV)]


def test_what_cannot_be_noted_yet_is_taken_later(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    journal = FailedJournal(tmp_path / "failed.journal")
    journal.add(DRIVE, EIO)

    def refuse(drive: str, errno: int) -> None:
        raise OSError(28, "No space left on device")

    journal.take(refuse)
    assert "can't be taken over: No space left on device; it is tried again" in "".join(capfd.readouterr())
    assert taken(journal) == [(DRIVE, EIO)]


def test_while_another_process_adds_nothing_is_taken_and_nothing_lost(tmp_path: Path) -> None:
    journal = FailedJournal(tmp_path / "failed.journal")
    pid = os.fork()
    if pid == 0:
        for number in range(200):
            journal.add(f"/d{number}", EIO)
        os._exit(0)
    found: list[tuple[str, int]] = []
    while os.waitpid(pid, os.WNOHANG)[0] == 0:
        found += taken(journal)
    assert found + taken(journal) == [(f"/d{number}", EIO) for number in range(200)]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"drive": 1, "errno": 5}',
        b'{"drive": "a", "errno": 5}',
        b'{"drive": "/a", "errno": 0}',
        b'{"drive": "/a\\u0000", "errno": 5}',
        b'{"drive": "/\\ud800", "errno": 5}',
        b'{"drive": "/a", "errno": true}',
        b'{"drive": "/a", "errno": 1e9}',
        b"\xff\xfe",
        b"[" * 9000,
    ],
)
def test_what_is_no_note_is_dropped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "failed.journal"
    path.write_bytes(line + b"\n" + b'{"drive": "/b", "errno": 5}\n')
    assert taken(FailedJournal(path)) == [("/b", 5)]
    assert path.read_bytes() == b""


def test_a_flood_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "failed.journal"
    path.write_bytes(b'{"drive": "/b", "errno": 5}\n' * (BYTES_MAX // 4))
    assert len(taken(FailedJournal(path))) == LINES_MAX
    assert path.read_bytes() == b""


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "failed.journal").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        FailedJournal(tmp_path / "failed.journal")
