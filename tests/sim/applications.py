"""The users of the disk: a front-end that makes requests by chance, keeps the history, and never gives up early."""

from typing import Any

from hostside.driver.driver import LOST_POWER, HostDriver
from hostside.driver.request import Request
from ipc.loop import Loop
from protocol.limits import BLOCK_BYTES
from protocol.ops import Op
from tests.sim.blocks import Blocks, BrokenWordError, stamp
from tests.sim.kernel.kernel import Kernel

POISON = b"\xa5" * BLOCK_BYTES
REFUSED_PAUSE_S = 0.2


class Plan:
    """What the applications want to do in one life; it outlives the disk's processes."""

    def __init__(self, kernel: Kernel, count: int) -> None:
        self.kernel = kernel
        self.left = count
        """Requests still to be made."""
        self.depth = kernel.chance.choice((1, 4, 8))
        self.hot_blocks = kernel.chance.choice((4, 8, 8, 24, 96))
        self.pause_s = kernel.chance.choice((0.0005, 0.003, 0.02, 0.1))
        self.frontend: Frontend | None = None
        self.blocks: Blocks | None = None
        self.done = 0
        self.statuses: dict[int, int] = {}
        self.errors_are_fine = False
        self.drives_may_fail = False
        self.reading_all = False
        self.all_read = False
        self.flush_first = False

    def count_status(self, request: Request) -> None:
        self.done += 1
        self.statuses[request.status] = self.statuses.get(request.status, 0) + 1
        if request.status and not self.errors_are_fine and request.sentence != LOST_POWER:
            raise BrokenWordError(f"a request failed, and nothing was there to fail it: {request.sentence}")

    @property
    def is_quiet(self) -> bool:
        return self.left <= 0 and self.frontend is not None and self.frontend.in_flight == 0


