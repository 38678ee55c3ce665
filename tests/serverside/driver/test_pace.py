"""Proved: an array's own work fills pauses, has a fifth of the time beside users, and always goes on."""

import pytest

from serverside.driver.pace import QUIET_S, REST_LEAST_S, Pace


def test_without_users_step_follows_step() -> None:
    pace = Pace()
    assert pace.wait_s(0.0) == 0
    pace.tended(0.0, 3.0)
    assert pace.wait_s(3.0) == 0


def test_a_gap_between_two_requests_is_no_pause() -> None:
    pace = Pace()
    pace.tended(9.9, 10.0)
    pace.used(10.01)
    assert pace.wait_s(10.01) == pytest.approx(QUIET_S)
    assert pace.wait_s(10.01 + QUIET_S) == 0


def served(step_s: float, for_s: float, *, every_s: float) -> tuple[float, int]:
    """Live beside users who ask again and again; give the share of time the work had, and its steps."""
    pace, now_s, worked_s, steps = Pace(), 0.0, 0.0, 0
    while now_s < for_s:
        pace.used(now_s)
        if pace.wait_s(now_s) == 0:
            pace.tended(now_s, now_s + step_s)
            now_s, worked_s, steps = now_s + step_s, worked_s + step_s, steps + 1
        else:
            now_s += every_s
    return worked_s / now_s, steps


@pytest.mark.parametrize("step_s", [0.001, 0.01, 0.1, 2.0])
@pytest.mark.parametrize("every_s", [0.0001, 0.005])
def test_beside_users_it_has_a_fifth_at_most_and_goes_on(step_s: float, every_s: float) -> None:
    share, steps = served(step_s, 60, every_s=every_s)
    assert share <= 0.21
    assert steps >= 60 / (5.2 * step_s + 2 * REST_LEAST_S)
