"""Proves on real processes which silent children are of no more use, and which are only waiting, or short of time."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.watch import Doing, Watch, doing_of

DEADLINE_S = 10.0


def at_work(life: Life) -> int:
    while not life.stop_asked:
        life.beat()
        time.sleep(0.02)
    return Exit.OK


def turning_in_a_circle(_life: Life) -> int:
    while True:
        pass


def in_a_system_call(_life: Life) -> int:
    """As one that waits for a drive."""
    reader, _writer = os.pipe()
    os.read(reader, 1)
    return Exit.OK


class Nursery:
    """Children, and a watch with short times."""

    def __init__(self) -> None:
        self.hearts = CounterTable(8, HEART_NAMES)
        self.children: list[Child] = []
        self.watch = self.new_watch()

    def new_watch(self, patience_s: float | None = None, doing: Callable[[int], Doing | None] | None = None) -> Watch:
        return Watch(
            look_every_s=0.05, missed_s=0.15, stopped_s=0.25, spinning_s=0.2, patience_s=patience_s, doing=doing
        )

    def fork(self, main: Callable[[Life], int]) -> Child:
        child = fork_child("nsu test: child", main, hearts=self.hearts, heart_row=len(self.children))
        self.children.append(child)
        return child

    def look(self, seconds: float, watch: Watch | None = None, *, until_found: bool = False) -> list[tuple[Child, str]]:
        """Look for so long; give what was found."""
        found: list[tuple[Child, str]] = []
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s and not (until_found and found):
            found += (watch or self.watch).useless(self.children)
            time.sleep(0.05)
        return found

    def close(self) -> None:
        for child in self.children:
            child.kill_and_reap()
            child.close()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    yield nursery
    nursery.close()


def test_who_beats_is_left_alone(nursery: Nursery) -> None:
    nursery.fork(at_work)
    assert nursery.look(0.5) == []


def test_a_stopped_one_is_found_and_told_of_once(nursery: Nursery) -> None:
    child = nursery.fork(at_work)
    nursery.look(0.1)
    os.kill(child.pid, signal.SIGSTOP)
    ((found, why),) = nursery.look(0.6)
    assert found is child
    assert "was stopped" in why


def test_one_that_goes_on_in_time_is_left_alone(nursery: Nursery) -> None:
    child = nursery.fork(at_work)
    for _ in range(3):
        os.kill(child.pid, signal.SIGSTOP)
        assert nursery.look(0.1) == []
        os.kill(child.pid, signal.SIGCONT)
        assert nursery.look(0.1) == []


def test_one_that_turns_in_a_circle_is_found(nursery: Nursery) -> None:
    child = nursery.fork(turning_in_a_circle)
    ((found, why),) = nursery.look(DEADLINE_S, until_found=True)
    assert found is child
    assert "turned in a circle" in why


def test_one_that_waits_in_a_system_call_may_take_its_time(nursery: Nursery) -> None:
    nursery.fork(in_a_system_call)
    assert nursery.look(0.8) == []


def test_unless_there_is_an_end_to_patience(nursery: Nursery) -> None:
    child = nursery.fork(in_a_system_call)
    ((found, why),) = nursery.look(DEADLINE_S, nursery.new_watch(0.5), until_found=True)
    assert found is child
    assert "was silent" in why


def test_one_that_could_run_and_gets_no_time_is_left_alone(nursery: Nursery) -> None:
    """The machine is busy: killing those that wait for a processor would not make it less so."""
    nursery.fork(in_a_system_call)  # who it is does not matter: the kernel is made to say that it could run
    assert nursery.look(0.8, nursery.new_watch(doing=lambda _pid: Doing("R", 1.0))) == []


def test_what_was_used_before_the_last_beat_does_not_count(nursery: Nursery) -> None:
    """It missed a beat once, worked hard and beat for an hour, and waits now for a drive."""
    nursery.fork(in_a_system_call)
    used_s = 1.0
    watch = nursery.new_watch(doing=lambda _pid: Doing("S", used_s))
    assert nursery.look(0.3, watch) == []
    nursery.hearts.row(0).set(HEART_NAMES[0], time.monotonic_ns())
    assert watch.useless(nursery.children) == []
    used_s = 3601.0
    assert nursery.look(0.3, watch) == []


def test_who_was_away_himself_judges_nobody(nursery: Nursery) -> None:
    """The child is stopped for as long as we sleep, which may be both the machine's sleep."""
    child = nursery.fork(at_work)
    nursery.look(0.1)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(0.5)
    assert nursery.watch.useless(nursery.children) == []
    os.kill(child.pid, signal.SIGCONT)
    assert nursery.look(0.3) == []


def test_what_the_kernel_says() -> None:
    mine = doing_of(os.getpid())
    assert mine is not None
    assert mine.state == "R"
    assert mine.user_s > 0
    assert doing_of(2**22 + 1) is None
