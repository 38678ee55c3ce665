"""How many paths a server is to have: CONNECTIONS, and more while it helps, up to CONNECTIONS_MAX.

"New socket connections can be opened, for example, in response to long network response times, failed socket
connections, the availability of new physical connections, and increases in I/O requests" (Section I). Failed
connections and new networks are balance.py's. Here are the other two, and they count only together:

- increases in I/O requests: every window is full and requests wait, for GROW_AFTER ticks in a row;
- long network response times: the round trip of the network alone, as TCP has measured it, is FAR_S or more. In one
  building a path is never what holds requests up; one more would only take processor time from the others.

Whether more paths help is not deduced but tried, because a full network and a long one look alike from the outside:
half as many more are opened, and unless that moves clearly more bytes they are closed again, and the next trial comes
much later (REST_FIRST_S, twice as long each time). When the load has been small for SHRINK_AFTER ticks, all that were
added are closed. "Small" is half of what the kept paths hold, and growth needs more than all of it: so it never flaps.

```
 NORMAL ──full and far──▶ TRYING ──it moves more, or there is room now──▶ NORMAL with more paths
   ▲                        │ it does not
   └────────────────────────┘ with as many as before, and a rest
```

Pure; called once a second.
"""

from dataclasses import dataclass, field
from enum import Enum, auto

FAR_S = 0.001
GROW_AFTER = 3
SETTLE = 2
"""Ticks of a trial in which the new paths come up and find their pace; not measured."""
MEASURE = 3
GAIN = 0.3
"""Of what the new paths would carry if each carried as much as the old ones, this share must be seen."""
GAIN_LEAST = 0.1
"""And no less of the whole: the load itself goes up and down."""
REST_FIRST_S = 60.0
REST_MOST_S = 3600.0
SHRINK_AFTER = 30


@dataclass(frozen=True, slots=True)
class Load:
    """What was seen in the last second."""

    is_full: bool
    """For most of it requests waited although every window was full."""
    in_flight_most: int
    """Requests on all paths at once, at the most."""
    bytes_per_s: float
    """Moved, with something for each request."""
    round_trip_s: float
    """Of the nearest network in use, without any program's work; 0.0: not known."""


class State(Enum):
    """Where the policy is."""

    NORMAL = auto()
    TRYING = auto()


@dataclass(slots=True)
class Growth:
    """Decides for one server. `kept` paths at least; each takes `window` requests at once."""

    kept: int
    window: int
    state: State = State.NORMAL
    wanted: int = field(init=False)
    before: int = field(init=False)
    """Paths before the trial."""
    rate_before: float = 0.0
    rates: list[float] = field(default_factory=list)
    """Of the ticks that count: in NORMAL those in a row that were full, in TRYING those of the trial."""
    small: int = 0
    """Ticks in a row with a small load."""
    rest_s: float = REST_FIRST_S
    not_before_s: float = 0.0

    def __post_init__(self) -> None:
        self.wanted = self.before = self.kept

    def tick(self, load: Load, up: int, most: int, now_s: float) -> int:
        """Give how many paths are wanted from now on. `up`: those that are; `most`: those that may be."""
        most = max(self.kept, most)
        if self.wanted > most:
            self._settle(most)
        if self.state is State.TRYING:
            self._try_on(load, up, now_s)
        else:
            self._consider(load, up, most, now_s)
        self._shrink(load)
        return self.wanted

    def _consider(self, load: Load, up: int, most: int, now_s: float) -> None:
        is_wanting = load.is_full and load.round_trip_s >= FAR_S and up >= self.wanted
        self.rates = [*self.rates[-GROW_AFTER + 1 :], load.bytes_per_s] if is_wanting else []
        if len(self.rates) < GROW_AFTER or self.wanted >= most or now_s < self.not_before_s:
            return
        self.rate_before = sum(self.rates) / len(self.rates)
        self.before = self.wanted
        self.wanted = min(most, self.wanted + max(1, self.wanted // 2))
        self.state, self.rates = State.TRYING, []

    def _try_on(self, load: Load, up: int, now_s: float) -> None:
        self.rates.append(load.bytes_per_s)
        if len(self.rates) < SETTLE + MEASURE:
            return
        rate = sum(self.rates[SETTLE:]) / MEASURE
        share = max(GAIN_LEAST, GAIN * (self.wanted / self.before - 1))
        if up >= self.wanted and (not load.is_full or rate >= self.rate_before * (1 + share)):
            self._settle(self.wanted)
            return
        self._settle(self.before)
        self.not_before_s = now_s + self.rest_s
        self.rest_s = min(2 * self.rest_s, REST_MOST_S)

    def _shrink(self, load: Load) -> None:
        self.small = self.small + 1 if load.in_flight_most * 2 <= self.kept * self.window else 0
        if self.small >= SHRINK_AFTER and self.wanted > self.kept:
            self._settle(self.kept)

    def _settle(self, wanted: int) -> None:
        self.wanted, self.state, self.rates = wanted, State.NORMAL, []
        if wanted > self.kept:
            self.rest_s = REST_FIRST_S
