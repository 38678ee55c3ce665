"""Proved: a drive that stays slow by itself is put out, and a busy, shared or merely different one never is."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverside.redundancy.slowness import (
    LEAST_US,
    OPERATIONS_MIN,
    REST_WINDOWS,
    TIMES,
    Judge,
    Load,
    Step,
    slow_in,
)

MS = 1000


def reading(*means_ms: float, count: int = 100) -> dict[int, Load]:
    return {place: Load(count, round(count * mean * MS)) for place, mean in enumerate(means_ms)}


def syncing(*means_ms: float, count: int = 100) -> dict[int, Load]:
    return {place: Load(0, 0, count, round(count * mean * MS)) for place, mean in enumerate(means_ms)}


SLOW = reading(2, 300, 3)
FINE = reading(2, 4, 3)
DEAD = reading(2, 3000, 3)


@pytest.mark.parametrize(
    ("loads", "place"),
    [
        (reading(2, 300, 3), 1),
        (syncing(20, 20, 20, 400), 3),
        (reading(150, 2), 0),
        (reading(0.02, 2, 0.02), None),  # a hundred times slower, and nobody feels it
        (reading(40, 350, 45), None),  # all are slow, one a little more: a busy machine
        (reading(2, 300, 300), None),  # two at once: not a drive
        (reading(2, 300, 3, count=OPERATIONS_MIN - 1), None),
        ({0: Load(), 1: Load(100, 300 * 100 * MS)}, None),  # nothing to compare with
        (reading(300), None),
        # One waits for its medium and the others read from memory: nothing alike to compare.
        ({0: Load(100, 2 * MS), 1: Load(0, 0, 100, 20_000 * MS), 2: Load(100, 2 * MS)}, None),
        # Slow in reads is one, slow in writes another.
        ({0: Load(9, 2700 * MS, 9, 9 * MS), 1: Load(9, 9 * MS, 9, 2700 * MS)}, None),
    ],
)  # fmt: skip
def test_a_window_blames_one_drive_or_nobody(loads: dict[int, Load], place: int | None) -> None:
    slow = slow_in(loads, LEAST_US)
    assert (slow.place if slow else None) == place


def steps(judge: Judge, windows: Sequence[dict[int, Load]], *, has_spare: bool = True) -> list[Step]:
    return [judge.hear(loads, has_spare=has_spare)[0] for loads in windows]


def test_a_drive_that_stays_slow_is_tried_and_put_out() -> None:
    judge = Judge()
    assert steps(judge, [SLOW] * 6) == [
        Step.NOTHING, Step.NOTHING, Step.TRY, Step.NOTHING, Step.NOTHING, Step.PUT_OUT,
    ]  # fmt: skip
    assert judge.place is None


def test_the_words_say_how_slow() -> None:
    slow = slow_in(SLOW, LEAST_US)
    assert slow is not None
    assert slow.words == "300 ms for a read, the others 2.5 ms"


def test_a_busy_drive_that_is_quick_once_its_queue_is_gone_stays_and_has_rest() -> None:
    judge = Judge()
    assert steps(judge, [SLOW] * 3 + [FINE]) == [Step.NOTHING, Step.NOTHING, Step.TRY, Step.ACQUIT]
    assert steps(judge, [SLOW] * REST_WINDOWS) == [Step.NOTHING] * REST_WINDOWS
    assert Step.TRY in steps(judge, [SLOW] * 3)


def test_a_trial_without_evidence_ends() -> None:
    assert steps(Judge(), [SLOW] * 3 + [{0: Load(), 1: Load(), 2: Load()}])[-1] == Step.ACQUIT


def test_one_window_that_is_not_slow_begins_it_anew() -> None:
    assert steps(Judge(), [SLOW, SLOW, FINE] * 20) == [Step.NOTHING] * 60


def test_drives_that_are_slow_in_turn_are_never_blamed() -> None:
    turns = [reading(300, 2, 3), reading(2, 300, 3), reading(2, 3, 300)]
    assert set(steps(Judge(), turns * 20)) == {Step.NOTHING}


def test_without_a_spare_only_a_drive_as_good_as_dead_is_put_out() -> None:
    assert steps(Judge(), [SLOW] * 12, has_spare=False) == [Step.NOTHING] * 12
    assert steps(Judge(), [DEAD] * 6, has_spare=False)[-1] == Step.PUT_OUT


@given(st.lists(st.lists(st.floats(1, 400), min_size=4, max_size=4), max_size=80))
def test_nobody_is_put_out_whose_windows_were_not_all_ten_times_the_median(all_means: list[list[float]]) -> None:
    judge = Judge()
    for number, means in enumerate(all_means):
        step, slow = judge.hear(reading(*means), has_spare=True)
        if step == Step.PUT_OUT:
            assert slow is not None
            for past in all_means[number - 5 : number + 1]:
                others = sorted(mean for place, mean in enumerate(past) if place != slow.place)
                assert past[slow.place] >= 0.99 * TIMES * others[1]
