"""Proves that what processes count becomes the load of the last second, whoever was started anew meanwhile."""

from hostside.load_meter import REQUEST_COST_BYTES, LoadMeter
from tests.hostside.agent_rig import make_wiring


def test_what_was_moved_in_the_time_between_two_looks() -> None:
    wiring = make_wiring(disks=1, paths=3)
    wiring.counters.row(0).set("read_bytes", 10**9)
    meter = LoadMeter(wiring)
    meter.look(100.0, [0], [0, 1])
    wiring.counters.row(0).add("read_bytes", 3000)
    wiring.counters.row(1).add("written_bytes", 5000)
    wiring.counters.row(2).add("requests", 2)
    load = meter.look(102.0, [0], [0, 1])
    assert load.bytes_per_s == (8000 + 2 * REQUEST_COST_BYTES) / 2, "of all paths, those too that have gone since"


def test_the_first_look_sees_no_load() -> None:
    wiring = make_wiring()
    wiring.counters.row(0).set("read_bytes", 10**9)
    wiring.loads.row(0).set("waited_ms", 10**6)
    load = LoadMeter(wiring).look(100.0, [0], [0])
    assert not load.is_full
    assert load.bytes_per_s < 10


def test_full_is_when_a_disk_waited_for_half_of_the_time_or_all_paths_together() -> None:
    wiring = make_wiring(disks=2, paths=2)
    meter = LoadMeter(wiring)
    meter.look(0.0, [0, 1], [0, 1])
    wiring.loads.row(1).set("waited_ms", 499)
    assert not meter.look(1.0, [0, 1], [0, 1]).is_full
    wiring.loads.row(1).set("waited_ms", 999)
    assert meter.look(2.0, [0, 1], [0, 1]).is_full
    wiring.counters.row(0).set("waited_ms", 900)
    assert not meter.look(3.0, [0, 1], [0, 1]).is_full, "the other path had room"
    wiring.counters.row(0).set("waited_ms", 1500)
    wiring.counters.row(1).set("waited_ms", 500)
    assert meter.look(4.0, [0, 1], [0, 1]).is_full


def test_a_process_that_was_started_anew_counts_from_0() -> None:
    wiring = make_wiring()
    meter = LoadMeter(wiring)
    wiring.loads.row(0).set("waited_ms", 10_000)
    meter.look(0.0, [0], [0])
    wiring.loads.row(0).set("waited_ms", 3)
    assert not meter.look(1.0, [0], [0]).is_full
    assert not meter.look(2.0, [], []).is_full
    wiring.loads.row(0).set("waited_ms", 9999)
    assert not meter.look(3.0, [0], [0]).is_full, "it was not there at the last look"


def test_only_those_that_are_there_count() -> None:
    """What a dead process has left in its row says nothing of now."""
    wiring = make_wiring(disks=3, paths=3)
    for number, round_trip_us in enumerate((0, 70, 30)):
        wiring.counters.row(number).set("round_trip_us", round_trip_us)
        wiring.loads.row(number).set("in_flight_most", 10 + number)
    load = LoadMeter(wiring).look(0.0, [0, 1], [0, 1])
    assert (load.in_flight_most, load.round_trip_s) == (21, 70e-6), "0 is a path that does not know it yet"
    assert LoadMeter(wiring).look(0.0, [], []).round_trip_s == 0.0
