"""Intake: requests get their slots, all or none, and are told to ask again when there is no room.

All or none, because two half-served requests would wait for each other's slots for ever.
"""

from collections.abc import Callable

from hostside.driver.admission import READ, WRITE
from hostside.driver.request import Request
from hostside.driver.splitter import split
from ipc.buffers import BufferPool
from protocol.limits import SPLIT_BYTES

OnDone = Callable[[Request], None]


class Intake:
    """Makes requests. `bare_max` bounds those in flight that have no slots, and so no other bound."""

    __slots__ = ("_bare_max", "_pool", "bare_in_flight", "on_room", "somebody_waits")

    def __init__(self, pool: BufferPool, bare_max: int) -> None:
        assert pool.slot_bytes >= SPLIT_BYTES, "a slot holds a whole constituent"
        self._pool = pool
        self._bare_max = bare_max
        self.bare_in_flight = 0
        self.on_room: Callable[[], None] | None = None
        self.somebody_waits = False
        """A request was told to ask again."""

    def make(self, op: int, offset_bytes: int, length_bytes: int, fua: bool, on_done: OnDone) -> Request | None:
        """Make a request; None when there is no room now."""
        if op != READ and op != WRITE:
            if self.bare_in_flight >= self._bare_max:
                self.somebody_waits = True
                return None
            return Request(op, offset_bytes, length_bytes, fua, on_done, (), (), ())
        pool = self._pool
        if 0 < length_bytes <= SPLIT_BYTES:  # one constituent, as most are
            slot = pool.take()
            if slot is None:
                self.somebody_waits = True
                return None
            view = pool.view(slot, length_bytes)
            return Request(op, offset_bytes, length_bytes, fua, on_done, (), (slot,), (view,))
        if not 0 < length_bytes <= pool.slots * SPLIT_BYTES:
            # No view: `submit` will refuse it.
            return Request(op, offset_bytes, length_bytes, fua, on_done, (), (), ())
        pieces = split(op, offset_bytes, length_bytes)
        if len(pieces) > pool.free_count:
            if len(pieces) > pool.slots:
                return Request(op, offset_bytes, length_bytes, fua, on_done, (), (), ())
            self.somebody_waits = True
            return None
        slots, views = [], []
        for _, piece_bytes in pieces:
            slot = pool.take()
            assert slot is not None
            slots.append(slot)
            views.append(pool.view(slot, piece_bytes))
        return Request(op, offset_bytes, length_bytes, fua, on_done, pieces, slots, views)

    def give_back(self, request: Request) -> None:
        """The views are not needed any more; harmless twice."""
        slots, request.slots, request.views = request.slots, (), ()
        for slot in slots:
            self._pool.give(slot)
        if slots and self.somebody_waits:
            self.tell_room()

    def tell_room(self) -> None:
        """Something came back: whoever was told to ask again may."""
        if self.somebody_waits:
            self.somebody_waits = False
            if self.on_room is not None:
                self.on_room()
