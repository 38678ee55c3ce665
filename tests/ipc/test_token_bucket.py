"""Proves that a bucket never gives more than its burst and its rate allow, and gives that much."""

from hypothesis import given
from hypothesis import strategies as st

from ipc.token_bucket import TokenBucket


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_in_any_time_no_more_than_burst_and_rate(pauses_s: list[float]) -> None:
    now = [0.0]
    bucket = TokenBucket(3, 5, lambda: now[0])
    given_out = 0
    for pause_s in pauses_s:
        now[0] += pause_s
        while bucket.take():
            given_out += 1
        assert given_out <= 5 + 3 * now[0] + 1e-6


def test_it_fills_again_to_its_burst_and_no_further_even_when_the_clock_goes_back() -> None:
    now = [100.0]
    bucket = TokenBucket(2, 4, lambda: now[0])
    assert [bucket.take() for _ in range(5)] == [True] * 4 + [False]
    now[0] = 99.0
    assert not bucket.has()
    now[0] = 99.5
    assert bucket.take()
    assert not bucket.take()
    now[0] = 1000.0
    assert sum(bucket.take() for _ in range(9)) == 4
