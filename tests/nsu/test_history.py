"""Proves that the history keeps whole versions in their order, takes no version twice, and makes nobody wait."""

from pathlib import Path

import pytest

from nsu.history import BY_HAND, VERSIONS_MOST, History, HistoryBusyError, note_by_hand


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_versions_are_kept_in_their_order(history: History) -> None:
    assert history.versions() == []
    assert history.newest() is None
    for number in range(3):
        history.record(f"text {number}", who="me", what=["one", "two"], at_s=number)
    assert [(version.number, version.text, version.at_s) for version in history.versions()] == [
        (1, "text 0", 0.0),
        (2, "text 1", 1.0),
        (3, "text 2", 2.0),
    ]
    assert history.versions()[-1] == history.newest() == history.get(3)
    assert (history.folder.stat().st_mode & 0o777, history.get(1).what) == (0o700, ("one", "two"))  # type: ignore[union-attr]


def test_the_newest_is_not_recorded_again(history: History) -> None:
    assert history.record("text", who="me", what=[], at_s=1)
    assert history.record("text", who="you", what=[], at_s=2) is None
    assert history.record("other", who="you", what=[], at_s=2)
    assert history.record("text", who="you", what=[], at_s=3), "an earlier one that comes again is a version"


def test_a_version_is_withdrawn_and_its_number_is_free(history: History) -> None:
    history.record("text", who="me", what=[], at_s=1)
    doomed = history.record("other", who="me", what=[], at_s=2)
    assert doomed is not None
    history.withdraw(doomed)
    newest = history.newest()
    assert newest is not None
    assert newest.text == "text"


def test_only_the_last_are_kept(history: History) -> None:
    for number in range(VERSIONS_MOST + 3):
        history.record(str(number), who="me", what=[], at_s=number)
    numbers = [version.number for version in history.versions()]
    assert numbers == list(range(4, VERSIONS_MOST + 4))


def test_what_is_damaged_or_foreign_is_passed_over(history: History) -> None:
    history.record("text", who="me", what=[], at_s=1)
    (history.folder / "000002.json").write_text("{")
    (history.folder / "000003.json").write_text("[]")
    (history.folder / "notes.json").write_text("{}")
    newest = history.newest()
    assert newest is not None
    assert newest.text == "text"
    after = history.record("next", who="me", what=[], at_s=1)
    assert after is not None
    assert after.number == 4, "a number is never given twice"


def test_who_watches_the_file_never_waits_for_who_saves(history: History, tmp_path: Path) -> None:
    with history.locked():
        note_by_hand(tmp_path, "half of something", 1.0)
        with pytest.raises(HistoryBusyError):
            with history.locked(patient=False):
                pass
    assert history.versions() == []
    note_by_hand(tmp_path, "text", 2.0)
    assert [(version.who, version.text) for version in history.versions()] == [(BY_HAND, "text")]


def test_a_history_that_cannot_be_written_costs_a_version_only(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("a file")
    note_by_hand(tmp_path, "text", 1.0)
