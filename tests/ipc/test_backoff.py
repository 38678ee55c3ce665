"""Rests grow by the factor, stay within half and whole of their step, never pass the most, and begin anew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.backoff import Backoff


def test_rests_double_up_to_the_most() -> None:
    backoff = Backoff(0.1, 1.0, random=lambda: 1.0)
    assert [backoff.next() for _ in range(6)] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_reset_begins_again() -> None:
    backoff = Backoff(0.1, 1.0, random=lambda: 1.0)
    backoff.next()
    backoff.next()
    backoff.reset()
    assert backoff.next() == pytest.approx(0.1)


def test_a_fresh_one_shares_no_step_with_its_pattern() -> None:
    pattern = Backoff(0.1, 1.0, random=lambda: 1.0)
    first = pattern.fresh()
    first.next()
    assert (first.next(), pattern.fresh().next()) == pytest.approx((0.2, 0.1))


@given(
    first_s=st.floats(0.01, 10),
    times=st.floats(1, 1000),
    factor=st.floats(1, 5),
    chances=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30),
)
def test_a_rest_is_within_its_step(first_s: float, times: float, factor: float, chances: list[float]) -> None:
    most_s = first_s * times
    chance = iter(chances)
    backoff = Backoff(first_s, most_s, factor, random=lambda: next(chance))
    for attempt in range(len(chances)):
        step_s = min(most_s, first_s * factor**attempt)
        assert step_s / 2 * 0.999 <= backoff.next() <= step_s * 1.001


@pytest.mark.parametrize(("first_s", "most_s", "factor"), [(0, 1, 2), (2, 1, 2), (1, 2, 0.5), (-1, 1, 2)])
def test_rests_that_do_not_grow_are_refused(first_s: float, most_s: float, factor: float) -> None:
    with pytest.raises(ValueError, match="must grow"):
        Backoff(first_s, most_s, factor, random=lambda: 0.0)
