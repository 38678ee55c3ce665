"""The loop tells every event in order and to whom it concerns; signals are only enqueued; nothing is left."""

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from ipc.child import Life
from ipc.loop import Loop
from tests.ipc.conftest import Nursery


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    left.setblocking(False)
    right.setblocking(False)
    with left, right:
        yield left, right


T = TypeVar("T")
Pair = tuple[socket.socket, socket.socket]


def each(*callbacks: Callable[[], object]) -> Callable[[], None]:
    """Call one after the other."""

    def call() -> None:
        for callback in callbacks:
            callback()

    return call


def note(into: list[T], what: T) -> Callable[[], None]:
    """Append it when called."""
    return lambda: into.append(what)


def run_for(loop: Loop, seconds: float) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run()


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


# Descriptors


def test_readable_is_told_until_it_is_read(loop: Loop, pair: Pair) -> None:
    left, right = pair
    heard: list[bytes] = []

    def read_one() -> None:
        heard.append(left.recv(1))
        if len(heard) == 3:
            loop.stop()

    loop.watch(left, on_readable=read_one)
    right.send(b"abc")
    loop.run()
    assert heard == [b"a", b"b", b"c"]


def test_a_watch_replaces_the_former_one(loop: Loop, pair: Pair) -> None:
    left, right = pair
    told: list[str] = []
    loop.watch(left, on_readable=note(told, "old"), on_writable=note(told, "old"))
    loop.watch(left, on_readable=each(note(told, "new"), loop.stop))
    right.send(b"x")
    loop.run()
    assert told == ["new"]


def test_both_directions_of_one_descriptor(loop: Loop, pair: Pair) -> None:
    left, right = pair
    told: list[str] = []
    loop.watch(left, on_readable=note(told, "r"), on_writable=each(note(told, "w"), loop.stop))
    right.send(b"x")
    loop.run()
    assert told == ["r", "w"]


def test_the_end_of_a_peer_is_told_as_readable(loop: Loop, pair: Pair) -> None:
    left, right = pair
    loop.watch(left, on_readable=loop.stop)
    right.close()
    loop.run()
    assert left.recv(1) == b""


def test_the_end_of_a_writer_is_told_who_reads(loop: Loop) -> None:
    reader, writer = os.pipe()
    loop.watch(reader, on_readable=loop.stop)
    os.close(writer)  # epoll says EPOLLHUP alone
    loop.run()
    loop.forget(reader)
    os.close(reader)


def test_who_forgets_when_it_reads_is_not_told_that_it_can_write(loop: Loop, pair: Pair) -> None:
    left, right = pair
    right.send(b"x")
    loop.watch(left, on_readable=lambda: loop.forget(left), on_writable=lambda: pytest.fail("it was forgotten"))
    run_for(loop, 0.005)


def test_the_end_of_a_reader_is_told_to_who_only_writes(loop: Loop) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, bytes(4096))
    except BlockingIOError:
        pass
    loop.watch(writer, on_writable=loop.stop)
    os.close(reader)
    loop.run()
    loop.forget(writer)
    os.close(writer)


@pytest.mark.parametrize("how", ["forget", "watch nothing"])
def test_what_is_forgotten_is_not_told(loop: Loop, pair: Pair, how: str) -> None:
    left, right = pair
    loop.watch(left, on_readable=lambda: pytest.fail("it was forgotten"))
    if how == "forget":
        loop.forget(left)
        loop.forget(left)
    else:
        loop.watch(left)
    right.send(b"x")
    run_for(loop, 0.01)


def test_a_closed_object_can_still_be_forgotten(loop: Loop, pair: Pair) -> None:
    left, _ = pair
    loop.watch(left, on_readable=lambda: pytest.fail("it is closed"))
    left.close()
    loop.forget(left)
    assert len(loop._watches) == 1, "only the loop's own pipe is left"


