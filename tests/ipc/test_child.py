"""A child is named, heard and reaped; inherits what it is told; stops when asked; dies with its parent."""

import gc
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest

import ipc.child
from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.loop import Loop
from ipc.packets import PacketQueue
from tests.ipc.conftest import Nursery


def wait_readable(descriptor: int, timeout_s: float = 5) -> bool:
    return bool(select.select([descriptor], [], [], timeout_s)[0])


def until_stopped(life: Life) -> int:
    life.ready()
    while not life.stop_asked:
        time.sleep(0.002)
    return 7


def wait_ready(child: Child) -> None:
    assert wait_readable(child.ready_fd)
    assert child.is_ready


# Its end


@pytest.mark.parametrize("status", [*Exit, 0, 77])
def test_what_main_returns_is_the_exit_status(nursery: Nursery, status: int) -> None:
    assert nursery.fork(lambda _: status).wait(5) == status


def test_what_escapes_is_printed_and_is_a_failure(nursery: Nursery, capfd: pytest.CaptureFixture[str]) -> None:
    def main(_: Life) -> int:
        raise ZeroDivisionError("planted")

    assert nursery.fork(main, title="nsu: test of last words").wait(5) == Exit.FAILED
    printed = capfd.readouterr().err
    assert "nsu: test of last words: Traceback" in printed
    assert "ZeroDivisionError: planted" in printed


@pytest.mark.parametrize(("code", "status"), [(3, 3), ("a sentence", Exit.FAILED)])
def test_sys_exit_is_an_exit_status_too(nursery: Nursery, code: int | str, status: int) -> None:
    def main(_: Life) -> int:
        sys.exit(code)

    assert nursery.fork(main).wait(5) == status


def test_poll_tells_life_and_death_again_and_again(nursery: Nursery) -> None:
    child = nursery.fork(until_stopped)
    assert child.poll() is None
    assert child.wait(0.01) is None
    child.signal(signal.SIGKILL)
    assert child.wait(5) == -signal.SIGKILL
    assert child.poll() == child.status == -signal.SIGKILL


