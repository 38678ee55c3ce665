"""Proves when a network is believed to work: proved by a path that came up, tried rarely while it does not, trusted
later each time that it falls again.
"""

import pytest

from hostside.networks import (
    PATIENCE_S,
    REST_FIRST_S,
    REST_MOST_S,
    SHORT_LIFE_S,
    STEADY_FIRST_S,
    STEADY_MOST_S,
    STOOD_LONG_S,
    Network,
)
from ipc.backoff import Backoff
from protocol.records import DataPort


@pytest.fixture
def network() -> Network:
    backoff = Backoff(REST_FIRST_S, REST_MOST_S, random=lambda: 1.0)
    return Network(DataPort("10.1.1.1", 10002, 4), backoff, doubted_s=0.0, probe_at_s=0.0)


def falls(network: Network, now_s: float) -> None:
    """It was up, and is found to be away."""
    network.lost_one(SHORT_LIFE_S, now_s)
    network.failed(now_s)


def test_one_path_that_comes_up_is_the_proof(network: Network) -> None:
    assert network.in_doubt
    network.came_up(1.0)
    network.came_up(5.0)
    assert (network.in_doubt, network.proved_s) == (False, 1.0), "since the first one"


def test_its_share_is_kept_for_a_moment_only(network: Network) -> None:
    network.came_up(0.0)
    assert not network.is_hoped_for(10.0), "it works: there is no need to hope"
    network.lost_one(10.0, 10.0)
    network.failed(10.1)
    network.lost_one(10.0, 10.2)
    assert network.is_hoped_for(10.0 + PATIENCE_S - 0.01)
    assert not network.is_hoped_for(10.0 + PATIENCE_S), "counted from the first doubt"


def test_a_network_that_does_not_answer_is_tried_less_and_less_and_every_few_seconds_at_least(network: Network) -> None:
    rests, now_s = [], 0.0
    for _ in range(10):
        network.failed(now_s)
        rests.append(network.probe_at_s - now_s)
        now_s = network.probe_at_s
    assert rests == sorted(rests)
    assert rests[0] == pytest.approx(REST_FIRST_S)
    assert rests[-1] == pytest.approx(REST_MOST_S)


def test_a_long_life_is_tried_again_at_once_and_a_short_one_rests(network: Network) -> None:
    for now_s, rest_s in ((100.0, REST_FIRST_S), (200.0, 2 * REST_FIRST_S)):
        network.came_up(now_s)
        network.lost_one(SHORT_LIFE_S / 2, now_s)
        assert network.probe_at_s == pytest.approx(now_s + rest_s)
    network.came_up(300.0)
    network.lost_one(SHORT_LIFE_S, 300.0)
    assert network.probe_at_s == 300.0
    network.failed(300.0)
    assert network.probe_at_s == pytest.approx(300.0 + REST_FIRST_S), "a long life ends the row of failures"


def test_something_changed_is_a_reason_to_try_at_once(network: Network) -> None:
    for _ in range(8):
        network.failed(1.0)
    network.try_now(2.0)
    assert network.probe_at_s == 2.0
    network.failed(2.0)
    assert network.probe_at_s == pytest.approx(2.0 + REST_FIRST_S)
    network.came_up(3.0)
    network.try_now(4.0)
    assert not network.in_doubt


def test_it_is_steady_after_a_time_that_grows_each_time_that_it_falls_soon(network: Network) -> None:
    network.came_up(0.0)
    assert not network.is_steady(STEADY_FIRST_S - 0.01)
    assert network.is_steady(STEADY_FIRST_S)
    seen, now_s = [], 0.0
    for _ in range(8):
        falls(network, now_s + 2.0)
        network.failed(now_s + 2.1)
        now_s += 10.0
        network.came_up(now_s)
        seen.append(network.steady_s)
    assert seen == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    assert max(seen) == STEADY_MOST_S
    falls(network, now_s + STOOD_LONG_S)
    assert network.steady_s == STEADY_FIRST_S


def test_a_process_that_died_is_no_fall(network: Network) -> None:
    """A path was killed, and its successor came up at once."""
    for now_s in range(10, 100, 10):
        network.came_up(float(now_s))
        network.lost_one(9.0, now_s + 9.0)
    network.came_up(100.0)
    assert network.steady_s == STEADY_FIRST_S


def test_a_new_session_knows_nothing_and_hopes(network: Network) -> None:
    for _ in range(8):
        network.failed(1.0)
    network.begin(2.0)
    assert (network.in_doubt, network.probe_at_s, network.is_hoped_for(2.1)) == (True, 2.0, True)
    network.came_up(3.0)
    network.begin(4.0)
    assert (network.in_doubt, network.probe_at_s, network.is_hoped_for(4.1)) == (True, 4.0, True)


def test_it_says_when_its_answers_change(network: Network) -> None:
    """Else nobody would come and look."""
    network.failed(0.0)
    assert network.next_at(0.0) == network.probe_at_s
    assert network.next_at(network.probe_at_s) == PATIENCE_S
    assert network.next_at(PATIENCE_S) is None
    network.came_up(7.0)
    assert network.next_at(7.0) == 7.0 + network.steady_s
    assert network.next_at(7.0 + network.steady_s) is None
