"""The way from the SRWs to an array's driver process: a command queue, and an answer queue and a buffer per
seat.

A seat is a place for one SRW; it has at most one command under way, so one buffer of 128 KiB. Everything is
made before the forks. An SRW is the tenant of its seat; when it is killed, another tenant follows.

Nothing of a former tenant may be applied later, or its fence would be a lie; and a command of the old tenant
must not be done with the payload of the new one. So the server, having reaped the old tenant, drains the
seat: it posts a MARK. The command queue is first in, first out, and the driver does one command after the
other: when the MARK is answered, whatever was posted before it is done.

A driver process that dies takes the commands with it that it had read. Its successor counts the incarnation
up, and whoever waits posts once more: the same bytes are written twice, both times before anybody is told
"done". Sequence numbers (of the seat, in shared memory, so that they go on from tenant to tenant) make sure
that an answer to an older posting is taken for nothing else.
"""

import contextlib
import mmap
from collections.abc import Callable

from ipc.buffers import BufferPool
from ipc.packets import PacketQueue, QueueFull
from protocol.limits import BLOCK_BYTES, REQUEST_BYTES_MAX
from protocol.ops import Op
from serverside.driver.packets import ANSWER_BYTES, COMMAND_BYTES, MARK, Answer, Command

POLL_S = 0.5
"""How often whoever waits for the driver looks whether it is still the same, and alive."""
SEATS_MAX = 0xFFFF
NO_SEAT = 0xFFFF
"""The seat of a command that nobody waits for."""
SEQUENCE_MASK = 0xFFFFFFFF

Alive = Callable[[], bool]
"""Asked every POLL_S while waiting: is it worth waiting on? Also the place to let one's own heart beat."""


class DriverGone(Exception):  # noqa: N818 a state of affairs; the path ends with it
    """The driver process is gone, and what was posted may still be done by its successor.

    So this must not be answered as a failed request: the path ends, and its seat is drained.
    """


class DriverChannel:
    """The queues and buffers of one array, for `seats` SRWs at once. Make it before the first fork."""

    def __init__(self, seats: int) -> None:
        assert 0 < seats <= SEATS_MAX
        self.seats = seats
        # At most a command, its repetition and a MARK for each seat.
        self.commands = PacketQueue(COMMAND_BYTES, pipe_bytes=max(1 << 16, seats * 3 * COMMAND_BYTES))
        # One page: a seat has one answer to come, and leftovers of a killed tenant.
        self.answers = [PacketQueue(ANSWER_BYTES, pipe_bytes=4096) for _ in range(seats)]
        self._buffers = BufferPool(seats, REQUEST_BYTES_MAX, holders={"seats": seats})
        self._cells = memoryview(mmap.mmap(-1, 8 * (1 + seats))).cast("Q")

    @property
    def incarnation(self) -> int:
        """How many driver processes there have been."""
        return self._cells[0]

    def begin(self) -> None:
        """Driver only: a new process takes over the queue."""
        self._cells[0] += 1

    def next_sequence(self, seat: int) -> int:
        """Give the seat's next sequence number; to its tenant only, or to the server while it has none."""
        self._cells[1 + seat] = self._cells[1 + seat] + 1 & SEQUENCE_MASK
        return self._cells[1 + seat]

    def buffer(self, seat: int, length_bytes: int) -> memoryview:
        """The payload of the seat's command."""
        return self._buffers.view(seat, length_bytes)

    def answer(self, seat: int, answer: Answer) -> None:
        """Driver only. The queue can't be full: a tenant takes its answers, `drain` what the dead left."""
        if seat != NO_SEAT:
            self.answers[seat].put_many(answer.pack())

    def wake(self) -> None:
        """Let the driver look up from its wait; may be called by a signal handler."""
        with contextlib.suppress(QueueFull):  # then it is awake
            self.commands.put_many(Command(0, NO_SEAT, MARK, False, 0, 0, 0).pack())

    def begin_drain(self, seat: int) -> "Waiting":
        """Server only, once the tenant is reaped: post a MARK. Poll the result till it has its answer."""
        return Waiting(self, seat, Command(0, seat, MARK, False, 0, 0, 0))

    def drain(self, seat: int, alive: Alive = lambda: True) -> None:
        """Do `begin_drain` and wait. Raise DriverGone when `alive` says no."""
        self.begin_drain(seat).wait(alive)

    def seat_descriptors(self, seat: int) -> frozenset[int]:
        """The descriptors that the seat's tenant must keep."""
        return frozenset({self.commands.descriptors()[1], self.answers[seat].descriptors()[0]})

    def driver_descriptors(self) -> frozenset[int]:
        """The descriptors that the driver process must keep."""
        queues = (self.commands, *self.answers)
        return frozenset(fd for queue in queues for fd in queue.descriptors())

    def close(self) -> None:
        """Close the queues in this process."""
        for queue in (self.commands, *self.answers):
            queue.close()


class Waiting:
    """A command that was posted, till its answer. Its sequence number is given at each posting."""

    def __init__(self, channel: DriverChannel, seat: int, command: Command) -> None:
        self._channel = channel
        self._seat = seat
        self._command = command
        self._answers = channel.answers[seat]
        self._post()

    def poll(self) -> Answer | None:
        """Give the answer if it is here; post again if another driver process has taken over. Never waits."""
        packets = self._answers.get_many()
        for at in range(0, len(packets), ANSWER_BYTES):
            answer = Answer.unpack(packets[at : at + ANSWER_BYTES])
            if answer.sequence == self._sequence:
                return answer
        if self._channel.incarnation != self._incarnation:
            self._post()
        return None

    def wait(self, alive: Alive) -> Answer:
        """Wait for the answer."""
        while True:
            there = self._answers.wait(POLL_S)
            answer = self.poll()
            if answer is not None:
                return answer
            if not there and not alive():
                raise DriverGone("the array's driver process is gone")

    def _post(self) -> None:
        # A new number each time: the answer that counts is the last posting's, as only after it nothing of
        # this command is left to be done.
        self._incarnation = self._channel.incarnation
        self._sequence = self._channel.next_sequence(self._seat)
        self._channel.commands.put(self._command._replace(sequence=self._sequence).pack())


class SeatDoor:
    """An SRW's end of the channel. The seat was drained since its former tenant was reaped."""

    def __init__(self, channel: DriverChannel, seat: int, alive: Alive = lambda: True) -> None:
        self.channel = channel
        self.seat = seat
        self.alive = alive

    def execute(
        self,
        partition: int,
        op: int,
        lba: int,
        blocks: int,
        durable: bool,
        payload: memoryview | None,
    ) -> tuple[int, str]:
        """Have the driver do it, and wait. Return its status (0 or an errno number) and sentence.

        `payload`: what a WRITE writes, where a READ reads into; None for the others. Raise DriverGone.
        """
        if op == Op.WRITE:
            assert payload is not None
            self._buffer(blocks)[:] = payload
        command = Command(0, self.seat, op, durable, partition, lba, blocks)
        answer = Waiting(self.channel, self.seat, command).wait(self.alive)
        if op == Op.READ and answer.status == 0:
            assert payload is not None
            payload[:] = self._buffer(blocks)
        return answer.status, answer.sentence

    def _buffer(self, blocks: int) -> memoryview:
        return self.channel.buffer(self.seat, blocks * BLOCK_BYTES)
