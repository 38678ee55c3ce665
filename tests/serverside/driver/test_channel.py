"""Proved: one answer for one command, whatever tenants and driver processes came before; a drained seat is
clean.

The driver's part is played here, step by step, on the real queues and buffers.
"""

import os
from collections.abc import Callable, Iterator

import pytest

from protocol.ops import Op
from serverside.driver.channel import POSTED_MOST, SEAT_BYTES, DriverChannel, DriverGone, SeatDoor, Waiting
from serverside.driver.packets import COMMAND_BYTES, MARK, Answer, Command

FLUSH = Command(0, 1, Op.FLUSH, False, 7, 0, 0)


@pytest.fixture
def channel() -> Iterator[DriverChannel]:
    made = DriverChannel(3)
    made.begin()
    yield made
    made.close()


def posted(channel: DriverChannel) -> list[Command]:
    packets = channel.commands.get_many()
    return [Command.unpack(packets[at : at + COMMAND_BYTES]) for at in range(0, len(packets), COMMAND_BYTES)]


def answered_by(channel: DriverChannel, act: Callable[[Command], Answer]) -> Callable[[], bool]:
    """Play the driver, when the one who waits for it looks whether it is alive."""

    def alive() -> bool:
        for command in posted(channel):
            channel.answer(command.seat, act(command))
        return True

    return alive


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serverside.driver.channel.POLL_S", 0.001)


def test_a_write_arrives_with_its_payload(channel: DriverChannel) -> None:
    seen: list[tuple[Command, bytes]] = []

    def driver(command: Command) -> Answer:
        seen.append((command, bytes(channel.buffer(command.seat, command.blocks * 512))))
        return Answer(command.sequence, 0, "")

    door = SeatDoor(channel, 2, answered_by(channel, driver))
    assert door.execute(9, Op.WRITE, 1 << 40, 2, True, memoryview(b"w" * 1024)) == (0, "")
    assert seen == [(Command(1, 2, Op.WRITE, True, 9, 1 << 40, 2), b"w" * 1024)]


def test_a_read_fills_the_payload_unless_it_failed(channel: DriverChannel) -> None:
    def driver(command: Command) -> Answer:
        channel.buffer(command.seat, 512)[:] = b"r" * 512
        return Answer(command.sequence, 5 if command.lba else 0, "because")

    door = SeatDoor(channel, 0, answered_by(channel, driver))
    view = bytearray(512)
    assert door.execute(9, Op.READ, 1, 1, False, memoryview(view)) == (5, "because")
    assert view == bytes(512)
    assert door.execute(9, Op.READ, 0, 1, False, memoryview(view)) == (0, "because")
    assert view == b"r" * 512


def test_seats_have_buffers_of_their_own(channel: DriverChannel) -> None:
    for seat in range(3):
        channel.buffer(seat, 131072)[:] = bytes([seat + 1]) * 131072
    assert [bytes(channel.buffer(seat, 131072)) for seat in range(3)] == [bytes([n]) * 131072 for n in (1, 2, 3)]


def test_an_answer_to_a_former_tenant_is_ignored(channel: DriverChannel) -> None:
    Waiting(channel, 1, [FLUSH])  # its tenant is killed
    old = posted(channel)[0]
    channel.answer(1, Answer(old.sequence, 5, "for the old one"))
    door = SeatDoor(channel, 1, answered_by(channel, lambda c: Answer(c.sequence, 0, "for the new one")))
    assert door.execute(7, Op.FLUSH, 0, 0, False, None) == (0, "for the new one")


def test_sequence_numbers_go_on_from_tenant_to_tenant_in_other_processes(channel: DriverChannel) -> None:
    pid = os.fork()
    if pid == 0:
        Waiting(channel, 1, [FLUSH])
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    Waiting(channel, 1, [FLUSH])
    assert [command.sequence for command in posted(channel)] == [1, 2]


def test_a_drain_ends_when_all_that_was_posted_before_is_done(channel: DriverChannel) -> None:
    Waiting(channel, 1, [FLUSH])
    drain = channel.begin_drain(1)
    first, mark = posted(channel)
    assert (first.op, mark.op, mark.seat) == (Op.FLUSH, MARK, 1)
    assert drain.poll() is None
    channel.answer(1, Answer(first.sequence, 0, ""))
    assert drain.poll() is None
    channel.answer(1, Answer(mark.sequence, 0, ""))
    assert drain.poll() is not None


def test_drain_waits(channel: DriverChannel) -> None:
    channel.drain(0, answered_by(channel, lambda c: Answer(c.sequence, 0, "")))
    assert posted(channel) == []


