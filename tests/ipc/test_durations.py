"""Proves that a span of time is said in the unit in which people would say it."""

import pytest

from ipc.durations import duration


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (119.9, "119 s"),
        (120, "2 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 d"),
        (10**9, "11574 d"),
    ],
)
def test_a_span_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words
