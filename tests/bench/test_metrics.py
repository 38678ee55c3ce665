"""Proves that the cost of metrics is told by pairs, and that noise is not told as a proof."""

import os
from pathlib import Path

import pytest

from bench.metrics import Pair, lost_percent, sources_of, told


def pair(without: float, with_it: float) -> Pair:
    return (without, 30.0), (with_it, 31.0)


def test_a_small_and_steady_loss_is_shown_whatever_the_machine_does_between_pairs() -> None:
    pairs = [pair(speed, speed * 0.99) for speed in (50_000, 20_000, 60_000, 40_000)]
    assert lost_percent(pairs) == pytest.approx([1.0] * 4)
    assert "mean +1.0 ± 0.0 %, under 2 %" in told("read", pairs)


@pytest.mark.parametrize("after", [[40_000, 60_000, 50_000, 50_000], [48_000] * 4, [49_900]])
def test_noise_a_large_loss_and_one_pair_show_nothing(after: list[float]) -> None:
    assert "not shown to be under 2 %" in told("read", [pair(50_000, speed) for speed in after])


def test_the_other_sources_are_used_meanwhile_only(tmp_path: Path) -> None:
    before = os.environ.get("PYTHONPATH")
    with sources_of(tmp_path):
        assert os.environ["PYTHONPATH"] == str(tmp_path.resolve())
    assert os.environ.get("PYTHONPATH") == before