def test_a_callback_can_forget_who_is_ready_in_the_same_turn(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    told: list[int] = []

    def forget_both(index: int) -> Callable[[], None]:
        def callback() -> None:
            told.append(index)
            for left, _ in pairs:
                loop.forget(left)

        return callback

    for index, (left, right) in enumerate(pairs):
        loop.watch(left, on_readable=forget_both(index))
        right.send(b"x")
    run_for(loop, 0.01)
    assert len(told) == 1
    for sockets in pairs:
        for end in sockets:
            end.close()


def test_an_event_of_a_closed_descriptor_is_not_told_to_its_namesake(loop: Loop) -> None:
    """Both are ready in one turn; the first told closes the other, and a silent pipe gets its number."""
    first, other = os.pipe(), os.pipe()
    replaced: list[tuple[int, int]] = []

    def replace(mine: tuple[int, int], victim: tuple[int, int]) -> Callable[[], None]:
        def callback() -> None:
            loop.forget(mine[0])
            loop.forget(victim[0])
            os.close(victim[0])
            replaced.append(os.pipe())
            assert replaced[0][0] == victim[0], "the number did come back"
            loop.watch(replaced[0][0], on_readable=lambda: pytest.fail("that was for the closed one"))

        return callback

    loop.watch(first[0], on_readable=replace(first, other))
    loop.watch(other[0], on_readable=replace(other, first))
    os.write(first[1], b"x")
    os.write(other[1], b"x")
    run_for(loop, 0.01)
    loop.forget(replaced[0][0])
    for descriptor in {*first, *other, *replaced[0]}:
        os.close(descriptor)


def test_a_descriptor_closed_without_forget_does_not_spoil_its_namesake(loop: Loop) -> None:
    first = os.pipe()
    loop.watch(first[0], on_readable=lambda: pytest.fail("it is closed"))
    os.close(first[0])
    os.close(first[1])
    second = os.pipe()
    assert second[0] == first[0]
    loop.watch(second[0], on_readable=loop.stop)
    os.write(second[1], b"x")
    loop.run()
    loop.forget(second[0])
    for descriptor in second:
        os.close(descriptor)


def test_a_regular_file_is_refused_and_not_remembered(loop: Loop, tmp_path: os.PathLike[str]) -> None:
    with open(os.path.join(tmp_path, "file"), "w") as file:
        with pytest.raises(PermissionError):
            loop.watch(file, on_readable=loop.stop)
        with pytest.raises(PermissionError):
            loop.watch(file, on_readable=loop.stop)


# Timers


def test_timers_fire_in_the_order_of_their_times(loop: Loop) -> None:
    fired: list[int] = []
    start_s = loop.now() + 0.01
    numbers = list(range(40))
    random.Random(1).shuffle(numbers)
    for number in numbers:
        loop.call_at(start_s + number * 0.0005, note(fired, number))
    run_for(loop, 0.04)
    assert fired == list(range(40))


def test_a_timer_is_never_early_nor_much_too_late(loop: Loop) -> None:
    fired_s: list[float] = []
    due_s = loop.now() + 0.025
    loop.call_at(due_s, each(lambda: fired_s.append(loop.now()), loop.stop))
    loop.run()
    assert due_s <= fired_s[0] < due_s + 0.5


def test_a_time_in_the_past_is_due_at_once(loop: Loop) -> None:
    loop.call_at(loop.now() - 100, loop.stop)
    loop.run()


def test_a_cancelled_timer_is_not_called_and_cancelling_late_is_harmless(loop: Loop) -> None:
    timer = loop.call_later(0, lambda: pytest.fail("cancelled"))
    fired = loop.call_later(0.001, lambda: None)
    timer.cancel()
    timer.cancel()
    run_for(loop, 0.005)
    fired.cancel()
    assert loop._timers_cancelled == 0


def test_a_timer_can_cancel_another_of_the_same_turn(loop: Loop) -> None:
    now = loop.now()
    victim = loop.call_at(now - 1, lambda: pytest.fail("cancelled"))
    loop.call_at(now - 2, victim.cancel)
    run_for(loop, 0.005)


def test_timers_that_are_cancelled_take_no_memory(loop: Loop) -> None:
    keep = loop.call_later(3600, lambda: None)
    for _ in range(10_000):
        loop.call_later(3600, lambda: None).cancel()
    assert len(loop._timers) < 200
    assert not keep.is_cancelled
    assert any(entry[2] is keep for entry in loop._timers)


def test_a_timer_that_renews_itself_starves_nobody(pair: Pair) -> None:
    loop = Loop(clock=lambda: 7.0)  # time stands still: renewed, it is due at once
    left, right = pair
    right.send(b"x")

    def renew() -> None:
        loop.call_later(0, renew)

    renew()
    loop.watch(left, on_readable=loop.stop)
    loop.run()
    loop.close()


# Turns


def test_after_each_runs_once_a_turn_after_everything_and_before_the_first_sleep(loop: Loop) -> None:
    pairs = [socket.socketpair() for _ in range(3)]
    told: list[str] = []
    loop.after_each(note(told, "flush"))
    for left, right in pairs:
        loop.watch(left, on_readable=each(note(told, "read"), lambda left=left: left.recv(1)))  # type: ignore[misc]
        right.send(b"x")
    loop.call_at(0, note(told, "timer"))
    loop.enqueue(note(told, "enqueued"))
    loop.call_later(0.02, loop.stop)
    loop.run()
    assert told == ["flush", "read", "read", "read", "timer", "enqueued", "flush", "flush"]
    for sockets in pairs:
        for end in sockets:
            end.close()


def test_what_a_callback_raises_leaves_run(loop: Loop) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    loop.call_later(0, fail)
    with pytest.raises(ZeroDivisionError):
        loop.run()


def test_stop_before_run_is_not_lost_and_holds_once(loop: Loop) -> None:
    loop.stop()
    loop.run()
    told: list[int] = []
    loop.call_later(0.001, each(note(told, 1), loop.stop))
    loop.run()
    assert told == [1]


# Signals


def test_a_signal_is_acted_on_in_the_loop_not_in_its_handler(loop: Loop) -> None:
    told: list[str] = []
    loop.on_signal(signal.SIGUSR1, each(note(told, "callback"), loop.stop))

    def send() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.001)
        told.append("after the handler")

    loop.call_later(0, send)
    loop.run()
    assert told == ["after the handler", "callback"]


