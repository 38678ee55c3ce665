"""Proves that the times of both sides fit each other, and that a change of one that does not fit is found at once."""

import pytest

from protocol import timers
from protocol.timers import assert_that_they_fit, in_force


def test_they_fit() -> None:
    assert_that_they_fit()


@pytest.mark.parametrize(
    ("constant", "value"),
    [
        ("PING_EVERY_S", 0.4),
        ("PING_EVERY_S", 2.5),
        ("ANSWER_WITHIN_S", 4.0),
        ("UNANSWERED_MOST_S", 1.5),
        ("UNANSWERED_MOST_S", 4.0),
        ("ANSWER_MOST_S", 20.0),
        ("CONFIG_ANSWER_WITHIN_S", 3.0),
        ("CONFIG_ANSWER_WITHIN_S", 15.0),
        ("KEEPALIVE_IDLE_S", 5),
        ("KEEPALIVE_EVERY_S", 3),
        ("KEEPALIVE_PROBES", 9),
        ("USER_TIMEOUT_S", 3),
        ("USER_TIMEOUT_S", 30),
        ("CONNECT_WITHIN_S", 5.0),
        ("MISSED_AFTER_S", 1.0),
        ("STOPPED_MOST_S", 5.0),
        ("SPINNING_MOST_S", 4.0),
        ("CHILD_SILENT_MOST_S", 60.0),
        ("LOOK_EVERY_S", 1.0),
    ],
)
def test_one_that_does_not_fit_its_neighbours_is_found(
    monkeypatch: pytest.MonkeyPatch, constant: str, value: float
) -> None:
    monkeypatch.setattr(timers, constant, value)
    with pytest.raises(AssertionError):
        assert_that_they_fit()


def test_each_is_shown_with_its_source() -> None:
    (row,) = in_force(PING_EVERY_S="ping")
    assert row == {"name": "ping", "value_s": timers.PING_EVERY_S, "source": "protocol/timers.py PING_EVERY_S"}
