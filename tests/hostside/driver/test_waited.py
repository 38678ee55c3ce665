"""Proves that waiting is counted while it lasts, once, however often it is told."""

from hostside.driver.waited import Waited


def test_only_the_time_with_something_waiting_counts() -> None:
    waited = Waited()
    for at_s, waits in ((1.0, False), (2.0, True), (2.5, True), (4.0, False), (9.0, False), (10.0, True)):
        waited.note(waits, at_s)
        assert waited.is_running == waits
    assert waited.total_s == 2.0
    waited.note(True, 11.0)
    assert waited.total_s == 3.0, "it is seen while it lasts"
