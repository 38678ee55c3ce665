"""Proves that the marks are judged by the medians, against the fastest peer at its best, the right way round."""

import pytest

from bench.check import is_worse, name_of, worse
from bench.contest import CRC, NBD, OWN, Found, Subject, in_turn, is_kept
from bench.figures import Figure, Median, cpu_us, median, per_second
from bench.load import LARGE, SINGLE, SMALL, WORKLOADS, Load
from bench.marks import MARKS, Verdict, verdicts
from bench.tables import best, latency, marks, processor_time, spread, throughput


def runs(*rates: float, cpu: float = 10.0, p50: float = 50.0) -> list[Figure]:
    return [Figure(rate, cpu, {"50": p50, "99": 2 * p50}) for rate in rates]


READ = SMALL[0]
FOUND: Found = {
    READ: {
        ("slow", 1): runs(10, 11, 12, cpu=1.0),
        ("fast", 1): runs(80, 90, 100),
        ("fast", 8): runs(90, 100, 1000, cpu=20.0),
        (OWN, 1): runs(1, 119, 120),
        (OWN, 2): runs(100, 121, 130, cpu=14.0),
        (f"{OWN} {CRC}", 2): runs(999, 999, 999),
        (NBD, 1): runs(50, 60, 70, cpu=30.0),
    },
    SINGLE[0]: {("fast", 1): runs(9, p50=40.0), ("slow", 1): runs(8, p50=45.0), (OWN, 1): runs(5, p50=80.0)},
}


def found_at(title: str, door: str) -> Verdict:
    (verdict,) = [each for each in verdicts(FOUND) if each.mark.title == title and each.door == door]
    return verdict


def test_throughput_is_ours_over_the_fastest_peers_at_its_best_connections() -> None:
    own = found_at("4 KiB random read, depth 32", OWN)
    assert (own.peer, own.theirs, own.ours) == ("fast 8", 100, 121)
    assert own.ratio == pytest.approx(1.21)
    assert (own.is_met, own.is_goal) == (True, False)
    assert not found_at("4 KiB random read, depth 32", NBD).is_met


def test_latency_is_theirs_over_ours() -> None:
    own = found_at("4 KiB, depth 1: p50, inverse", OWN)
    assert (own.peer, own.ratio) == ("fast 1", 0.5)
    assert not own.is_met


def test_processor_time_is_that_of_the_fastest_peer_not_of_the_cheapest_and_less_is_better() -> None:
    own = found_at("processor time, 4 KiB, depth 32", OWN)
    assert (own.peer, own.ratio) == ("fast 8", 0.7)
    assert (own.is_met, own.is_goal) == (True, False)
    assert not found_at("processor time, 4 KiB, depth 32", NBD).is_met


def test_what_was_not_measured_is_not_judged() -> None:
    assert {each.load for each in verdicts(FOUND)} == {READ, SINGLE[0]}
    assert not list(verdicts({READ: {(OWN, 1): runs(1)}}))


def test_every_workload_has_its_mark() -> None:
    assert {load for mark in MARKS for load in mark.loads} == set(WORKLOADS)


def test_tables_show_medians_with_the_best_number_of_connections() -> None:
    assert best(FOUND[READ], "fast", per_second, max) == (8, Median(100, 90, 1000))
    assert spread(FOUND).rows[0][1:4] == ("18%", "910%", "25%")
    sheet = throughput(FOUND)
    assert sheet.head == ("workload", "slow", "fast", "own door", "own CRC", "NBD")
    assert sheet.rows[0] == ("read 4K d32", "0.0 ×1", "0.1 ×8", "0.1 ×2", "1.0 ×2", "0.1 ×1")
    assert processor_time(FOUND).rows[0][1:3] == ("1", "20")
    assert latency(FOUND).rows == [("read 4K d1", "40/80", "45/90", "80/160")]
    assert (
        "| 4 KiB random read, depth 32 | read | own door | fast 8 | 1.21 |" in marks(list(verdicts(FOUND))).markdown()
    )


def test_medians_are_of_what_is_told() -> None:
    assert median(runs(3, 1, 2), per_second) == Median(2, 1, 3)
    assert median(runs(1), cpu_us) == Median(10, 10, 10)
    assert median([Figure(1, 1)], lambda figure: figure.latency_us.get("50")) is None


def test_who_was_far_behind_its_family_in_the_first_round_is_not_measured_again() -> None:
    turns: list[tuple[str, int, Load]] = []

    def subject(family: str, count: int, rate: float) -> Subject:
        def run(load: Load, seconds: float) -> Figure:
            turns.append((family, count, load))
            return Figure(rate, 1.0)

        return Subject(family, count, run, splits_depth=True)

    subjects = [subject("a", 1, 79), subject("a", 4, 81), subject("a", 8, 100), subject("b", 1, 1)]
    found = in_turn(subjects, [READ, SINGLE[0]], rounds=2, seconds=0)
    assert [len(rows) for rows in found[READ].values()] == [1, 2, 2, 2]
    assert list(found[SINGLE[0]]) == [("a", 1), ("b", 1)]  # a depth of 1 is not divided
    assert [turn[:2] for turn in turns[:6]] == [("a", 1), ("a", 4), ("a", 8), ("b", 1), ("a", 1), ("b", 1)]
    assert is_kept(subjects[3], found[READ])


def test_depth_is_divided_evenly_or_not_at_all() -> None:
    assert LARGE[5].depth_of_each(8) == 1
    with pytest.raises(AssertionError, match="can't be divided"):
        SINGLE[0].depth_of_each(8)


def test_the_check_gives_room_of_two_both_ways() -> None:
    own, used = found_at("4 KiB random read, depth 32", OWN), found_at("processor time, 4 KiB, depth 32", OWN)
    assert [is_worse(own, kept) for kept in (2.0, 2.4, 2.5)] == [False, False, True]
    assert [is_worse(used, kept) for kept in (0.4, 0.36, 0.34)] == [False, False, True]
    assert worse([own, used], {name_of(own): 3.0}) == [own]
