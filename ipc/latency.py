"""Latency histograms in cells of shared memory: one bucket for each power of two.

A duration of d nanoseconds falls into bucket `(d >> 10).bit_length()`: bucket 0 is below 1.024 µs, bucket i below
2**i * 1.024 µs. That is one shift and one call in a hot loop, which counts a batch at a time:

    cells[min((done_ns - began_ns) >> 10, LONGEST).bit_length()] += requests
"""

from collections.abc import Sequence
from typing import Final

BUCKETS: Final = 24
"""The last one takes all of 4.3 s and more."""
LONGEST: Final = (1 << BUCKETS - 1) - 1
"""What `d >> 10` is cut to, so that its bit length names a bucket."""
LATENCY_CELLS: Final = tuple(f"bucket_{index}" for index in range(BUCKETS))


def bucket_of(duration_ns: int) -> int:
    """Give the bucket of a duration."""
    return min(max(duration_ns, 0) >> 10, LONGEST).bit_length()


def below_s(index: int) -> float:
    """Give the duration that all of a bucket are below; infinite for the last."""
    return float("inf") if index == BUCKETS - 1 else (1 << index) * 1.024e-6


def middle_us(index: int) -> float:
    """Give what a duration of a bucket is taken for when a mean is made."""
    return 1.024 * (1 << index) * (0.75 if index else 0.5)


def trimmed(cells: Sequence[int]) -> list[int]:
    """Give the cells up to the last that is not 0, as they travel in answers."""
    counts = list(cells)
    while counts and not counts[-1]:
        counts.pop()
    return counts


def quantile_s(counts: Sequence[int], share: float) -> float | None:
    """Give the duration that `share` of all are below, to a power of two; None when there are none."""
    left = sum(counts) * share
    for index, count in enumerate(counts):
        left -= count
        if count and left <= 0:
            return below_s(index)
    return None
