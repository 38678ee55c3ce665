"""Proves that a journal keeps every line in order, also over its turn to the second file, and reads over a torn one."""

import threading
from pathlib import Path

from nsu.web import journal
from nsu.web.journal import Journal


def test_the_newest_come_first(tmp_path: Path) -> None:
    told = Journal(tmp_path / "web" / "audit.jsonl", clock=lambda: 12.3456)
    for number in range(5):
        told.note(what=number)
    assert [entry["what"] for entry in told.newest(3)] == [4, 3, 2]
    assert told.newest(100)[-1] == {"at": 12.346, "what": 0}
    assert told.newest(0) == []
    assert (tmp_path / "web" / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_no_file_is_no_line(tmp_path: Path) -> None:
    assert Journal(tmp_path / "none").newest(5) == []


def test_it_never_takes_more_than_two_halves(tmp_path: Path) -> None:
    told = Journal(tmp_path / "audit.jsonl")
    line = "x" * (journal.HALF_BYTES // 8)
    for number in range(20):
        told.note(what=number, line=line)
        sizes = [path.stat().st_size for path in tmp_path.iterdir()]
        assert sum(sizes) <= 2 * journal.HALF_BYTES + 2 * len(line)
    kept = [entry["what"] for entry in told.newest(100)]
    assert kept == list(range(19, 19 - len(kept), -1))
    assert len(kept) >= 8


def test_a_line_that_was_cut_off_is_left_out(tmp_path: Path) -> None:
    told = Journal(tmp_path / "audit.jsonl")
    told.note(what="whole")
    with open(told.path, "ab") as file:
        file.write(b'{"at": 1, "wh\xff\n7\n')
    told.note(what="after")
    assert [entry["what"] for entry in told.newest(5)] == ["after", "whole"]


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    told = Journal(tmp_path / "audit.jsonl")
    threads = [threading.Thread(target=lambda: [told.note(what="x") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told.newest(1000)) == 80