def test_a_reaped_child_is_sent_no_signal(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    child = nursery.fork(lambda _: 0)
    child.wait(5)
    monkeypatch.setattr(os, "kill", lambda *_: pytest.fail("its pid may be another's"))
    child.signal(signal.SIGKILL)
    assert child.kill_and_reap() == 0


def test_kill_and_reap_leaves_no_process(nursery: Nursery) -> None:
    child = nursery.fork(until_stopped)
    assert child.kill_and_reap() == -signal.SIGKILL
    assert not psutil.pid_exists(child.pid)


def test_a_child_is_reaped_though_its_parent_was_started_to_ignore_children(nursery: Nursery) -> None:
    def main(_: Life) -> int:
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        hearts = CounterTable(1, HEART_NAMES)
        child = fork_child("grandchild", lambda _: 5, hearts=hearts, heart_row=0)
        return child.wait(5) or 0

    assert nursery.fork(main).wait(5) == 5


# What it says


def test_ready_is_told_once_and_its_pipe_ends_with_it(nursery: Nursery) -> None:
    ready, wait = PacketQueue(1), PacketQueue(1)

    def main(life: Life) -> int:
        wait.get()
        life.ready()
        wait.get()
        return 0

    with closing(ready), closing(wait):
        child = nursery.fork(main, keep=wait.descriptors())
        before = child.is_ready
        wait.put(b"x")
        assert wait_readable(child.ready_fd)
        assert (before, child.is_ready) == (False, True)
        assert not wait_readable(child.ready_fd, 0.01), "ready is said once"
        wait.put(b"x")
        assert wait_readable(child.ready_fd), "its death is told by the same pipe"
        child.wait(5)
        assert child.is_ready


def test_who_dies_before_it_is_ready_was_never_ready(nursery: Nursery) -> None:
    child = nursery.fork(lambda _: 1)
    assert wait_readable(child.ready_fd)
    assert not child.is_ready
    child.wait(5)
    assert not child.is_ready


def test_who_says_ready_and_dies_at_once_was_ready(nursery: Nursery) -> None:
    def main(life: Life) -> int:
        life.ready()
        return 0

    child = nursery.fork(main)
    child.wait(5)
    assert child.is_ready
    child.close()
    child.close()
    assert child.is_ready
    assert child.ready_fd == -1


def test_silence_is_counted_from_the_fork_then_from_the_last_beat(nursery: Nursery) -> None:
    queue = PacketQueue(1)

    def main(life: Life) -> int:
        life.beat()
        queue.put(b"x")
        time.sleep(60)
        return 0

    nursery.hearts.row(0).set("beat_ns", 2**63)  # what a predecessor in the row has left
    with closing(queue):
        child = nursery.fork(main, keep=queue.descriptors())
        assert child.last_beat_s == pytest.approx(child.started_s, abs=0.5)
        queue.get()
        assert child.started_s - 0.5 < child.last_beat_s <= time.monotonic()
        beat_s = child.last_beat_s
        assert child.silent_s(beat_s + 12) == pytest.approx(12)
        time.sleep(0.01)
        assert child.last_beat_s == beat_s, "it beats no more"


def test_people_find_it_by_its_title(nursery: Nursery) -> None:
    child = nursery.fork(until_stopped, title="nsu: agent box1 10.1.1.1:10002 #3")
    wait_ready(child)
    assert "nsu: agent box1 10.1.1.1:10002 #3" in " ".join(psutil.Process(child.pid).cmdline())


# What it inherits


def test_it_has_the_descriptors_it_is_told_and_no_other(nursery: Nursery) -> None:
    kept, left, loop, report = PacketQueue(1), socket.socketpair(), Loop(), PacketQueue(4096)
    loop.on_signal(signal.SIGUSR1, loop.stop)
    keep = {*kept.descriptors(), *report.descriptors()}

    def main(_: Life) -> int:
        mine = [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
        report.put(" ".join(mine).encode().ljust(4096))
        return 0

    with closing(kept), closing(loop), closing(report), left[0], left[1]:
        child = nursery.fork(main, keep=keep)
        mine = {int(name) for name in report.get().split()}
        assert child.wait(5) == 0
    assert mine >= {0, 1, 2} | keep
    assert len(mine - {0, 1, 2} - keep) == 1, "its own ready pipe, and nothing else"


class SocketsInACycle:
    """Closed only when the garbage collector comes."""

    def __init__(self) -> None:
        self.me = self
        self.sockets = socket.socketpair()


def test_garbage_of_the_parent_closes_nothing_in_the_child(nursery: Nursery) -> None:
    """Sockets that are garbage at the fork: collected in the child, they would close their namesakes."""

    def parent(_: Life) -> int:
        gc.disable()
        SocketsInACycle()
        hearts = CounterTable(1, HEART_NAMES)
        return fork_child("grandchild", main, hearts=hearts, heart_row=0).wait(5) or 0

    def main(_: Life) -> int:
        pipes = [os.pipe() for _ in range(8)]
        gc.collect()
        return sum(not os.path.exists(f"/proc/self/fd/{end}") for ends in pipes for end in ends)

    assert nursery.fork(parent).wait(5) == 0


def test_nothing_is_printed_twice_and_nothing_is_lost(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "out"
    parent_stdout = sys.stdout

    def run(_: Life) -> int:
        with path.open("w") as file:
            os.dup2(file.fileno(), 1)
        sys.stdout = open(1, "w", buffering=65536, closefd=False)  # noqa: SIM115 it is never closed
        print("parent, before")

        def main(_: Life) -> int:
            print("child")
            return 0

        fork_child("grandchild", main, hearts=CounterTable(1, HEART_NAMES), heart_row=0).wait(5)
        print("parent, after")
        return 0

    assert nursery.fork(run).wait(5) == 0
    assert sys.stdout is parent_stdout
    assert path.read_text().splitlines() == ["parent, before", "child", "parent, after"]


def test_it_prints_to_1_and_2_wherever_its_parent_prints(
    nursery: Nursery, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "elsewhere").open("w") as elsewhere:
        monkeypatch.setattr(sys, "stdout", elsewhere)

        def main(_: Life) -> int:
            ends = [end for _ in range(8) for end in socket.socketpair()]  # one has `elsewhere`'s number now
            print("said")
            sys.stdout.flush()
            return len(select.select(ends, [], [], 0)[0])

        assert nursery.fork(main).wait(5) == 0
    assert capfd.readouterr().out == "said\n"


def test_a_stream_of_the_parent_is_never_finalized_in_the_child(nursery: Nursery, tmp_path: Path) -> None:
    """Its descriptor is closed: the finalizer would close what has the number by then."""

    def parent(_: Life) -> int:
        streams = [(tmp_path / "out").open("w")]
        sys.stdout = streams[0]

        def main(_: Life) -> int:
            pipes = [os.pipe() for _ in range(8)]
            streams.clear()
            return sum(not os.path.exists(f"/proc/self/fd/{end}") for ends in pipes for end in ends)

        hearts = CounterTable(1, HEART_NAMES)
        return fork_child("grandchild", main, hearts=hearts, heart_row=0).wait(5) or 0

    assert nursery.fork(parent).wait(5) == 0


# Signals


def test_sigterm_asks_it_to_stop(nursery: Nursery) -> None:
    child = nursery.fork(until_stopped)
    wait_ready(child)
    child.signal(signal.SIGTERM)
    assert child.wait(5) == 7


def test_sigterm_calls_on_stop_which_can_stop_a_loop(nursery: Nursery) -> None:
    def main(life: Life) -> int:
        loop = Loop()
        life.on_stop = loop.stop
        life.ready()
        loop.run()
        return 8 if life.stop_asked else 9

    child = nursery.fork(main)
    wait_ready(child)
    child.signal(signal.SIGTERM)
    assert child.wait(5) == 8


def test_sigterm_before_on_stop_is_set_is_not_lost(nursery: Nursery) -> None:
    def main(life: Life) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        calls: list[int] = []
        life.on_stop = lambda: calls.append(1)
        return 8 if calls == [1] else 9

    assert nursery.fork(main).wait(5) == 8


def test_a_signal_for_a_child_never_reaches_its_parent(nursery: Nursery) -> None:
    """Sent in the first moment after the fork, when the parent's handlers and pipe are still the child's."""
    loop = Loop()
    told: list[int] = []
    loop.on_signal(signal.SIGTERM, lambda: told.append(1))
    for _ in range(40):
        child = nursery.fork(until_stopped)
        child.signal(signal.SIGTERM)
        assert child.wait(5) == 7, "nor is it lost"
        child.close()
    loop.call_later(0, loop.stop)
    loop.run()
    loop.close()
    assert told == []


def test_a_signal_is_not_written_to_what_has_the_number_of_the_parents_pipe(nursery: Nursery) -> None:
    loop = Loop()
    loop.on_signal(signal.SIGUSR1, loop.stop)

    def main(_: Life) -> int:
        ends = [end for _ in range(16) for end in socket.socketpair()]
        os.kill(os.getpid(), signal.SIGTERM)
        return len(select.select(ends, [], [], 0)[0])

    assert nursery.fork(main).wait(5) == 0
    loop.close()


def test_other_signals_are_as_a_new_process_has_them(nursery: Nursery) -> None:
    loop = Loop()
    loop.on_signal(signal.SIGHUP, loop.stop)
    loop.on_signal(signal.SIGUSR1, loop.stop)

    def main(_: Life) -> int:
        at_default = all(
            signal.getsignal(number) == signal.SIG_DFL
            for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGCHLD, signal.SIGALRM)
        )
        ignored = all(signal.getsignal(number) == signal.SIG_IGN for number in (signal.SIGINT, signal.SIGPIPE))
        return 0 if at_default and ignored and not signal.pthread_sigmask(signal.SIG_BLOCK, []) else 1

    assert nursery.fork(main).wait(5) == 0
    loop.close()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set(), "the parent's mask is what it was"


# Its parent's death


def test_kill_9_of_the_parent_takes_the_whole_tree(nursery: Nursery) -> None:
    pids = PacketQueue(4)

    def parent(depth: int) -> Callable[[Life], int]:
        def main(life: Life) -> int:
            hearts = CounterTable(2, HEART_NAMES)
            if depth:
                for row in range(2):
                    fork_child("below", parent(depth - 1), hearts=hearts, heart_row=row, keep=pids.descriptors())
            pids.put(os.getpid().to_bytes(4, "little"))
            time.sleep(60)
            return 0

        return main

    with closing(pids):
        top = nursery.fork(parent(2), keep=pids.descriptors())
        tree = {int.from_bytes(pids.get(), "little") for _ in range(7)}
        ends = [os.pidfd_open(pid) for pid in tree - {top.pid}]
        assert len(ends) == 6
        os.kill(top.pid, signal.SIGKILL)
        for end in ends:
            assert wait_readable(end), "a process outlived its parent"
            os.close(end)


def test_a_parent_that_dies_during_the_fork_takes_the_child_before_its_main(
    nursery: Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = os.pipe()
    orphaned_from = [0]
    reset_signals = ipc.child._reset_signals

    def wait_for_orphanhood(life: Life) -> None:
        while orphaned_from[0] and os.getppid() == orphaned_from[0]:
            time.sleep(0.001)
        reset_signals(life)

    monkeypatch.setattr(ipc.child, "_reset_signals", wait_for_orphanhood)

    def fork_and_die(_: Life) -> int:
        orphaned_from[0] = os.getpid()

        def main(_: Life) -> int:
            os.write(writer, b"its main ran")
            return 0

        fork_child("late", main, hearts=CounterTable(1, HEART_NAMES), heart_row=0, keep=[writer])
        return 0

    nursery.fork(fork_and_die, keep=[writer])
    os.close(writer)
    assert wait_readable(reader)
    assert os.read(reader, 100) == b"", "the pipe ended, and nothing was said"
    os.close(reader)


def test_a_fork_that_is_refused_leaves_nothing_behind(nursery: Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise BlockingIOError("no process is left")

    before = os.listdir("/proc/self/fd")
    monkeypatch.setattr(os, "fork", refuse)
    with pytest.raises(BlockingIOError):
        nursery.fork(until_stopped)
    assert os.listdir("/proc/self/fd") == before
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
