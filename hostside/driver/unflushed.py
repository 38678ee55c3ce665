"""What the NSU has acknowledged and not flushed, and whether it is lost: pure counting, no I/O.

Time is cut into eras: one ends, and the next begins, when the NSU says that it may have lost what it held in volatile
memory (FORGOTTEN, hostside/packets.py). An incarnation of a path belongs to the era in which it became available, for
good: its socket leads to the machine as it was then, so whatever it reports, however late, was done in that era.

The law: a write that was acknowledged in era a is made durable by a FLUSH that was done in era a. If the first FLUSH
that covers it was done in a later era, it may be lost, and that FLUSH must not be called good.
  * A write of several constituents belongs to the eldest era of theirs: what was acknowledged of it before the loss is
    gone as well, though the rest was sent again and acknowledged after it.
  * FUA is durable when it is acknowledged, and needs no FLUSH; it says nothing of writes before it. So it is neither
    counted here nor failed.
  * Told once: the FLUSH that fails speaks for all that was acknowledged till then in eras before it; every FLUSH that
    was submitted by then fails too (flushes.py), for its caller may be another one. A write that was still in flight is
    not among those: nobody has been told of it yet, so the FLUSH after its end is the one to fail.
"""

from typing import Final

NEVER: Final = 1 << 62
"""No era: of what has not been acknowledged."""


class Unflushed:
    """The eras of acknowledged writes: of those that the FLUSH on its way covers, and of those after it."""

    __slots__ = ("_covered", "_open")

    def __init__(self) -> None:
        self._open: set[int] = set()
        self._covered: set[int] = set()

    def acknowledged(self, era: int) -> None:
        """Note that a write has been acknowledged, without FUA, in `era`."""
        self._open.add(era)

    def flush_begins(self) -> None:
        """Let the FLUSH that goes out now cover all that was acknowledged until now."""
        self._covered, self._open = self._open, self._covered
        self._open.clear()

    def flush_failed(self) -> None:
        """Leave it to the next FLUSH: this one has made nothing durable, for all one knows."""
        self._open |= self._covered
        self._covered.clear()

    def flush_done(self, era: int) -> bool:
        """Give whether something that it covers may be lost; the FLUSH was done in `era`."""
        is_lost = any(acked < era for acked in self._covered)
        self._covered.clear()
        if is_lost:
            self._open = {acked for acked in self._open if acked >= era}
        return is_lost
