"""Proves on real processes that two unequal networks give nearly their sum, and small reads take the better one."""

import pytest

from bench.unequal import PAIRS, measure
from tests.harness.netns import needs_networks

pytestmark = [pytest.mark.system, needs_networks]

SUM_LEAST = 0.7
P50_MOST = 1.5
"""With room for a busy machine; what is due on a quiet one is measured by bench/unequal.py."""


def test_a_network_ten_times_narrower_adds_what_it_has_and_delays_nothing() -> None:
    told = measure(PAIRS["narrower"], seconds=1.0, rounds=1)
    assert told.share_of_sum > SUM_LEAST
    for depth in (1, 4):
        assert told.p50_ratio(depth) < P50_MOST


def test_small_reads_do_not_take_a_way_ten_times_longer() -> None:
    told = measure(PAIRS["longer"], seconds=0.7, rounds=1)
    for depth in (1, 4):
        assert told.p50_ratio(depth) < P50_MOST
