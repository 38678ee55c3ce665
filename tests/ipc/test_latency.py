"""Proves that a duration falls into the one bucket whose bounds are around it, and that quantiles come from there."""

from hypothesis import given
from hypothesis import strategies as st

from ipc.latency import BUCKETS, LATENCY_CELLS, LONGEST, below_s, bucket_of, middle_us, quantile_s, trimmed

durations = st.integers(0, 10_000_000_000)


@given(durations)
def test_a_duration_is_between_the_bounds_of_its_bucket(duration_ns: int) -> None:
    index = bucket_of(duration_ns)
    assert duration_ns / 1e9 < below_s(index)
    assert index == 0 or duration_ns / 1e9 >= below_s(index - 1)


@given(durations)
def test_the_line_of_the_hot_loops_gives_the_same_bucket(duration_ns: int) -> None:
    assert min(duration_ns >> 10, LONGEST).bit_length() == bucket_of(duration_ns)


def test_ends() -> None:
    assert bucket_of(-5) == bucket_of(0) == 0
    assert bucket_of(1 << 60) == BUCKETS - 1 == len(LATENCY_CELLS) - 1
    assert below_s(BUCKETS - 1) == float("inf")


def test_a_middle_lies_in_its_bucket() -> None:
    for index in range(1, BUCKETS - 1):
        assert below_s(index - 1) < middle_us(index) / 1e6 < below_s(index)
    assert 0 < middle_us(0) / 1e6 < below_s(0)


def test_only_what_is_needed_travels() -> None:
    assert trimmed([0, 3, 0, 0]) == [0, 3]
    assert trimmed([0] * BUCKETS) == []


@given(st.lists(durations, min_size=1, max_size=50), st.floats(0.01, 1.0))
def test_a_quantile_is_the_bound_above_that_share(ns: list[int], share: float) -> None:
    counts = [0] * BUCKETS
    for each in ns:
        counts[bucket_of(each)] += 1
    bound_s = quantile_s(counts, share)
    assert bound_s is not None
    assert sum(each / 1e9 < bound_s for each in ns) >= share * len(ns) - 1e-9


def test_nothing_has_no_quantile() -> None:
    assert quantile_s([], 0.5) is None
    assert quantile_s([0, 0], 0.5) is None