def test_a_signal_wakes_a_loop_that_sleeps(loop: Loop, nursery: Nursery) -> None:
    loop.on_signal(signal.SIGUSR1, loop.stop)
    parent_pid = os.getpid()

    def send(_: Life) -> int:
        time.sleep(0.02)
        os.kill(parent_pid, signal.SIGUSR1)
        return 0

    nursery.fork(send)
    loop.run()


def test_signals_are_told_by_number_and_a_burst_may_be_told_as_one(loop: Loop) -> None:
    told: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        loop.on_signal(number, note(told, number))
    for _ in range(5):
        os.kill(os.getpid(), signal.SIGUSR2)
        os.kill(os.getpid(), signal.SIGUSR1)
    run_for(loop, 0.005)
    assert sorted(told) == [signal.SIGUSR1, signal.SIGUSR2]


@pytest.mark.parametrize("how", ["stop", "enqueue"])
def test_a_handler_of_another_making_wakes_a_loop_that_sleeps(loop: Loop, how: str) -> None:
    """A loop sleeps on when a handler returns (PEP 475) unless it is woken."""

    def handle(_number: int, _frame: object) -> None:
        if how == "stop":
            loop.stop()
        else:
            loop.enqueue(loop.stop)

    former = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    loop.call_later(2, lambda: pytest.fail("it slept on"))
    try:
        loop.run()
    finally:
        signal.signal(signal.SIGALRM, former)


def test_close_gives_signals_and_descriptors_back() -> None:
    before, handler = open_descriptors(), signal.getsignal(signal.SIGUSR1)
    loop = Loop()
    loop.on_signal(signal.SIGUSR1, loop.stop)
    loop.on_signal(signal.SIGUSR1, loop.stop)
    assert signal.getsignal(signal.SIGUSR1) != handler
    loop.close()
    loop.close()
    assert signal.getsignal(signal.SIGUSR1) == handler
    assert open_descriptors() == before
    former = signal.set_wakeup_fd(-1)
    assert former == -1
