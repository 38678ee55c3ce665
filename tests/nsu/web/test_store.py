"""Proves that a store loses no change of two writers, shows nobody half a file, and takes no bad one for empty."""

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from nsu.web.store import Store, StoreError


def add(path: Path, key: str) -> None:
    for number in range(20):
        with Store(path).change() as rows:
            rows[f"{key}{number}"] = {"n": number}


def test_changes_of_two_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "web" / "rows.json"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=add, args=(path, key)) for key in "ab"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        Store(path).rows()  # raises when it sees half of a file
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(Store(path).rows()) == 40


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    former = os.umask(0)
    try:
        with Store(tmp_path / "web" / "rows.json").change() as rows:
            rows["a"] = {}
    finally:
        os.umask(former)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "web", tmp_path / "web" / "rows.json")]
    assert modes == [0o700, 0o600]


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "{", "\udcff"])
def test_a_file_that_is_none_of_ours_is_an_error_and_stays(tmp_path: Path, content: str) -> None:
    path = tmp_path / "rows.json"
    path.write_text(content, errors="surrogateescape")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="remove it"):
        Store(path).rows()
    with pytest.raises(StoreError), Store(path).change():
        raise AssertionError("not reached")
    assert path.read_bytes() == before


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "rows.json")
    with store.change() as rows:
        rows["a"] = {}
    with pytest.raises(KeyError), store.change() as rows:
        rows["b"] = rows["not there"]
    assert store.rows() == {"a": {}}


def test_no_file_is_no_rows(tmp_path: Path) -> None:
    assert Store(tmp_path / "rows.json").rows() == {}
