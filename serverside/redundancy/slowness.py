"""When a drive is too slow to stay: a rule over windows of time. Pure: what was counted goes in, a step comes out.

A slow drive holds up every request that touches it; a healthy one that is only busy must stay. So the rule is narrow
(docs/arrays.md has it as a table, docs/decisions/0013 the reasons):

  * Like is compared with like: reads with reads, writes that wait for the medium with such. Others only measure memory.
  * A place is slow in a window if it has a mean of `least_us` or more, and TIMES the median of the other places'. All
    of these did something of the kind, or there is nothing to compare with. Where two are slow, the machine is, or its
    users are many: nobody is blamed.
  * After WINDOWS_TO_TRIAL such windows in a row it goes on trial: its reads are done by the owner alone, one at a time,
    so that no queue of our own making is held against it. Only what stays slow then, for WINDOWS_TO_VERDICT more, is
    put out. One window that is not slow, or says nothing, ends it all, and after a trial it has rest.
  * Without a spare that takes the place, a slow drive is worth more than no redundancy: then only one that is as good
    as dead is put out.
"""

from collections.abc import Mapping
from enum import Enum, auto
from statistics import median
from typing import NamedTuple

WINDOW_S = 10
WINDOW_MOST_S = 60
"""A window is longer than WINDOW_S while it says nothing yet: a drive as good as dead does one thing in seconds."""
WINDOWS_TO_TRIAL = 3
WINDOWS_TO_VERDICT = 3
REST_WINDOWS = 30
"""After a trial that it stood."""
OPERATIONS_MIN = 3
"""Of a kind, of each place, in a window: fewer say nothing."""
TIMES = 10
LEAST_US = 100_000
LEAST_US_WITHOUT_SPARE = 1_000_000


class Load(NamedTuple):
    """What was done with a place's drive in a window, and how long that took."""

    reads: int = 0
    read_us: int = 0
    stables: int = 0
    """Durable writes and syncs."""
    stable_us: int = 0


class Slow(NamedTuple):
    """A place that is slow, and the words that say how."""

    place: int
    words: str


class Step(Enum):
    """What is to be done."""

    NOTHING = auto()
    TRY = auto()
    """Keep all load but the owner's from the place."""
    ACQUIT = auto()
    PUT_OUT = auto()


def says_something(loads: Mapping[int, Load]) -> bool:
    """Whether there is something to compare."""
    reads = min(load.reads for load in loads.values())
    stables = min(load.stables for load in loads.values())
    return max(reads, stables) >= OPERATIONS_MIN


def slow_in(loads: Mapping[int, Load], least_us: int) -> Slow | None:
    """Give the one place that is slow in this window."""
    reads = {place: (load.reads, load.read_us) for place, load in loads.items()}
    stables = {place: (load.stables, load.stable_us) for place, load in loads.items()}
    found = [*_slow_of("read", reads, least_us), *_slow_of("write that waits for the medium", stables, least_us)]
    return found[0] if len({slow.place for slow in found}) == 1 else None


def _slow_of(kind: str, done: Mapping[int, tuple[int, int]], least_us: int) -> list[Slow]:
    if len(done) < 2 or any(count < OPERATIONS_MIN for count, _ in done.values()):
        return []
    means_us = {place: spent_us / count for place, (count, spent_us) in done.items()}
    found = []
    for place, mean_us in means_us.items():
        usual_us = median(means_us[other] for other in means_us if other != place)
        if mean_us >= max(least_us, TIMES * usual_us):
            words = f"{mean_us / 1000:.0f} ms for a {kind}, the others {usual_us / 1000:.1f} ms"
            found.append(Slow(place, words))
    return found


class Judge:
    """Hears window after window. `place` is who is suspected, or on trial."""

    def __init__(self) -> None:
        self.place: int | None = None
        self.windows = 0
        """In a row, those before the trial included."""
        self.rest_windows = 0

    @property
    def on_trial(self) -> int | None:
        """The place that is on trial."""
        return self.place if self.windows >= WINDOWS_TO_TRIAL else None

    def hear(self, loads: Mapping[int, Load], *, has_spare: bool) -> tuple[Step, Slow | None]:
        """Take one window of all places; tell what is to be done, and with whom."""
        slow = slow_in(loads, LEAST_US if has_spare else LEAST_US_WITHOUT_SPARE)
        if self.rest_windows:
            self.rest_windows -= 1
            return Step.NOTHING, None
        if slow is None or (self.place is not None and slow.place != self.place):
            return self._let_go(), None
        self.place = slow.place
        self.windows += 1
        if self.windows == WINDOWS_TO_TRIAL:
            return Step.TRY, slow
        if self.windows == WINDOWS_TO_TRIAL + WINDOWS_TO_VERDICT:
            self.forget()
            return Step.PUT_OUT, slow
        return Step.NOTHING, slow

    def forget(self) -> None:
        """Suspect nobody: the array is not what it was."""
        self.place, self.windows = None, 0

    def _let_go(self) -> Step:
        was_on_trial = self.on_trial is not None
        self.forget()
        if not was_on_trial:
            return Step.NOTHING
        self.rest_windows = REST_WINDOWS
        return Step.ACQUIT
