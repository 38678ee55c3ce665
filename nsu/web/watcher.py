"""Looks at the machine every EVERY_S seconds, and remembers: the newest answers, the rates of the last minutes, events.

One look at a time; who asks while one is being made waits for it. A role that does not answer is None, as in
`nsu status`.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ipc.control import ControlError
from nsu.alarms import Alarm
from nsu.events import events_between
from nsu.rates import Rate, Totals, rates_of, totals_of

EVERY_S = 2.0
POINTS_MAX = 300
"""Ten minutes."""

Found = dict[str, Any]


class Point(NamedTuple):
    """The rates between two looks."""

    at: float
    """Seconds since 1970."""
    rates: dict[str, Rate]


class Watcher:
    """`gather` asks the processes; `note` is told each event. For several threads."""

    def __init__(self, gather: Callable[[], Found], note: Callable[[Alarm], object]) -> None:
        self._gather = gather
        self._note = note
        self._lock = threading.Lock()
        self._found: Found | None = None
        self._looked_s = 0.0
        self._is_old = False
        self._totals: dict[str, Totals] = {}
        self.points: deque[Point] = deque(maxlen=POINTS_MAX)

    def found(self, max_age_s: float = EVERY_S) -> Found:
        """Give answers that are not older than `max_age_s`. Raises ControlError, OSError: no supervisor answers."""
        with self._lock:
            now_s = time.monotonic()
            if self._found is None or self._is_old or now_s - self._looked_s > max_age_s:
                self._is_old = False
                found = self._gather()
                self._take(found, time.monotonic())
                return found
            return self._found

    def outdate(self) -> None:
        """Something was changed: whoever asks next is told of what is then."""
        with self._lock:
            self._is_old = True

    def look(self) -> None:
        """Look now; that nobody answers is no error of this process."""
        try:
            self.found(max_age_s=EVERY_S / 2)
        except (ControlError, OSError):
            return

    def _take(self, found: Found, now_s: float) -> None:
        totals = totals_of(found)
        if self._found is not None:
            for event in events_between(self._found, found):
                self._note(event)
            self.points.append(Point(time.time(), rates_of(self._totals, totals, now_s - self._looked_s)))
        self._found, self._totals, self._looked_s = found, totals, now_s

    def newest_rates(self) -> dict[str, Rate]:
        """Give what moves now; empty before the second look."""
        return self.points[-1].rates if self.points else {}