def test_a_driver_that_died_with_the_command_is_asked_again_and_only_the_last_answer_counts(
    channel: DriverChannel,
) -> None:
    waiting = Waiting(channel, 1, [FLUSH])
    first = posted(channel)[0]  # read, and lost
    assert waiting.poll() is None
    assert posted(channel) == []
    channel.begin()
    assert waiting.poll() is None
    second = posted(channel)[0]
    assert second == first._replace(sequence=2)
    channel.answer(1, Answer(first.sequence, 5, "old"))
    assert waiting.poll() is None
    channel.answer(1, Answer(second.sequence, 0, "new"))
    assert waiting.poll() == [Answer(2, 0, "new")]


def test_a_dead_driver_is_not_waited_on_for_ever(channel: DriverChannel) -> None:
    door = SeatDoor(channel, 1, lambda: False)
    with pytest.raises(DriverGone):
        door.execute(7, Op.FLUSH, 0, 0, False, None)
    with pytest.raises(DriverGone):
        channel.drain(1, lambda: False)


def test_waking_never_waits_and_asks_for_no_answer(channel: DriverChannel) -> None:
    for _ in range(5000):
        channel.wake()
    commands = posted(channel)
    assert {(command.op, command.seat) for command in commands} == {(MARK, 0xFFFF)}
    channel.answer(commands[0].seat, Answer(0, 0, ""))


def test_descriptors_are_the_ends_that_each_side_uses(channel: DriverChannel) -> None:
    seat = channel.seat_descriptors(1)
    assert seat == {channel.commands.descriptors()[1], channel.answers[1].fileno()}
    assert seat <= channel.driver_descriptors()
    assert len(channel.driver_descriptors()) == 2 * 4


def test_writes_that_were_gathered_are_posted_in_one_piece_and_answered_one_by_one(channel: DriverChannel) -> None:
    seen: list[list[tuple[Command, bytes]]] = []

    def alive() -> bool:
        found = posted(channel)
        seen.append([(each, bytes(channel.buffer(1, each.blocks * 512, each.payload_at_bytes))) for each in found])
        channel.answer(1, *(Answer(each.sequence, each.lba, "") for each in found))
        return True

    door = SeatDoor(channel, 1, alive)
    assert door.gather(9, 5, False, memoryview(b"a" * 512))
    assert door.gather(9, 0, True, memoryview(b"b" * 1024))
    assert posted(channel) == []
    assert door.collect() == [(5, ""), (0, "")]
    assert seen[0] == [
        (Command(1, 1, Op.WRITE, False, 9, 5, 1, 0), b"a" * 512),
        (Command(2, 1, Op.WRITE, True, 9, 0, 2, 512), b"b" * 1024),
    ]


def test_a_seat_gathers_what_its_buffer_and_its_answers_have_room_for(channel: DriverChannel) -> None:
    door = SeatDoor(channel, 1)
    large = memoryview(bytes(SEAT_BYTES // 2 + 512))
    assert door.gather(9, 0, False, large)
    assert not door.gather(9, 0, False, large)
    door = SeatDoor(channel, 2)
    assert [door.gather(9, 0, False, memoryview(bytes(512))) for _ in range(POSTED_MOST + 1)] == [
        *[True] * POSTED_MOST,
        False,
    ]


def test_of_gathered_writes_only_those_without_an_answer_are_posted_again(channel: DriverChannel) -> None:
    commands = [FLUSH._replace(lba=lba) for lba in (1, 2, 3)]
    waiting = Waiting(channel, 1, commands)
    first = posted(channel)
    channel.answer(1, Answer(first[0].sequence, 0, "first"))
    assert waiting.poll() is None
    channel.begin()
    assert waiting.poll() is None
    again = posted(channel)
    assert [(command.sequence, command.lba) for command in again] == [(4, 2), (5, 3)]
    channel.answer(1, Answer(3, 5, "of the dead"), Answer(5, 0, "third"), Answer(4, 0, "second"))
    assert [answer.sentence for answer in waiting.poll() or []] == ["first", "second", "third"]


def test_all_answers_of_a_killed_tenant_and_of_the_next_have_room(channel: DriverChannel) -> None:
    for _ in range(4):
        channel.answer(1, *[Answer(9, 0, "x" * 248)] * POSTED_MOST)


def test_a_dead_driver_whose_server_is_dead_too_is_not_waited_on(channel: DriverChannel) -> None:
    """Nobody holds the writing end of the answers any more: an end that the path has, not a fault."""
    waiting = Waiting(channel, 1, [FLUSH])
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, channel.answers[1].descriptors()[1])
    os.close(nowhere)
    with pytest.raises(DriverGone):
        waiting.wait(lambda: True)
