"""Proves that a failed drive is known to the next run of the server, and that only people make it forget."""

from errno import EIO, ENODEV
from pathlib import Path

import pytest

from serverside.drives.failed_notes import FailedNotes

DRIVE = "/srv/nsu/drive1.img"


def test_what_was_noted_is_known_to_another_run_until_the_note_is_removed(tmp_path: Path) -> None:
    FailedNotes(tmp_path / "failed").put(DRIVE, ENODEV)
    notes = FailedNotes(tmp_path / "failed")
    assert (notes.errno(DRIVE), notes.errno("/srv/nsu/drive2.img")) == (ENODEV, 0)
    notes.path_of(DRIVE).unlink()
    assert notes.errno(DRIVE) == 0


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"drive": "/srv/nsu/drive1.img", "errno": "x"}'])
def test_a_note_that_cannot_be_read_is_a_note(tmp_path: Path, text: str) -> None:
    notes = FailedNotes(tmp_path)
    notes.path_of(DRIVE).write_text(text)
    assert notes.errno(DRIVE) == EIO


def test_drives_whose_paths_look_alike_are_not_mixed_up(tmp_path: Path) -> None:
    notes = FailedNotes(tmp_path)
    notes.put("/a/b", EIO)
    assert notes.path_of("/a-b") == notes.path_of("/a/b"), "else this proves nothing"
    assert notes.errno("/a-b") == 0


def test_a_path_of_any_length_has_a_note(tmp_path: Path) -> None:
    notes = FailedNotes(tmp_path)
    notes.put("/x" * 2000, EIO)
    assert notes.errno("/x" * 2000) == EIO
