"""Proves: one thing at a time joins the others' processor, more than one leaves it at once, and so does a long wait."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

import ipc.together
from ipc.together import ALONE_TURNS, LOOK_TURNS, SHY_TURNS, Together, here, waits

CPUS = sorted(os.sched_getaffinity(0))
FEW = pytest.mark.skipif(len(CPUS) < 2, reason="this machine has one processor: there is nothing to choose")


@pytest.fixture(autouse=True)
def _roam_again() -> Iterator[None]:
    yield
    os.sched_setaffinity(0, CPUS)


def turns(together: Together, count: int, things: int = 1) -> None:
    for _ in range(count):
        together.turn(things)


@FEW
def test_who_does_one_thing_at_a_time_joins_the_others() -> None:
    together = Together(lambda: CPUS[-1])
    turns(together, ALONE_TURNS - 1)
    assert os.sched_getaffinity(0) == set(CPUS)
    turns(together, 1)
    assert os.sched_getaffinity(0) == {CPUS[-1]}
    assert here() == together.at == CPUS[-1]


@FEW
@pytest.mark.parametrize("leave", [lambda together: together.turn(2), lambda together: together.roam()])
def test_more_than_one_thing_and_it_roams(leave: Callable[[Together], None]) -> None:
    together = Together(lambda: CPUS[0])
    turns(together, ALONE_TURNS)
    leave(together)
    assert os.sched_getaffinity(0) == set(CPUS)
    assert together.at < 0


def test_two_things_now_and_then_keep_it_roaming() -> None:
    together = Together(lambda: CPUS[0])
    for _ in range(10):
        turns(together, ALONE_TURNS - 1)
        turns(together, 1, 2)
    assert together.at < 0


@FEW
def test_it_follows_and_leaves_when_nobody_is_there() -> None:
    where = [CPUS[0]]
    together = Together(lambda: where[0])
    turns(together, ALONE_TURNS)
    where[0] = CPUS[1]
    turns(together, LOOK_TURNS)
    assert os.sched_getaffinity(0) == {CPUS[1]}
    where[0] = -1
    turns(together, LOOK_TURNS)
    assert os.sched_getaffinity(0) == set(CPUS)


def test_a_processor_that_is_not_ours_is_not_joined() -> None:
    together = Together(lambda: 1_000_000)
    turns(together, ALONE_TURNS)
    assert os.sched_getaffinity(0) == set(CPUS)
    assert together.at < 0


@FEW
def test_who_waits_long_for_the_processor_leaves_it_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = [0, 0]
    monkeypatch.setattr(ipc.together, "waits", lambda: tuple(waited))
    together = Together(lambda: CPUS[0])
    turns(together, ALONE_TURNS)
    waited[:] = [LOOK_TURNS * 100_000, LOOK_TURNS]  # 100 us each time: that is company
    turns(together, LOOK_TURNS)
    assert together.at == CPUS[0]
    waited[:] = [LOOK_TURNS * 300_000, 2 * LOOK_TURNS]
    turns(together, LOOK_TURNS)
    assert together.at < 0
    turns(together, SHY_TURNS - 1)
    assert together.at < 0
    turns(together, 1)
    assert together.at == CPUS[0]


def test_the_kernel_tells_how_long_one_has_waited() -> None:
    """Beside somebody who never rests, on one processor."""
    os.sched_setaffinity(0, {CPUS[0]})
    before_ns, before = waits()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:  # it inherits the processor
        try:
            end_s = time.process_time() + 0.1
            while time.process_time() < end_s:
                pass
        finally:
            busy.kill()
    waited_ns, slices = waits()
    assert waited_ns - before_ns > 10_000_000
    assert slices > before


@FEW
def test_what_somebody_else_has_said_stays() -> None:
    """An administrator binds the process while it is with others, and lets it go while it roams."""
    together = Together(lambda: CPUS[0])
    turns(together, ALONE_TURNS)
    os.sched_setaffinity(0, {CPUS[1]})
    together.turn(2)
    assert os.sched_getaffinity(0) == {CPUS[1]}
    turns(together, 2 * LOOK_TURNS)
    assert os.sched_getaffinity(0) == {CPUS[1]}
    os.sched_setaffinity(0, CPUS)
    turns(together, 2 * LOOK_TURNS)
    together.turn(2)
    assert os.sched_getaffinity(0) == set(CPUS)
