"""A seeded world around one host driver: applications above it, agents, wires and a server below it, and bad luck."""

import random
from collections.abc import Callable

from hostside.driver.driver import HostDriver
from hostside.driver.notes import Notes
from hostside.driver.request import Request
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.packets import Report
from ipc.buffers import BufferPool
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op
from tests.sim.history import BrokenWordError, History, Write
from tests.sim.server import Agents, Line, Server, fill

BLOCKS = 2048
ALL_FLAGS = (
    UnitFlag.CAN_FLUSH | UnitFlag.CAN_FUA | UnitFlag.CAN_TRIM | UnitFlag.CAN_WRITE_ZEROES
)  # fmt: skip
STEPS = 1200
STEPS_TO_QUIET_MOST = 20_000
SLOTS = 24
POISON = (1 << 64) - 1
MakeDriver = Callable[..., HostDriver]


class World:
    """`run` lives one life of the world; the same seed lives the same life."""

    def __init__(self, seed: int, make_driver: MakeDriver = HostDriver) -> None:
        chance = self.chance = random.Random(seed)
        version = 1 if chance.random() < 0.2 else 2
        self.now_s = 0.0
        self.tags_max = chance.choice([3, 8, 64])
        self.pool = BufferPool(SLOTS, 65536, holders={"requests": SLOTS})
        self.notes = Notes(self.tags_max)
        self.server = Server(BLOCKS, chance, writes_through=version == 1)
        self.server.error_rate = chance.choice([0, 0, 0.01])
        self.history = History(BLOCKS, self.server.stored, self.server.durable)
        self.agents = Agents(self.server, self.pool, self.notes, self.zeros_at)
        self.incarnations = [0] * chance.randint(1, 4)
        self.fault_rate = chance.choice([0.0, 0.03, 0.1])
        self.silent_until_s = 0.0
        """Until then the server answers nobody: no path comes up, none is fenced."""
        self.given_up = 0
        """Writes that were reported as failed before their paths were fenced."""
        self.in_flight = 0
        self.zeros: list[Write] = []
        self.unit = UnitInfo(number=3, name="sim", blocks=BLOCKS, generation=1, flags=ALL_FLAGS, version=version)
        self.driver = make_driver(
            unit=self.unit, pool=self.pool, notes=self.notes, disk_index=0, tags_max=self.tags_max,
            clock=lambda: self.now_s, fail_after_s=chance.choice([None, 0.1, 1.0]),
        )  # fmt: skip

    def run(self) -> None:
        for _ in range(self.chance.randint(1, 8)):
            self.open()
        for _ in range(STEPS):
            self.step(self.fault_rate)
        self.heal()
        for _ in range(STEPS_TO_QUIET_MOST):
            if self.driver.idle and not self.agents.reports:
                break
            self.work()
        if self.in_flight or not self.driver.idle:
            raise BrokenWordError(f"{self.in_flight} requests never ended")
        if self.pool.free_count != SLOTS:
            raise BrokenWordError(f"{SLOTS - self.pool.free_count} slots never came back")
        self.history.ended()

    def step(self, fault_rate: float) -> None:
        if not any(line.is_alive for line in self.agents.lines) and self.chance.random() < 0.1:
            self.open()
        elif self.chance.random() < fault_rate:
            self.chance.choices(
                [
                    self.break_path, self.fence, self.open, self.change_unit, self.shut_down, self.repeat,
                    self.fall_silent,
                ],
                [6, 3, 9, 2, 1, 2, 1],
            )[0]()  # fmt: skip
        elif self.in_flight < 24 and self.chance.random() < 0.3:
            self.chance.choices(
                [self.submit_write, self.submit_read, self.submit_zeros, self.submit_flush], [10, 7, 2, 1]
            )[0]()
        else:
            self.work()

    def work(self) -> None:
        """Time passes, and some queues move one step."""
        self.now_s += self.chance.expovariate(100)
        agents = self.agents
        for _ in range(self.chance.randint(0, 8) if agents.lines else 0):
            line = self.chance.choice(agents.lines)
            if self.chance.random() < line.pace:
                self.chance.choice([agents.send_one, agents.execute_one, agents.answer_one])(line)
        self.deliver_reports()
        self.hand_over()

    def hand_over(self) -> None:
        for path, packets in self.driver.outgoing():
            self.agents.take_commands(path, packets)

    def deliver_reports(self) -> None:
        reports = self.agents.reports
        count = self.chance.randint(0, len(reports))
        self.driver.receive(b"".join(reports.popleft() for _ in range(count)))
        due_s = self.driver.next_tick()
        if due_s is not None and due_s <= self.now_s:
            self.driver.tick(self.now_s)

    # -- applications ------------------------------------------------------------------------------------------

    def some_range(self) -> tuple[int, int]:
        """Give (first, end) in blocks: often near each other, of all sizes, aligned or not."""
        blocks = self.chance.choice([1, 8, 8, 8, 64, 128, 200, 300])
        if self.chance.random() < 0.5:
            first = self.chance.randrange(0, 32, 8)
        else:
            first = self.chance.randrange(BLOCKS - blocks)
        return first, first + blocks

    def make(
        self, op: Op, first: int, end: int, on_done: Callable[[Request], None], *, fua: bool = False
    ) -> Request | None:
        def on_done_once(request: Request) -> None:
            self.in_flight -= 1
            self.given_up += request in self.driver._ghosts
            on_done(request)
            self.driver.release(request)

        return self.driver.request(op, first * BLOCK_BYTES, (end - first) * BLOCK_BYTES, fua=fua, on_done=on_done_once)

    def submit(self, request: Request) -> None:
        self.in_flight += 1
        self.driver.submit(request)

    def submit_write(self) -> None:
        first, end = self.some_range()
        fua = self.chance.random() < 0.1

        def done(request: Request) -> None:
            self.history.write_done(write, acked=request.status == 0, fua=fua)

        request = self.make(Op.WRITE, first, end, done, fua=fua)
        if request is None:
            return
        write = self.history.write_submitted(first, end)
        for view in request.views:
            fill(view, [write.version] * (len(view) // BLOCK_BYTES))
        self.submit(request)

    def submit_zeros(self) -> None:
        if self.unit.version == 1:
            return
        first, end = self.some_range()
        op = self.chance.choice([Op.TRIM, Op.WRITE_ZEROES])

        def done(request: Request) -> None:
            self.zeros.remove(write)
            self.history.write_done(write, acked=request.status == 0, fua=False)

        request = self.make(op, first, end, done)
        if request is None:
            return
        write = self.history.write_submitted(first, end)
        self.zeros.append(write)
        self.submit(request)

    def zeros_at(self, block: int) -> int:
        """Give the version of the oldest write of zeros that lies at `block`: the only one that may be on a wire."""
        return next((write.version for write in self.zeros if write.first <= block < write.end), 0)

    def submit_read(self) -> None:
        first, end = self.some_range()

        def done(request: Request) -> None:
            if request.status == 0:
                versions = [v for view in request.views for v in view.cast("Q")[::64].tolist()]
                self.history.read_done(expected, versions)

        request = self.make(Op.READ, first, end, done)
        if request is None:
            return
        for view in request.views:
            fill(view, [POISON] * (len(view) // BLOCK_BYTES))
        expected = self.history.read_submitted(first, end)
        self.submit(request)

    def submit_flush(self) -> None:
        newest = self.history.flush_submitted()

        def done(request: Request) -> None:
            if request.status == 0:
                self.history.flush_done(newest)

        request = self.make(Op.FLUSH, 0, 0, done)
        if request is not None:
            self.submit(request)

    # -- bad luck ----------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Open one path that has no live agent; its predecessor may not be fenced yet."""
        if self.now_s < self.silent_until_s:
            return
        path = self.chance.randrange(len(self.incarnations))
        if self.agents.alive(path) is None:
            self.incarnations[path] += 1
            self.agents.open(path, self.incarnations[path], self.chance.choice([1, 2, 16]))

    def break_path(self) -> None:
        line = self.agents.alive(self.chance.randrange(len(self.incarnations)))
        if line is not None:
            self.kill(line)
            if self.chance.random() < 0.5:
                self.reap(line)

    def kill(self, line: Line) -> None:
        line.is_alive = False
        line.pace = self.chance.choice([1, 0.1, 0.01])

    def reap(self, line: Line) -> None:
        self.agents.report(Report.AVAILABLE, line.path, line.incarnation, credits=0)

    def fall_silent(self) -> None:
        """All paths break, and the server is heard again only after long; what it has received it may still do."""
        self.silent_until_s = self.now_s + self.chance.choice([0.1, 0.3, 1.5])
        self.fill_wires()
        for line in self.agents.lines:
            if line.is_alive:
                self.kill(line)
                line.pace = self.chance.choice([0.1, 0.01, 0.001])
            self.reap(line)

    def fill_wires(self) -> None:
        for _ in range(self.chance.randint(0, 8)):
            self.submit_write()
        self.hand_over()
        for line in self.agents.lines:
            for _ in range(self.chance.randint(0, 8)):
                self.agents.send_one(line)

    def fence(self) -> None:
        dead = [line for line in self.agents.lines if not line.is_alive]
        if dead and self.now_s >= self.silent_until_s:
            self.agents.fence(self.chance.choice(dead), self.chance)

    def change_unit(self) -> None:
        """The server knows at once; the host is told, and told again, later."""
        if self.unit.version == 2:
            if self.chance.random() < 0.5:
                self.server.generation += 1
            self.tell_unit()

    def tell_unit(self) -> None:
        self.agents.report(Report.UNIT, 0, 0, credits=ALL_FLAGS, value=BLOCKS, spare=self.server.generation)

    def shut_down(self) -> None:
        line = self.agents.alive(self.chance.randrange(len(self.incarnations)))
        if line is not None:
            line.is_shutting_down = True

    def repeat(self) -> None:
        """A report comes once more, long after its time."""
        if self.agents.old_reports:
            self.agents.reports.append(self.chance.choice(self.agents.old_reports))

    def heal(self) -> None:
        """No more bad luck: every path is made anew."""
        for path in range(len(self.incarnations)):
            line = self.agents.alive(path)
            if line is not None:
                line.is_alive = False
        for line in list(self.agents.lines):
            self.agents.fence(line, self.chance)
        for path in range(len(self.incarnations)):
            self.incarnations[path] += 1
            self.agents.open(path, self.incarnations[path], 4)
        self.tell_unit()
