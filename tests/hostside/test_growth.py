"""Proves that more paths are opened only when requests wait, the network is far and it helps; and that none flaps."""

import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.growth import FAR_S, GROW_AFTER, MEASURE, REST_FIRST_S, SETTLE, SHRINK_AFTER, Growth, Load, State

WINDOW = 64
FAR, NEAR = 20 * FAR_S, FAR_S / 5


@dataclass
class Site:
    """A host whose applications keep `depth` requests of 4 KiB in flight, and a way to a server.

    Each path holds a window; what is on its way takes the round trip, unless the whole or each path is exhausted first.
    """

    depth: int
    round_trip_s: float
    link_bytes_per_s: float = 1e12
    path_bytes_per_s: float = 1e12
    kept: int = 4
    most: int = 16
    noise: float = 0.0
    chance: random.Random = field(default_factory=lambda: random.Random(1))

    def __post_init__(self) -> None:
        self.growth = Growth(self.kept, WINDOW)
        self.now_s = 0.0
        self.seen: list[int] = []

    def load(self, paths: int) -> Load:
        in_flight = min(self.depth, paths * WINDOW)
        rate = min(in_flight * 8192 / self.round_trip_s, self.link_bytes_per_s, paths * self.path_bytes_per_s)
        rate *= 1 + self.noise * self.chance.uniform(-1, 1)
        return Load(self.depth > paths * WINDOW, in_flight, rate, self.round_trip_s)

    def live(self, seconds: int) -> "Site":
        for _ in range(seconds):
            self.now_s += 1.0
            wanted = self.growth.wanted
            self.seen.append(self.growth.tick(self.load(wanted), wanted, self.most, self.now_s))
        return self


def test_over_a_long_way_more_paths_carry_more_and_are_kept() -> None:
    site = Site(depth=2000, round_trip_s=FAR).live(GROW_AFTER)
    assert site.seen == [4, 4, 6]
    site.live(40)
    assert site.growth.wanted == 16
    assert site.seen == sorted(site.seen)


def test_no_more_than_the_load_needs() -> None:
    assert Site(depth=5 * WINDOW, round_trip_s=FAR).live(100).growth.wanted == 6
    assert Site(depth=4 * WINDOW, round_trip_s=FAR).live(100).growth.wanted == 4


def test_in_one_building_none_is_ever_opened_however_full_all_is() -> None:
    site = Site(depth=2000, round_trip_s=NEAR).live(10_000)
    assert set(site.seen) == {4}


def test_when_nothing_says_how_far_it_is_none_is_opened() -> None:
    growth = Growth(4, WINDOW)
    assert {growth.tick(Load(True, 999, 1e6, 0.0), 4, 16, float(now)) for now in range(100)} == {4}


def test_a_network_that_is_full_is_tried_and_left_alone_for_longer_each_time() -> None:
    site = Site(depth=2000, round_trip_s=FAR, link_bytes_per_s=1e7).live(3600)
    trials = site.seen.count(6) / (SETTLE + MEASURE)
    assert site.growth.wanted == 4
    assert 4 <= trials <= 8, "60 s, 120 s, 240 s …"
    assert site.growth.rest_s > 8 * REST_FIRST_S


def test_paths_that_are_held_back_one_by_one_are_worth_more_of_them() -> None:
    """TCP gives each no more, because of losses or because its buffers are small for the distance."""
    site = Site(depth=2000, round_trip_s=FAR, path_bytes_per_s=1e6, link_bytes_per_s=7.5e6).live(60)
    assert site.growth.wanted == 9, "6 still grew; 9 is the trial that fills the network, and is kept; 13 is not"
    site.live(600)
    assert site.growth.wanted == 9


def test_they_are_closed_when_the_load_has_been_small_for_a_while() -> None:
    site = Site(depth=2000, round_trip_s=FAR).live(60)
    site.depth = 4 * WINDOW // 2
    site.live(SHRINK_AFTER - 1)
    assert site.growth.wanted == 16
    site.live(1)
    assert site.growth.wanted == 4


@pytest.mark.parametrize("depth", range(1, 17 * WINDOW, 40))
def test_a_steady_load_of_any_size_comes_to_rest(depth: int) -> None:
    site = Site(depth=depth, round_trip_s=FAR, noise=0.05).live(120)
    before = site.growth.wanted
    site.live(600)
    changes = sum(wanted != before for wanted in site.seen[120:])
    assert changes == 0


def test_places_that_go_away_take_the_trial_with_them() -> None:
    site = Site(depth=2000, round_trip_s=FAR).live(GROW_AFTER)
    assert site.growth.state is State.TRYING
    site.most = 5
    site.live(1)
    assert (site.growth.wanted, site.growth.state) == (5, State.NORMAL)
    site.most = 0
    site.live(1)
    assert site.growth.wanted == 4, "those of CONNECTIONS are wanted whatever there is"


def test_new_paths_that_do_not_come_up_are_no_gain() -> None:
    growth = Growth(4, WINDOW)
    for now in range(SETTLE + MEASURE + GROW_AFTER):
        growth.tick(Load(True, 999, 1e6 * (1 + now), FAR), 4, 16, float(now))
    assert growth.wanted == 4


LOADS = st.builds(
    Load, st.booleans(), st.integers(0, 2000), st.floats(0, 1e10), st.sampled_from([0.0, NEAR, FAR_S, FAR])
)


@settings(max_examples=300, deadline=None)
@given(
    kept=st.integers(1, 9),
    extra=st.integers(0, 9),
    loads=st.lists(st.tuples(LOADS, st.integers(0, 20), st.integers(0, 20)), max_size=200),
)
def test_whatever_is_seen_the_bounds_hold_and_it_never_runs_to_and_fro(
    kept: int, extra: int, loads: list[tuple[Load, int, int]]
) -> None:
    growth = Growth(kept, WINDOW)
    opened: list[int] = []
    for now, (load, up, fewer) in enumerate(loads):
        before = growth.wanted
        most = max(0, kept + extra - fewer)
        wanted = growth.tick(load, up, most, float(now))
        assert kept <= wanted <= max(kept, most)
        if wanted > before:
            opened.append(now)
            assert load.is_full
            assert load.round_trip_s >= FAR_S
            assert wanted <= before + max(1, before // 2)
    least_apart = GROW_AFTER if len(opened) > 1 else 0
    assert all(b - a >= least_apart for a, b in pairwise(opened))
