"""Traces: the next constituent that somebody wants to see on its way through Figures 5 and 6."""

from collections.abc import Callable
from typing import Final

from hostside.driver.notes import Notes, Trace, TraceWish
from hostside.driver.request import Constituent
from protocol.limits import BLOCK_BYTES
from protocol.ops import Flag

_TRACE: Final = int(Flag.TRACE)


class Tracer:
    """Marks constituents for tracing, stamps the driver's own stages, and hands the stamps over."""

    __slots__ = ("_clock", "_notes", "wishes")

    def __init__(self, notes: Notes, clock: Callable[[], float]) -> None:
        self._notes = notes
        self._clock = clock
        self.wishes: list[TraceWish] = []

    def mark(self, constituent: Constituent) -> None:
        """Fulfil the eldest wish for this operation, if there is one."""
        wish = next((wish for wish in self.wishes if wish.op == constituent.op), None)
        if wish is not None:
            self.wishes.remove(wish)
            constituent.trace = wish
            constituent.flags |= _TRACE

    def begin(self, tag: int) -> None:
        """1H: the path's request for work has met a command. A command sent again begins anew."""
        self._notes.clear_stamps(tag)
        self._notes.stamp_named(tag, "1H", self._now_ns())

    def end(self, constituent: Constituent, status: int) -> None:
        """7H: the operating system is about to be told."""
        wish = constituent.trace
        assert wish is not None
        self._notes.stamp_named(constituent.tag, "7H", self._now_ns())
        wish.on_trace(
            Trace(
                op=constituent.op,
                offset_bytes=constituent.lba * BLOCK_BYTES,
                length_bytes=constituent.length_bytes,
                path=constituent.path.index,
                incarnation=constituent.path.incarnation,
                status=status,
                stamps=self._notes.named_stamps(constituent.tag),
            )
        )

    def _now_ns(self) -> int:
        return int(self._clock() * 1e9)