class Frontend:
    """One disk process's users. It lives in the process's loop."""

    client_count = 1
    is_shown = True
    device = None

    def __init__(self, plan: Plan, blocks: Blocks, loop: Loop, driver: HostDriver) -> None:
        self.plan = plan
        self.blocks = blocks
        self.loop = loop
        self.driver = driver
        self.in_flight = 0
        self.is_draining = False
        self.slots = driver._intake._pool.free_count
        self.chance = plan.kernel.chance
        self.to_read: list[tuple[int, int]] | None = None
        driver.on_room = self.go_on
        self.is_waiting = False
        self.is_refused = False
        """The last request has failed."""
        blocks.forget_open()
        plan.frontend = self
        plan.blocks = blocks
        loop.call_later(0, self.go_on)
        self.due_tick()

    def users(self) -> list[str]:
        return []

    def notices(self) -> list[str]:
        return []

    def due_tick(self) -> None:
        """As a real front-end's process: `tick` comes with the beat; nothing to do here."""

    # -- making requests -----------------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Make requests while there is room, then rest."""
        self.is_waiting = self.is_refused = False
        while self.in_flight < self.plan.depth and not self.is_draining:
            if self.plan.reading_all:
                if not self.read_next():
                    return
            elif self.plan.left <= 0 or not self.make():
                return
            if self.is_refused or self.chance.random() < 0.3:
                break
        if self.in_flight < self.plan.depth:
            self.rest()

    def rest(self) -> None:
        """Come again soon; much later when the disk refuses everything at once."""
        if not self.is_waiting and not self.is_draining:
            self.is_waiting = True
            pause_s = REFUSED_PAUSE_S if self.is_refused else self.plan.pause_s
            self.loop.call_later(self.chance.expovariate(1 / pause_s), self.go_on)

    def make(self) -> bool:
        what = self.chance.choices((self.write, self.read, self.zero, self.flush), (10, 7, 1, 2))[0]
        if not what():
            return False
        self.plan.left -= 1
        return True

    def some_range(self) -> tuple[int, int]:
        blocks = min(self.driver.unit.blocks, self.blocks.count)
        length = min(blocks, self.chance.choice((1, 2, 8, 8, 8, 12, 20, 32)))
        hot = min(self.plan.hot_blocks, blocks)
        first = self.chance.randrange(0, hot, 4) if self.chance.random() < 0.9 else self.chance.randrange(blocks)
        first = min(first, blocks - length)
        return first, first + length

    def request(self, op: Op, first: int, end: int, on_done: Any, *, fua: bool = False) -> Request | None:
        def done(request: Request) -> None:
            self.in_flight -= 1
            self.plan.count_status(request)
            self.is_refused = request.status != 0
            on_done(request)
            self.driver.release(request)
            self.rest()

        return self.driver.request(op, first * BLOCK_BYTES, (end - first) * BLOCK_BYTES, fua=fua, on_done=done)

    def submit(self, request: Request) -> bool:
        self.in_flight += 1
        self.driver.submit(request)
        return True

    def write(self) -> bool:
        first, end = self.some_range()
        fua = self.chance.random() < 0.15
        blocks = self.blocks

        def done(request: Request) -> None:
            blocks.write_done(write, acked=request.status == 0, fua=fua or self.driver.unit.writes_through)

        request = self.request(Op.WRITE, first, end, done, fua=fua)
        if request is None:
            return False
        write = blocks.write_submitted(first, end, zeroes=False)
        block = first
        for view in request.views:
            for at in range(0, len(view), BLOCK_BYTES):
                view[at : at + BLOCK_BYTES] = stamp(write.version, block, blocks.unit)
                block += 1
        return self.submit(request)

    def zero(self) -> bool:
        if self.driver.unit.version == 1:
            return True
        first, end = self.some_range()
        blocks = self.blocks

        def done(request: Request) -> None:
            blocks.write_done(write, acked=request.status == 0, fua=False)

        request = self.request(self.chance.choice((Op.TRIM, Op.WRITE_ZEROES)), first, end, done)
        if request is None:
            return False
        write = blocks.write_submitted(first, end, zeroes=True)
        return self.submit(request)

    def read(self) -> bool:
        return self.read_range(*self.some_range())

    def read_range(self, first: int, end: int) -> bool:
        blocks = self.blocks

        def done(request: Request) -> None:
            if request.status == 0:
                blocks.read_done(expected, b"".join(request.views))
            elif self.to_read is not None:
                self.to_read.append((first, end))

        request = self.request(Op.READ, first, end, done)
        if request is None:
            return False
        for view in request.views:
            view[:] = POISON * (len(view) // BLOCK_BYTES)
        expected = blocks.read_submitted(first, end)
        return self.submit(request)

    def flush(self) -> bool:
        blocks = self.blocks

        def done(request: Request) -> None:
            if request.status == 0:
                blocks.flush_done(submitted)
            elif request.sentence == LOST_POWER:
                blocks.flush_told_loss(submitted)
            elif self.plan.drives_may_fail:
                blocks.drive_failed()

        request = self.request(Op.FLUSH, 0, 0, done)
        if request is None:
            return False
        submitted = blocks.flush_submitted()
        return self.submit(request)

    def read_next(self) -> bool:
        """At the end of a life: read the whole unit, piece by piece; behind a FLUSH, if that was asked."""
        if self.plan.flush_first:
            self.plan.flush_first = False
            self.flush()
        if self.to_read is None:
            count = self.blocks.count
            self.to_read = [(first, min(first + 16, count)) for first in range(0, count, 16)]
        if not self.to_read:
            self.plan.all_read = self.in_flight == 0
            return False
        first, end = self.to_read.pop()
        end = min(end, self.driver.unit.blocks)
        if first >= end:
            return True  # the unit is smaller now
        if self.read_range(first, end):
            return True
        self.to_read.append((first, end))
        return False

    # -- the process's wishes ------------------------------------------------------------------------------------

    def drain(self, on_drained: Any, *, timeout_s: float, forced: bool = False) -> None:
        del forced
        self.is_draining = True
        deadline_s = self.loop.now() + timeout_s

        def look() -> None:
            if self.driver.idle or self.loop.now() >= deadline_s:
                on_drained()
            else:
                self.loop.call_later(0.01, look)

        look()

    def close(self) -> None:
        self.is_draining = True
