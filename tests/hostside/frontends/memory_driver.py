"""A small real host driver: same interface, real slots, a sparse file in memory behind it.

Requests end in a later turn of the loop, in one batch, as they do with agents. What can be asked of it besides:
a delay for every request, errors for a range of the disk, and how many slots are free.
"""

import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

from hostside.driver.request import Request
from hostside.driver.splitter import split
from hostside.driver.unit import UnitFlag, UnitInfo
from ipc.buffers import BufferPool
from ipc.loop import Loop
from protocol.limits import SPLIT_BYTES
from protocol.ops import Op

BARE_MAX = 256
"""Requests in flight beyond which one without slots has to wait."""
ALL = UnitFlag.CAN_FLUSH | UnitFlag.CAN_FUA | UnitFlag.CAN_TRIM | UnitFlag.CAN_WRITE_ZEROES


def unit_of(
    size_bytes: int, *, flags: UnitFlag = ALL, name: str = "unit_1", version: int = 2, generation: int = 1
) -> UnitInfo:
    return UnitInfo(number=0, name=name, blocks=size_bytes // 512, generation=generation, flags=flags, version=version)


@dataclass
class Faults:
    """What goes wrong."""

    delay_s: float = 0.0
    bad_bytes: range = field(default_factory=lambda: range(0))
    """Requests that touch these bytes end with `status`."""
    status: int = 0
    sentence: str = ""


class MemoryDriver:
    def __init__(
        self, unit: UnitInfo, pool: BufferPool, call_later: Callable[[float, Callable[[], None]], object]
    ) -> None:
        self.unit = unit
        self.pool = pool
        self.faults = Faults()
        self.on_room: Callable[[], None] | None = None
        self.in_flight: list[Request] = []
        self.flushes = 0
        self.fuas = 0
        self.made = 0
        self.released = 0
        self._call_later = call_later
        self._file = os.memfd_create("disk")
        weakref.finalize(self, os.close, self._file)
        os.ftruncate(self._file, unit.size_bytes)
        self._refused_room = False

    def request(
        self,
        op: int,
        offset_bytes: int,
        length_bytes: int,
        *,
        fua: bool = False,
        on_done: Callable[[Request], None],
    ) -> Request | None:
        pieces = split(op, offset_bytes, length_bytes) if op in (Op.READ, Op.WRITE) else []
        if len(pieces) > self.pool.free_count or (not pieces and len(self.in_flight) >= BARE_MAX):
            self._refused_room = True
            return None
        slots = [slot for _ in pieces if (slot := self.pool.take()) is not None]
        views = [self.pool.view(slot, size) for slot, (_, size) in zip(slots, pieces, strict=True)]
        self.made += 1
        return Request(op, offset_bytes, length_bytes, fua, on_done, pieces, slots, views)

    def submit(self, request: Request) -> None:
        if not self.in_flight:
            self._call_later(self.faults.delay_s, self.finish_all)
        request.in_flight = True
        self.in_flight.append(request)

    def release(self, request: Request) -> None:
        assert not request.in_flight
        assert not request.released, "released twice"
        request.released = True
        self.released += 1
        for slot in request.slots:
            self.pool.give(slot)
        if self._refused_room:
            self._refused_room = False
            if self.on_room is not None:
                self.on_room()

    def finish_all(self) -> None:
        batch, self.in_flight = self.in_flight, []
        for request in batch:
            self._carry_out(request)
            request.in_flight = False
            request.finished = True
            request.on_done(request)

    def _carry_out(self, request: Request) -> None:
        bad = self.faults.bad_bytes
        if request.offset_bytes < bad.stop and bad.start < request.end_bytes:
            request.fail(self.faults.status, self.faults.sentence)
        elif request.op == Op.READ:
            os.preadv(self._file, list(request.views), request.offset_bytes)
        elif request.op == Op.WRITE:
            self.fuas += request.fua
            os.pwritev(self._file, list(request.views), request.offset_bytes)
        elif request.op == Op.FLUSH:
            self.flushes += 1
        else:
            self._zero(request.offset_bytes, request.length_bytes)

    def _zero(self, offset_bytes: int, length_bytes: int) -> None:
        for start in range(0, length_bytes, 1 << 20):
            size = min(1 << 20, length_bytes - start)
            os.pwrite(self._file, bytes(size), offset_bytes + start)


def memory_driver(loop: Loop, unit: UnitInfo, *, slots: int = 512) -> MemoryDriver:
    """Make one with a pool of `slots` slots of 64 KiB."""
    return MemoryDriver(unit, BufferPool(slots, SPLIT_BYTES, holders={"all": slots}), loop.call_later)
