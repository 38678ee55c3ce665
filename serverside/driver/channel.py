"""The way from the SRWs to an array's driver process: a command queue, and an answer queue and a buffer per
seat.

A seat is a place for one SRW, with a buffer of SEAT_BYTES. It has one command under way, or several writes that were
posted together: so neighbours that wait in one socket come to the driver as one batch. Everything is made before the
forks. An SRW is the tenant of its seat; when it is killed, another tenant follows.

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
from collections.abc import Callable, Sequence

from ipc.buffers import BufferPool
from ipc.packets import PacketQueue, QueueFull
from protocol.limits import BLOCK_BYTES, REQUEST_BYTES_MAX
from protocol.ops import Op
from serverside.driver.packets import ANSWER_BYTES, COMMAND_BYTES, MARK, Answer, Command

POLL_S = 0.5
"""How often whoever waits for the driver looks whether it is still the same, and alive."""
SEATS_MAX = 0xFFFF
POSTED_MOST = 16
"""Writes that a seat posts together: their answers go through the pipe in one piece."""
SEAT_BYTES = 2 * REQUEST_BYTES_MAX
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
        # At most what a seat has posted, its repetition and a MARK.
        self.commands = PacketQueue(
            COMMAND_BYTES, pipe_bytes=max(1 << 16, seats * (2 * POSTED_MOST + 1) * COMMAND_BYTES)
        )
        # The answers to come, and three times as many that a killed tenant has left.
        self.answers = [PacketQueue(ANSWER_BYTES, pipe_bytes=4 * POSTED_MOST * ANSWER_BYTES) for _ in range(seats)]
        # Most seats are never taken, and most arrays never need an owner: so it costs nothing until it is used.
        self._buffers = BufferPool(seats, SEAT_BYTES, holders={"seats": seats}, populated=False)
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

    def buffer(self, seat: int, length_bytes: int, at_bytes: int = 0) -> memoryview:
        """The payload of a command of the seat's."""
        return self._buffers.view(seat, at_bytes + length_bytes)[at_bytes:]

    def answer(self, seat: int, *answers: Answer) -> None:
        """Driver only. The queue can't be full: a tenant takes its answers, `drain` what the dead left."""
        if seat != NO_SEAT:
            self.answers[seat].put_many(b"".join(answer.pack() for answer in answers))

    def wake(self) -> None:
        """Let the driver look up from its wait; may be called by a signal handler."""
        with contextlib.suppress(QueueFull):  # then it is awake
            self.commands.put_many(Command(0, NO_SEAT, MARK, False, 0, 0, 0).pack())

    def begin_drain(self, seat: int) -> "Waiting":
        """Server only, once the tenant is reaped: post a MARK. Poll the result till it has its answer."""
        return Waiting(self, seat, [Command(0, seat, MARK, False, 0, 0, 0)])

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
    """Commands of one seat, posted together, till their answers. Sequence numbers are given at each posting."""

    def __init__(self, channel: DriverChannel, seat: int, commands: Sequence[Command]) -> None:
        assert 0 < len(commands) <= POSTED_MOST
        self._channel = channel
        self._seat = seat
        self._commands = commands
        self._queue = channel.answers[seat]
        self._answers: dict[int, Answer] = {}
        """By index of the command."""
        self._post()

    def poll(self) -> list[Answer] | None:
        """Give the answers if all are here; post again if another driver process has taken over. Never waits."""
        try:
            packets = self._queue.get_many()
        except EOFError:  # nor is there a server any more that would start another
            raise DriverGone("the array's driver process is gone, and the server with it") from None
        for at in range(0, len(packets), ANSWER_BYTES):
            answer = Answer.unpack(packets[at : at + ANSWER_BYTES])
            index = self._posted.pop(answer.sequence, None)
            if index is not None:
                self._answers[index] = answer
        if not self._posted:
            return [self._answers[index] for index in range(len(self._commands))]
        if self._channel.incarnation != self._incarnation:
            self._post()
        return None

    def wait(self, alive: Alive) -> list[Answer]:
        """Wait for the answers."""
        while True:
            there = self._queue.wait(POLL_S)
            answers = self.poll()
            if answers is not None:
                return answers
            if not there and not alive():
                raise DriverGone("the array's driver process is gone")

    def _post(self) -> None:
        # New numbers each time: the answer that counts is the last posting's, as only after it nothing of
        # this command is left to be done. What was answered before is not posted again: it came first, and is done.
        self._incarnation = self._channel.incarnation
        self._posted: dict[int, int] = {}
        packets = b""
        for index, command in enumerate(self._commands):
            if index not in self._answers:
                sequence = self._channel.next_sequence(self._seat)
                self._posted[sequence] = index
                packets += command._replace(sequence=sequence).pack()
        try:
            self._channel.commands.put_many(packets)  # in one piece, so that the driver finds them together
        except QueueFull:
            for at in range(0, len(packets), COMMAND_BYTES):
                self._channel.commands.put(packets[at : at + COMMAND_BYTES])


class SeatDoor:
    """An SRW's end of the channel. The seat was drained since its former tenant was reaped."""

    def __init__(self, channel: DriverChannel, seat: int, alive: Alive = lambda: True) -> None:
        self.channel = channel
        self.seat = seat
        self.alive = alive
        self._gathered: list[Command] = []
        self._used_bytes = 0

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
        assert not self._gathered
        if op == Op.WRITE:
            assert payload is not None
            self._buffer(blocks)[:] = payload
        command = Command(0, self.seat, op, durable, partition, lba, blocks)
        (answer,) = Waiting(self.channel, self.seat, [command]).wait(self.alive)
        if op == Op.READ and answer.status == 0:
            assert payload is not None
            payload[:] = self._buffer(blocks)
        return answer.status, answer.sentence

    def gather(self, partition: int, lba: int, durable: bool, payload: memoryview) -> bool:
        """Take a write to be posted with others at `collect`. False: there is no room for it before that."""
        size_bytes, at_bytes = len(payload), self._used_bytes
        if len(self._gathered) == POSTED_MOST or at_bytes + size_bytes > SEAT_BYTES:
            return False
        self.channel.buffer(self.seat, size_bytes, at_bytes)[:] = payload
        blocks = size_bytes // BLOCK_BYTES
        self._gathered.append(Command(0, self.seat, Op.WRITE, durable, partition, lba, blocks, at_bytes))
        self._used_bytes += size_bytes
        return True

    def collect(self) -> list[tuple[int, str]]:
        """Post what was gathered, in its order, and wait. Return status and sentence of each. Raise DriverGone."""
        gathered, self._gathered, self._used_bytes = self._gathered, [], 0
        answers = Waiting(self.channel, self.seat, gathered).wait(self.alive)
        return [(answer.status, answer.sentence) for answer in answers]

    def _buffer(self, blocks: int) -> memoryview:
        return self.channel.buffer(self.seat, blocks * BLOCK_BYTES)
