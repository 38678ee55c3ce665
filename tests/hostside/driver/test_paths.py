"""Proves who gets the next constituent, and which incarnation of a path is listened to."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.driver.paths import COMMAND_COST_BYTES, PROBE_S, Paths, is_newer
from tests.hostside.driver.lanes import MS, Lanes, Way


def load(paths: Paths, count: int) -> dict[int, int]:
    """Give `count` constituents of 64 KiB out, none of which ends."""
    given_to = dict.fromkeys((path.index for path in paths.live), 0)
    for _ in range(count):
        path = paths.choose(65536)
        if path is None:
            break
        path.room -= 1
        path.held_bytes += 65536
        given_to[path.index] += 1
    return given_to


def two_paths(rate: int, other_rate: int) -> Paths:
    paths = Paths(0.0)
    paths.available(0, 1, 1000, rate, 0.0)
    paths.available(1, 1, 1000, other_rate, 0.0)
    return paths


def test_unequal_paths_share_by_rate() -> None:
    given = load(two_paths(300_000_000, 100_000_000), 400)
    assert abs(given[0] - 300) <= 2


def test_window_bounds() -> None:
    paths = two_paths(10**9, 10**6)
    paths.available(0, 1, 3, 0, 0.0)
    assert load(paths, 10)[0] == 3
    paths.available(0, 1, 2, 0, 0.0)
    assert load(paths, 10)[0] == 0, "a window that shrank below what is held gives nothing"
    paths.available(0, 1, 4, 0, 0.0)
    assert load(paths, 10)[0] == 1


def test_window_of_0_is_the_last_word_of_an_incarnation() -> None:
    paths = two_paths(10**9, 10**6)
    paths.available(0, 1, 0, 0, 0.0)
    paths.available(0, 1, 4, 0, 0.0)
    assert load(paths, 10)[0] == 0
    paths.available(0, 2, 4, 0, 0.0)
    assert load(paths, 10)[0] == 4


def test_no_path_no_choice() -> None:
    assert Paths(0.0).choose(4096) is None


def test_idle_path_is_tried_again_and_not_often() -> None:
    paths = two_paths(10**9, 10**3)
    assert paths.choose(COMMAND_COST_BYTES) is paths.live[0]
    assert paths.to_probe(PROBE_S / 2) is None
    paths.live[0].held_bytes = 1
    assert paths.to_probe(PROBE_S + 0.1) is paths.live[1]
    assert paths.to_probe(PROBE_S + 0.2) is None


def test_a_path_that_closes_takes_nothing_more_and_lives_until_it_is_lost() -> None:
    paths = two_paths(10**9, 10**6)
    paths.closing(0, 7, 0.0)
    assert load(paths, 1) == {0: 1, 1: 0}, "that was said of another incarnation"
    paths.closing(0, 1, 0.0)
    paths.available(0, 1, 5, 0, 0.0)
    assert load(paths, 3) == {0: 0, 1: 3}
    paths.closing(1, 1, 1.0)
    assert paths.pathless_since_s == 1.0
    paths.lost(0, 1, 2.0)
    assert [path.index for path in paths.live] == [1]


def test_incarnations() -> None:
    paths = Paths(0.0)
    paths.available(0, 5, 1, 0, 0.0)
    paths.available(0, 4, 9, 0, 0.0)
    assert [(path.incarnation, path.window) for path in paths.live] == [(5, 1)]
    paths.lost(0, 4, 0.0)
    assert len(paths.live) == 1, "an older incarnation was lost"
    paths.available(0, 6, 2, 0, 0.0)
    assert [path.incarnation for path in paths.live] == [6]
    paths.lost(0, 6, 0.0)
    paths.available(0, 6, 2, 0, 0.0)
    assert not paths.live, "it was lost before it could say that it is there"


def test_incarnations_wrap() -> None:
    assert is_newer(0, 0xFFFF)
    assert not is_newer(0xFFFF, 0)
    assert not is_newer(7, 7)


def test_pathless_clock_runs_only_without_a_path() -> None:
    paths = Paths(1.0)
    seen = [paths.pathless_since_s]
    paths.available(0, 1, 1, 0, 2.0)
    seen.append(paths.pathless_since_s)
    paths.available(0, 1, 0, 0, 3.0)
    seen.append(paths.pathless_since_s)
    paths.lost(0, 1, 4.0)
    seen.append(paths.pathless_since_s)
    assert seen == [1.0, None, 3.0, 3.0]


def test_closed_path_stays_closed_in_its_incarnation() -> None:
    paths = Paths(0.0)
    paths.available(0, 1, 5, 0, 0.0)
    paths.close(paths.live[0], 1.0)
    paths.available(0, 1, 5, 0, 2.0)
    assert paths.choose(512) is None
    assert paths.pathless_since_s == 1.0
    paths.available(0, 2, 5, 0, 3.0)
    assert paths.choose(512) is not None


def test_an_incarnation_stays_in_the_era_it_began_in() -> None:
    paths = Paths(0.0)
    paths.available(0, 1, 8, 0, 0.0)
    paths.era = 1
    paths.available(0, 1, 4, 0, 0.0)
    assert [path.era for path in paths.live] == [0]
    paths.available(0, 2, 8, 0, 0.0)
    assert [path.era for path in paths.live] == [1]


# -- whom it learns to choose, over ways of every kind --------------------------------------------------------------


def test_equal_paths_carry_alike_however_long_the_way() -> None:
    for trip_s in (0.1 * MS, 2 * MS, 20 * MS, 100 * MS):
        lanes = Lanes([Way(trip_s, 1250e6)], paths_each=8)
        lanes.run(depth=64, size_bytes=65536, trips=100)
        shares = lanes.moved_bytes
        assert min(shares) > 0.75 * max(shares), f"{trip_s * 1000} ms: {shares}"


def test_windows_of_tcp_are_not_filled_on_one_path_while_others_idle() -> None:
    lanes = Lanes([Way(20 * MS, 1250e6, window_bytes=1 << 20)], paths_each=8)
    lanes.run(depth=64, size_bytes=65536, trips=100)
    assert lanes.rate > 0.95 * 64 * 65536 / (20 * MS)


def test_two_unequal_networks_give_the_sum_of_both() -> None:
    lanes = Lanes([Way(1 * MS, 200e6), Way(1 * MS, 20e6)], paths_each=4)
    lanes.run(depth=64, size_bytes=65536, trips=2000)
    assert lanes.rate > 0.97 * 220e6


def test_small_requests_take_the_near_network() -> None:
    for depth in (1, 4):
        lanes = Lanes([Way(1 * MS, 200e6), Way(10 * MS, 200e6)], paths_each=4)
        lanes.run(depth=depth, size_bytes=4096, trips=5000)
        assert lanes.median_s < 1.2 * MS
        assert sum(lanes.moved_bytes[4:]) < 0.02 * sum(lanes.moved_bytes)


def test_a_network_that_becomes_slow_is_left_and_one_that_recovers_is_used_again() -> None:
    lanes = Lanes([Way(1 * MS, 200e6), Way(1 * MS, 200e6)], paths_each=2)
    lanes.run(depth=64, size_bytes=65536, trips=1000)
    assert lanes.rate > 380e6
    lanes.ways[1] = Way(1 * MS, 10e6)
    lanes.run(depth=64, size_bytes=65536, trips=1000)
    lanes.run(depth=64, size_bytes=65536, trips=1000)
    assert 203e6 < lanes.rate < 215e6
    lanes.ways[1] = Way(1 * MS, 200e6)
    lanes.run(depth=64, size_bytes=65536, trips=2000)
    lanes.run(depth=64, size_bytes=65536, trips=1000)
    assert lanes.rate > 380e6


def test_a_path_that_stalls_is_avoided_while_it_does() -> None:
    lanes = Lanes([Way(1 * MS, 200e6)], paths_each=4)
    lanes.run(depth=16, size_bytes=4096, trips=200)
    lanes.stalled = {2}
    lanes.run(depth=16, size_bytes=4096, trips=200)
    assert lanes.most_held[2] <= 6, "of 16 in flight a stalled path got nearly all"


@given(
    st.lists(st.tuples(st.floats(0.05, 50), st.floats(20, 1000)), min_size=1, max_size=3),
    st.integers(1, 4),
    st.sampled_from([4096, 65536]),
)
@settings(max_examples=15, deadline=None)
def test_over_any_networks_it_is_no_worse_than_over_the_best_of_them(
    ways: list[tuple[float, float]], paths_each: int, size_bytes: int
) -> None:
    depth = 48
    lanes = Lanes([Way(trip_ms * MS, mb_per_s * 1e6) for trip_ms, mb_per_s in ways], paths_each)
    lanes.run(depth=depth, size_bytes=size_bytes, trips=200)
    lanes.run(depth=depth, size_bytes=size_bytes, trips=300)
    alone = max(
        min(way.bytes_per_s, depth * size_bytes / (way.trip_s + size_bytes / way.bytes_per_s)) for way in lanes.ways
    )
    assert lanes.rate > 0.75 * alone
