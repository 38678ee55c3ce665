"""Proves that a lost connection is no fight, and that two machines with one login are named, while they fight."""

from serverside.evictions import FIGHT_WITHIN_S, SOURCES_MAX, Evictions


def test_one_eviction_is_a_lost_connection() -> None:
    evictions = Evictions()
    evictions.note("host1", "10.0.0.1", "10.0.0.1", 100.0)
    evictions.note("host2", "10.0.0.2", "10.0.0.2", 100.0)
    assert evictions.warnings(101.0) == []


def test_two_are_a_fight_until_it_is_over() -> None:
    evictions = Evictions()
    evictions.note("host1", "10.0.0.1", "10.0.0.2", 100.0)
    evictions.note("host1", "10.0.0.2", "10.0.0.1", 110.0)
    (warning,) = evictions.warnings(111.0)
    assert warning.startswith("HOST host1 logs in again and again, from 10.0.0.1 and 10.0.0.2,")
    assert evictions.warnings(100.0 + FIGHT_WITHIN_S) == []


def test_a_long_fight_takes_no_more_memory() -> None:
    evictions = Evictions()
    for number in range(1000):
        evictions.note("host1", "10.0.0.1", "10.0.0.2", float(number))
    assert len(evictions.of_host["host1"]) == SOURCES_MAX
