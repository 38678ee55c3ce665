"""Proves that sentences and stamps written by one process are read by another, by tag."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostside.driver.notes import SENTENCE_BYTES, STAGES, Notes

TAG = 5 | 77 << 3


def test_other_process_writes() -> None:
    notes = Notes(8)
    child = os.fork()
    if child == 0:
        notes.write(TAG, "The drive failed.")
        notes.stamp_named(TAG, "5H", 1 << 60)
        notes.write_unit("The unit is gone.")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert notes.read(TAG) == "The drive failed."
    assert notes.named_stamps(TAG) == {"5H": 1 << 60}
    assert notes.read_unit() == "The unit is gone."


def test_row_is_the_index_whatever_the_attempt() -> None:
    notes = Notes(8)
    notes.write(TAG, "no")
    assert notes.read(5) == "no"
    assert [notes.read(index) for index in range(8) if index != 5] == [""] * 7
    assert notes.take(TAG) == "no"
    assert notes.read(TAG) == ""


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=300))
def test_long_sentences_are_cut_between_characters(sentence: str) -> None:
    notes = Notes(2)
    notes.write(0, sentence)
    read = notes.read(0)
    assert sentence.startswith(read)
    assert len(read) == len(sentence) or len(read.encode()) > SENTENCE_BYTES - 4
    assert notes.read(1) == ""
    assert notes.stamps(0) == [0] * len(STAGES)


@pytest.mark.parametrize("tags_max", [1, 3, 8])
def test_every_row_is_apart(tags_max: int) -> None:
    notes = Notes(tags_max)
    for tag in range(tags_max):
        notes.write(tag, "x" * SENTENCE_BYTES)
        for stage in range(len(STAGES)):
            notes.stamp(tag, stage, tag + 1)
    notes.write_unit("y" * SENTENCE_BYTES)
    for tag in range(tags_max):
        assert notes.read(tag) == "x" * SENTENCE_BYTES
        assert notes.stamps(tag) == [tag + 1] * len(STAGES)
    notes.clear_stamps(0)
    assert notes.named_stamps(0) == {}
