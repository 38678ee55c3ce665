"""Running on one processor with those one works with, for as long as there is only one thing to do at a time.

Why: a request that travels alone through four processes wakes each of them in turn, and nothing runs beside it. Waking
a process on another processor that has gone to sleep takes 20 to 50 us; on the same one, a few. The scheduler spreads
processes over idle processors all the same, for it cannot know that they never run at once.

Rules
  * Roam at first. After `ALONE_TURNS` turns in a row with one thing to do, join: run where the others do.
  * A turn with more than one thing to do: roam at once, for now processors can work beside each other.
  * Every `LOOK_TURNS` turns look where the others are, and how long this process has waited for the processor each
    time that it got it. Somebody else may need that one: more than `WAIT_MOST_NS`, and it roams for `SHY_TURNS`.
  * Turns are counted, not seconds: no look at a clock on the way of a block.
  * Which processors it may use is asked at each joining, and if it is found to be elsewhere than it went, somebody else
    has put it there (taskset, a cpuset): then it stays.
"""

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress

ALONE_TURNS = 64
LOOK_TURNS = 512
SHY_TURNS = 50_000
WAIT_MOST_NS = 150_000
"""Those who work together wait for each other too, for 10 to 30 us."""

_getcpu = ctypes.CDLL(None).sched_getcpu


class Together:
    """Where this process runs. `where` gives the processor of those that it works with; below 0: there is none."""

    __slots__ = ("_alone", "_at_home", "_patience", "_slices", "_waited_ns", "_where", "at")

    def __init__(self, where: Callable[[], int]) -> None:
        self._where = where
        self._at_home = os.sched_getaffinity(0)
        """Where it may run while it roams."""
        self._alone = 0
        """Turns in a row with one thing to do."""
        self._patience = ALONE_TURNS
        self._waited_ns = self._slices = 0
        self.at = -1
        """The processor it has joined; below 0: it roams."""

    def turn(self, things: int) -> None:
        """Note a turn with so many things to do."""
        if things > 1:
            self._alone = 0
            if self.at >= 0:
                self.roam()
            return
        self._alone += 1
        if self._alone >= self._patience:
            self._look()

    def roam(self) -> None:
        """Go wherever the kernel likes."""
        with suppress(OSError):  # somebody has taken all of them away meanwhile
            if os.sched_getaffinity(0) == {self.at}:
                os.sched_setaffinity(0, self._at_home)
        self.at = -1

    def _look(self) -> None:
        self._alone = 0
        self._patience = LOOK_TURNS
        at = self._where()
        if self.at >= 0 and (at < 0 or self._waits_long()):
            self.roam()
            self._patience = ALONE_TURNS if at < 0 else SHY_TURNS
        elif at != self.at:
            self._join(at)

    def _join(self, at: int) -> None:
        if self.at < 0:
            self._at_home = os.sched_getaffinity(0)
        if len(self._at_home) > 1 and at in self._at_home:
            with suppress(OSError):
                os.sched_setaffinity(0, {at})
                self.at = at
                self._waits_long()  # from here on

    def _waits_long(self) -> bool:
        """Whether this process has waited long for its processor, each time on the average since the last look."""
        try:
            waited_ns, slices = waits()
        except OSError:
            return False
        long = waited_ns - self._waited_ns > WAIT_MOST_NS * max(1, slices - self._slices)
        self._waited_ns, self._slices = waited_ns, slices
        return long


def here() -> int:
    """Give the processor that this runs on now."""
    return int(_getcpu())


def waits() -> tuple[int, int]:
    """Give for how many nanoseconds this process has waited to run, and how often it has run: Linux, schedstats."""
    with open("/proc/self/schedstat", "rb") as file:
        _, waited_ns, slices = file.read().split()
    return int(waited_ns), int(slices)
