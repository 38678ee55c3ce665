"""A simulated NSU and the agents in front of it, as far as a host driver can tell it from a real one.

A path is a row of three queues: the agent's commands, the wire to the server, the answers back. What stands in them
moves one step at a time, when the world says so. A path may break at any moment: then its agent is dead, but what is
on its wire can still be applied, until the path is fenced.
"""

import random
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EIO, ESHUTDOWN, ESTALE

from hostside.driver.notes import Notes
from hostside.packets import COMMAND, REPORT, Report
from ipc.buffers import BufferPool
from protocol.limits import BLOCK_BYTES
from protocol.ops import Flag, Op

Command = tuple[int, int, int, int, int, int, int, int, int, int]


@dataclass(slots=True)
class Order:
    """A command on the wire, with its payload: the version of each block."""

    command: Command
    versions: list[int]
    status: int = 0


@dataclass(slots=True)
class Line:
    """One incarnation of a path."""

    path: int
    incarnation: int
    is_alive: bool = True
    is_shutting_down: bool = False
    pace: float = 1.0
    """How likely it moves when it could: what stalls can still be applied much later."""
    commands: deque[Command] = field(default_factory=deque)
    wire: deque[Order] = field(default_factory=deque)
    answers: deque[Order] = field(default_factory=deque)


class Server:
    """Blocks, each with its version: `stored` is what a read gives, `durable` what a loss of power leaves."""

    def __init__(self, blocks: int, chance: random.Random, *, writes_through: bool) -> None:
        self.stored = array("Q", bytes(8 * blocks))
        self.durable = array("Q", bytes(8 * blocks))
        self.generation = 1
        self.error_rate = 0.0
        self.executed = 0
        self._chance = chance
        self._writes_through = writes_through

    def execute(self, order: Order, *, shutting_down: bool, blocks_most: int | None = None) -> None:
        """Do `order`; only its first `blocks_most` blocks when the path is fenced in the middle of it."""
        _, op, flags, _, _, _, _, length_bytes, lba, generation = order.command
        blocks = length_bytes // BLOCK_BYTES
        if shutting_down:
            order.status = ESHUTDOWN
        elif generation != self.generation:
            order.status = ESTALE
        elif self._chance.random() < self.error_rate:
            order.status = EIO
            blocks_most = self._chance.randint(0, blocks)
        if order.status in (ESHUTDOWN, ESTALE):
            return
        self.executed += 1
        done = blocks if blocks_most is None else min(blocks, blocks_most)
        if op == Op.READ:
            order.versions = self.stored[lba : lba + blocks].tolist()
        elif op == Op.FLUSH:
            assert not self._writes_through, "0x01 has no FLUSH"
            if not order.status:
                self.durable[:] = self.stored
        else:
            self.stored[lba : lba + done] = array("Q", order.versions[:done])
            if self._writes_through or flags & Flag.FUA:
                self.durable[lba : lba + done] = self.stored[lba : lba + done]


class Agents:
    """All lines, dead ones too as long as they are not fenced, and the reports on their way to the driver."""

    def __init__(self, server: Server, pool: BufferPool, notes: Notes, version_of: Callable[[int], int]) -> None:
        self.server = server
        self.reports: deque[bytes] = deque()
        self.lines: list[Line] = []
        self.old_reports: list[bytes] = []
        self._pool = pool
        self._notes = notes
        self._version_of = version_of
        """Of the write of zeros that lies at a block: it has no payload to carry it."""

    def open(self, path: int, incarnation: int, window: int) -> None:
        self.lines.append(Line(path, incarnation))
        self.report(Report.AVAILABLE, path, incarnation, credits=window)

    def report(
        self, kind: Report, path: int, incarnation: int, *, credits: int = 0, value: int = 0, spare: int = 0
    ) -> None:
        self.reports.append(REPORT.pack(0, kind, 0, path, incarnation, 0, 0, credits, value, spare))

    def alive(self, path: int) -> Line | None:
        return next((line for line in self.lines if line.path == path and line.is_alive), None)

    def take_commands(self, path: int, packets: bytes) -> None:
        """A path's queue outlives its agents; a successor throws away what was meant for another incarnation."""
        for command in COMMAND.iter_unpack(packets):
            for line in self.lines:
                if (line.path, line.incarnation) == (path, command[3]) and line.is_alive:
                    line.commands.append(command)

    def send_one(self, line: Line) -> None:
        """2H and 3H: the payload leaves its slot now."""
        if not (line.is_alive and line.commands):
            return
        command = line.commands.popleft()
        _, op, _, _, _, _, slot, length_bytes, lba, _ = command
        versions: list[int] = []
        if op == Op.WRITE:
            versions = self._pool.view(slot, length_bytes).cast("Q")[::64].tolist()
        elif op in (Op.TRIM, Op.WRITE_ZEROES):
            versions = [self._version_of(lba)] * (length_bytes // BLOCK_BYTES)
        line.wire.append(Order(command, versions))

    def execute_one(self, line: Line) -> None:
        """2S to 5S; a dead agent's server end may be at it still."""
        if line.wire:
            order = line.wire.popleft()
            self.server.execute(order, shutting_down=line.is_shutting_down)
            line.answers.append(order)

    def answer_one(self, line: Line) -> None:
        """4H to 7H: data into the slot, then the report."""
        if not (line.is_alive and line.answers):
            return
        order = line.answers.popleft()
        tag, op, _, _, _, _, slot, length_bytes, _, _ = order.command
        if order.status:
            self._notes.write(tag, f"refused with {order.status}")
        elif op == Op.READ:
            fill(self._pool.view(slot, length_bytes), order.versions)
        report = REPORT.pack(tag, Report.DONE, 0, line.path, line.incarnation, 0, order.status, 0, 0, 0)
        self.reports.append(report)
        self.old_reports.append(report)

    def fence(self, line: Line, chance: random.Random) -> None:
        """Nothing of `line` is applied from here on; it may be caught in the middle of a command. Then LOST."""
        assert not line.is_alive
        if line.wire and chance.random() < 0.5:
            self.server.execute(
                line.wire.popleft(), shutting_down=line.is_shutting_down, blocks_most=chance.randint(0, 256)
            )
        self.lines.remove(line)
        self.report(Report.LOST, line.path, line.incarnation)


def fill(view: memoryview, versions: list[int]) -> None:
    """Write a version into the first eight bytes of each block."""
    words = view.cast("Q")
    for block, version in enumerate(versions):
        words[block * 64] = version
