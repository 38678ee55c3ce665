"""Proves which FLUSHes must not be called good after a loss: exactly those that cover what was lost, once."""

from hypothesis import given
from hypothesis import strategies as st

from hostside.driver.unflushed import Unflushed


def test_a_flush_of_the_same_era_is_good() -> None:
    unflushed = Unflushed()
    unflushed.acknowledged(3)
    unflushed.flush_begins()
    assert not unflushed.flush_done(3)
    unflushed.flush_begins()
    assert not unflushed.flush_done(4)


def test_a_flush_of_a_later_era_tells_once() -> None:
    unflushed = Unflushed()
    unflushed.acknowledged(0)
    unflushed.flush_begins()
    assert unflushed.flush_done(1)
    unflushed.flush_begins()
    assert not unflushed.flush_done(1)


def test_a_flush_that_failed_has_covered_nothing() -> None:
    unflushed = Unflushed()
    unflushed.acknowledged(0)
    unflushed.flush_begins()
    unflushed.flush_failed()
    unflushed.flush_begins()
    assert unflushed.flush_done(1)


def test_what_was_acknowledged_behind_the_flush_is_told_by_the_next() -> None:
    unflushed = Unflushed()
    unflushed.flush_begins()
    unflushed.acknowledged(0)
    assert not unflushed.flush_done(1)
    unflushed.flush_begins()
    assert unflushed.flush_done(1)


def test_what_is_told_speaks_for_all_older_eras_and_for_no_newer_one() -> None:
    unflushed = Unflushed()
    unflushed.acknowledged(0)
    unflushed.flush_begins()
    unflushed.acknowledged(0)
    unflushed.acknowledged(1)
    assert unflushed.flush_done(1)
    unflushed.flush_begins()
    assert unflushed.flush_done(2)


@given(st.lists(st.sampled_from(["write", "loss", "begin", "good", "bad"])))
def test_the_law(steps: list[str]) -> None:
    """Against a list of all writes: told exactly when one that the FLUSH covers is of an era that has ended."""
    unflushed, era = Unflushed(), 0
    written: list[int] = []
    covered: list[int] | None = None
    for step in steps:
        if step == "write":
            unflushed.acknowledged(era)
            written.append(era)
        elif step == "loss":
            era += 1
        elif step == "begin" and covered is None:
            unflushed.flush_begins()
            covered, written = written, []
        elif step == "bad" and covered is not None:
            unflushed.flush_failed()
            written += covered
            covered = None
        elif step == "good" and covered is not None:
            is_lost = any(of < era for of in covered)
            assert unflushed.flush_done(era) == is_lost
            covered = None
            if is_lost:
                written = [of for of in written if of == era]
