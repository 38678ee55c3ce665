"""Proves that whoever waits for a burial is told once, when the last is gone, and not before."""

import time
from collections.abc import Iterator

import pytest

from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.loop import Loop
from protocol.ops import Op
from serverside.burials import Burials, Drain
from serverside.driver.channel import DriverChannel
from serverside.driver.packets import COMMAND_BYTES, MARK, Answer, Command
from serverside.sessions import Srw
from tests.serverside.rig import turn
from tests.serverside.test_sessions import proven_dialogue, session_of


def sleep_for_ever(life: Life) -> int:
    life.ready()
    while True:
        time.sleep(1)


@pytest.fixture
def srws() -> Iterator[list[Srw]]:
    hearts = CounterTable(3, HEART_NAMES)
    session = session_of(proven_dialogue()[0])
    children = [fork_child(f"sleeper {n}", sleep_for_ever, hearts=hearts, heart_row=n) for n in range(3)]
    yield [Srw(child, session, n, n, ("127.0.0.1", 1), "127.0.0.1", 0.0) for n, child in enumerate(children)]
    for child in children:
        child.kill_and_reap()
        child.close()


def die(child: Child) -> None:
    assert child.wait(5) == -9


def test_nobody_to_bury_is_done_at_once() -> None:
    done: list[str] = []
    Burials().begin([], lambda: done.append("now"))
    assert done == ["now"]


def test_all_are_killed_and_the_last_one_counts(srws: list[Srw]) -> None:
    burials, done = Burials(), []
    burials.begin(srws[:2], lambda: done.append("two"))
    burials.begin(srws[1:], lambda: done.append("other two"))
    for srw in srws:
        die(srw.child)
    assert done == []
    burials.buried(srws[0])
    assert done == []
    burials.buried(srws[1])
    assert done == ["two"]
    burials.buried(srws[2])
    assert done == ["two", "other two"]
    assert burials.open == []


def test_who_is_told_may_bury_again(srws: list[Srw]) -> None:
    burials, done = Burials(), []
    burials.begin(srws[:1], lambda: burials.begin(srws[1:2], lambda: done.append("both")))
    burials.buried(srws[0])
    assert done == []
    burials.buried(srws[1])
    assert done == ["both"]


def test_who_is_buried_already_is_not_waited_for(srws: list[Srw]) -> None:
    burials, done = Burials(), []
    burials.buried(srws[0])
    burials.begin([srws[0]], lambda: done.append("now"))
    assert done == ["now"]


def test_who_is_reaped_already_is_not_signalled_again(srws: list[Srw]) -> None:
    """Its pid may be another's by now."""
    srws[0].child.kill_and_reap()
    burials, done = Burials(), []
    burials.begin([srws[0]], lambda: done.append("drained"))
    assert done == []
    burials.buried(srws[0])
    assert done == ["drained"]


# --- a seat ---


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def channels() -> Iterator[list[DriverChannel]]:
    channels = [DriverChannel(2), DriverChannel(2)]
    for channel in channels:
        channel.begin()
    yield channels
    for channel in channels:
        channel.close()


def posted(channel: DriverChannel) -> list[Command]:
    packets = channel.commands.get_many()
    return [Command.unpack(packets[at : at + COMMAND_BYTES]) for at in range(0, len(packets), COMMAND_BYTES)]


def begun(loop: Loop, channels: list[DriverChannel], done: list[str]) -> Drain:
    marks = [(channel.answers[1].fileno(), channel.begin_drain(1)) for channel in channels]
    drain = Drain(loop, marks, lambda: done.append("dry"))
    drain.look()
    return drain


def a_while(loop: Loop) -> None:
    loop.call_later(0.15, loop.stop)
    loop.run()


def test_a_seat_is_dry_when_every_driver_has_answered_its_mark(loop: Loop, channels: list[DriverChannel]) -> None:
    done: list[str] = []
    begun(loop, channels, done)
    for channel in channels:
        a_while(loop)
        assert done == []
        (mark,) = posted(channel)
        assert mark.op == MARK
        channel.answer(1, Answer(mark.sequence, 0, ""))
    turn(loop, lambda: done)
    a_while(loop)
    assert done == ["dry"]


def test_answers_to_the_dead_tenant_do_not_count(loop: Loop, channels: list[DriverChannel]) -> None:
    done: list[str] = []
    channels[0].answer(1, Answer(0, 0, ""))
    begun(loop, channels[:1], done)
    a_while(loop)
    assert done == []


def test_a_driver_that_was_replaced_is_asked_again(loop: Loop, channels: list[DriverChannel]) -> None:
    done: list[str] = []
    channels[0].commands.put(Command(5, 1, Op.FLUSH, False, 0, 0, 0).pack())
    begun(loop, channels[:1], done)
    assert len(posted(channels[0])) == 2  # read, and then the driver died
    channels[0].begin()
    a_while(loop)
    (mark,) = posted(channels[0])
    channels[0].answer(1, Answer(mark.sequence, 0, ""))
    turn(loop, lambda: done)


def test_without_arrays_nothing_is_waited_for(loop: Loop) -> None:
    done: list[str] = []
    begun(loop, [], done)
    assert done == ["dry"]


def test_a_cancelled_drain_tells_nobody(loop: Loop, channels: list[DriverChannel]) -> None:
    done: list[str] = []
    drain = begun(loop, channels, done)
    drain.cancel()
    for channel in channels:
        channel.answer(1, Answer(posted(channel)[0].sequence, 0, ""))
    a_while(loop)
    assert done == []
