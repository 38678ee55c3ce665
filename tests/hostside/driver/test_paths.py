"""Proves who gets the next constituent, and which incarnation of a path is listened to."""

from hostside.driver.paths import COMMAND_COST_BYTES, PROBE_S, Path, Paths, is_newer


def load(paths: Paths, count: int) -> dict[int, int]:
    """Give `count` constituents of 64 KiB out, none of which ends."""
    given = dict.fromkeys((path.index for path in paths.live), 0)
    for _ in range(count):
        path = paths.choose(65536)
        if path is None:
            break
        path.room -= 1
        path.held_bytes += 65536
        given[path.index] += 1
    return given


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


def measured(path: Path, bytes_per_s: float, samples: int) -> float:
    now_s = path.busy_from_s
    for _ in range(samples):
        now_s += 0.001
        path.done_bytes = int(bytes_per_s * 0.001)
        path.sample(now_s)
    return 1 / path.seconds_per_byte


def test_rate_follows_what_was_measured() -> None:
    path = Path(0, 1, 1 / 100e6, 0.0, 0)
    assert abs(measured(path, 10e6, 60) / 10e6 - 1) < 0.05
    assert abs(measured(path, 500e6, 60) / 500e6 - 1) < 0.05


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
