"""Proves when a FLUSH may go out: drained, one at a time, the others together in the next."""

from hostside.driver.flushes import Epoch, Flushes
from hostside.driver.request import Request
from protocol.ops import Op


def flush() -> Request:
    return Request(Op.FLUSH, 0, 0, False, lambda request: None, [], [], [])


def write(flushes: Flushes) -> Epoch:
    flushes.open.pending += 1
    return flushes.open


def test_nothing_written_goes_at_once() -> None:
    flushes, one = Flushes(), flush()
    flushes.add(one)
    assert flushes.take_drained() == [one]
    assert flushes.wire_done() == [one]
    assert not flushes.waiting


def test_waits_for_older_writes_only() -> None:
    flushes, one = Flushes(), flush()
    older = write(flushes)
    flushes.add(one)
    write(flushes)
    assert flushes.take_drained() == []
    older.pending -= 1
    assert flushes.take_drained() == [one]


def test_one_on_the_wire_and_the_rest_share_the_next() -> None:
    flushes, first, second, third = Flushes(), flush(), flush(), flush()
    flushes.add(first)
    assert flushes.take_drained() == [first]
    flushes.add(second)
    epoch = write(flushes)
    flushes.add(third)
    epoch.pending -= 1
    assert flushes.take_drained() == []
    assert flushes.wire_done() == [first]
    assert flushes.take_drained() == [second, third]


def test_undrained_does_not_hold_up_drained() -> None:
    flushes, first, second = Flushes(), flush(), flush()
    one = write(flushes)
    flushes.add(first)
    write(flushes)
    flushes.add(second)
    one.pending -= 1
    assert flushes.take_drained() == [first]
    flushes.wire_done()
    assert flushes.take_drained() == []
    assert flushes.waiting


def test_what_waits_can_be_failed_and_has_its_turn_all_the_same() -> None:
    flushes, first, second, third = Flushes(), flush(), flush(), flush()
    flushes.add(first)
    assert flushes.take_drained() == [first]
    flushes.add(second)
    flushes.fail_waiting(5, "lost")
    flushes.add(third)
    assert (first.status, second.status, third.status) == (0, 5, 0)
    flushes.wire_done()
    assert flushes.take_drained() == [second, third]
