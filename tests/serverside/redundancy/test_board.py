"""Proved: every process sees what may be read, and the epoch moves whenever that changes, and after it has changed."""

import os

from serverside.redundancy.board import WHY_BYTES, Board
from serverside.redundancy.superblock import State


def test_only_places_that_are_in_may_be_read() -> None:
    board = Board(2)
    assert board.readable(0) is None
    board.publish(0, 5, State.IN, 0, may_read=True)
    board.publish(1, 6, State.REBUILDING, 3, may_read=False)
    assert (board.readable(0), board.readable(1)) == (5, None)
    assert (board.drive(0), board.drive(1)) == (5, 6)
    board.publish(0, None, State.OUT, 0, may_read=False)
    assert (board.readable(0), board.drive(0)) == (None, None)


def test_the_epoch_moves_when_what_may_be_read_changes_and_only_then() -> None:
    board = Board(1)
    board.publish(0, 5, State.REBUILDING, 3, may_read=False)
    assert board.epoch == 0
    board.publish(0, 5, State.IN, 0, may_read=True)
    assert board.epoch == 1
    board.publish(0, 5, State.IN, 0, may_read=True)
    assert board.epoch == 1
    board.publish(0, 7, State.IN, 0, may_read=True)
    assert board.epoch == 2


def test_a_forked_process_sees_it() -> None:
    board = Board(1)
    pid = os.fork()
    if pid == 0:
        board.publish(0, 3, State.IN, 0, may_read=True)
        board.say_why(0, "it broke")
        os._exit(0)
    os.waitpid(pid, 0)
    assert (board.readable(0), board.epoch, board.why(0)) == (3, 1, "it broke")


def test_a_sentence_is_cut_between_characters() -> None:
    board = Board(1)
    board.say_why(0, "é" * WHY_BYTES)
    assert board.why(0) == "é" * (WHY_BYTES // 2)
    board.say_why(0, "short")
    assert board.why(0) == "short"


def test_a_mark_of_a_reader_is_taken_once() -> None:
    board = Board(3)
    assert not board.take_read_mark()
    board.mark_read()
    board.mark_read()
    assert board.take_read_mark()
    assert not board.take_read_mark()
