"""Proves that a watcher asks no more than it must, remembers rates, tells events, and lives through silence."""

import threading
from typing import Any

import pytest

from ipc.control import ControlError
from nsu.alarms import Alarm
from nsu.web.watcher import Watcher
from tests.nsu.found import found


class Machine:
    def __init__(self) -> None:
        self.asked = 0
        self.reads = 0
        self.is_silent = False

    def gather(self) -> dict[str, Any]:
        self.asked += 1
        if self.is_silent:
            raise ControlError("nobody answers")
        told = found()
        told["server"]["hosts"][0]["totals"]["reads"] = self.reads
        return told


def test_answers_are_kept_as_long_as_they_may_be_old() -> None:
    machine = Machine()
    watcher = Watcher(machine.gather, lambda _: None)
    assert watcher.newest_rates() == {}
    assert watcher.found() is watcher.found()
    assert machine.asked == 1
    watcher.found(max_age_s=0)
    assert machine.asked == 2


def test_after_a_change_nobody_is_told_of_before() -> None:
    machine = Machine()
    watcher = Watcher(machine.gather, lambda _: None)
    watcher.found()
    watcher.outdate()
    watcher.found()
    watcher.found()
    assert machine.asked == 2


def test_rates_are_remembered() -> None:
    machine = Machine()
    watcher = Watcher(machine.gather, lambda _: None)
    watcher.found(0)
    machine.reads = 1000
    watcher.found(0)
    assert watcher.newest_rates()["host:host1"].operations_s > 1000
    assert len(watcher.points) == 1


def test_events_are_told_once() -> None:
    told: list[Alarm] = []
    machine = Machine()
    watcher = Watcher(machine.gather, told.append)
    watcher.found(0)
    first = watcher.found(0)
    first["server"]["sessions"] = []
    watcher.found(0)
    watcher.found(0)
    assert [event.about for event in told] == ["session host1 0x7"]


def test_silence_is_no_error_of_the_watch_but_of_who_asks() -> None:
    machine = Machine()
    machine.is_silent = True
    watcher = Watcher(machine.gather, lambda _: None)
    watcher.look()
    with pytest.raises(ControlError):
        watcher.found()
    machine.is_silent = False
    assert watcher.found()["server"]


def test_many_who_ask_at_once_cost_one_look() -> None:
    machine = Machine()
    watcher = Watcher(machine.gather, lambda _: None)
    threads = [threading.Thread(target=watcher.found) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert machine.asked == 1
