"""Proves that rates are differences over time, and that a counter that begins anew gives no wild ones."""

from nsu.rates import Rate, Totals, rates_of, totals_of
from nsu.rates_shown import Shown
from tests.nsu.found import drive, found, path

ZERO = Rate(0.0, 0.0, 0.0, None)


def test_a_rate_is_the_difference_over_the_time() -> None:
    before = {"host:a": Totals(100, 1000, 0, 0, 1)}
    after = {"host:a": Totals(300, 5000, 2000, 0, 1)}
    assert rates_of(before, after, 2.0) == {"host:a": Rate(100.0, 2000.0, 1000.0, None)}


def test_what_is_new_or_began_anew_did_nothing_yet() -> None:
    after = {"srw:a:0": Totals(300, 5000, 2000, 0, 2)}
    assert rates_of({}, after, 2.0) == {"srw:a:0": ZERO}
    assert rates_of({"srw:a:0": Totals(100, 0, 0, 0, 1)}, after, 2.0) == {"srw:a:0": ZERO}
    assert rates_of({"srw:a:0": Totals(400, 0, 0, 0, 2)}, after, 2.0) == {"srw:a:0": ZERO}
    assert rates_of(after, after, 0.0) == {"srw:a:0": ZERO}


def test_latency_is_the_mean_of_what_was_done_meanwhile() -> None:
    before, after = found(), found()
    before["server"]["arrays"][0]["drives"][0] = drive(0, operations=100, mean_us=10)
    after["server"]["arrays"][0]["drives"][0] = drive(0, operations=200, mean_us=30)
    rates = rates_of(totals_of(before), totals_of(after), 1.0)
    assert rates["drive:unit0:0"].latency_us == 50.0
    assert rates["drive:unit0:1"].latency_us is None


def test_a_path_has_its_latency_from_the_histogram() -> None:
    after = found()
    after["host"]["servers"][0]["paths"][0] = path(0, requests=10, read_bytes=40960, latency=[0, 0, 0, 0, 0, 10])
    rate = rates_of(totals_of(found()), totals_of(after), 1.0)["path:box2:0"]
    assert rate.operations_s == 10
    assert rate.latency_us is not None
    assert 16.384 <= rate.latency_us < 32.768


def test_everything_that_counts_has_a_key() -> None:
    assert set(totals_of(found())) == {
        "host:host1", "partition:host1:data", "partition:host1:logs", "srw:host1:0",
        "drive:unit0:0", "drive:unit0:1", "drive:unit0:2",
        "server:box2", "path:box2:0", "path:box2:1",
    }  # fmt: skip
    assert totals_of({"server": None, "host": None}) == {}


def test_people_see_rates_in_words() -> None:
    shown = Shown({"host:a": Rate(1234.0, 2048.0, 0.0, 1500.0), "drive:a:0": Rate(5.0, 0.0, 0.0, None)})
    assert [shown.operations("host:a"), shown.read("host:a"), shown.latency("host:a")] == [
        "1,234",
        "2 KiB/s",
        "1.50 ms",
    ]
    assert [shown.operations("drive:a:0"), shown.read("drive:a:0"), shown.latency("drive:a:0")] == ["5", "–", "–"]
    assert shown.written("host:nobody") == "–"
