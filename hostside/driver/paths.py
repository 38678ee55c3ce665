"""Paths: which agents take work, how fast they are, and who gets the next constituent.

"The I/O requests from user-level applications are dynamically assigned to TCP/IP socket connections ...
without the need for a fixed mapping between applications and sockets" (Section II, Figure 7).

Rules
  * A path says AVAILABLE (message 1H of Figure 5) with its window: how many commands it takes AT ONCE from
    this disk. Said again, it replaces the window. A window of 0 is the last word of an incarnation before
    LOST: its agent is dead and reaped, so it takes nothing, reports nothing and writes into no slot any
    more; but what it holds can still be applied. Such a path is no path.
  * An incarnation of a path lives from its AVAILABLE to its LOST. A newer AVAILABLE ends the giving to the
    older incarnation, but what that one holds stays with it until it is DONE or LOST: only LOST says that
    nothing of it can still be applied. What comes late, for an incarnation that is over, is ignored.
  * A server that answers ESHUTDOWN gets nothing more on that path in this incarnation (trap 23); nor does a path that
    says CLOSING.
  * The next constituent goes to the path that is expected to finish it first: (bytes that it holds + this
    one's) times its slowness. So two unequal networks share the load by what they can do, and a path
    whose server or drive stalls is avoided while it stalls (trap 19).
  * A command weighs `COMMAND_COST_BYTES` more than its payload: small ones are not free.

Slowness: 1 for a path as good as any. Always one constituent on each path is timed, from its giving to its end. Where
that takes clearly longer than the mean of all paths, slowness grows; where it takes clearly less, it falls so far that
as much is given there as then; where times are alike it falls back to 1, slowly. So the times of all paths in use
become alike, which is what "finish first" ends in, and paths that are alike hold alike.

Why not a rate, bytes ended over time: over a long way a path that holds little moves little, however much it could.
Its rate is low because it is given little, and it is given little because its rate is low: of eight equal paths at
20 ms five stood all but idle while the others filled their TCP windows. A time does not fall into that trap: until
something is full, it does not depend on what is held.

A path that was slow once, and is never chosen since, would be slow for ever; therefore one that stood idle for
`PROBE_S` is given a constituent to show what it can.
"""

from math import inf, sqrt

COMMAND_COST_BYTES = 4096
RATE_AT_FIRST = 100e6
"""Bytes per second, of a path not measured yet: its slowness is 1."""
SLOWNESS_MOST = 1000.0
ALIKE = 1.25
"""Times that differ by less are alike, """
ALIKE_S = 0.0001
"""or that differ by less than this: a process was put aside for a moment."""
STEP_MOST = 2.0
"""By how much one sample may raise the slowness."""
FORGET = 0.9
"""What is left of the slowness beyond 1 after a sample that was no worse than the mean."""
NEW = 0.125
"""The weight of a sample in the mean of all paths."""
LATE = 2.0
"""After so many times the mean time a constituent is late."""
PROBE_S = 1.0


def is_newer(incarnation: int, other: int) -> bool:
    """Compare two 16-bit incarnations, which wrap around."""
    return 0 < (incarnation - other) & 0xFFFF < 0x8000


class Path:
    """One incarnation of one path."""

    __slots__ = (
        "batch",
        "busy_from_s",
        "done_bytes",
        "era",
        "held_bytes",
        "incarnation",
        "index",
        "is_closing",
        "late_at_s",
        "room",
        "slowness",
        "timed_bytes",
        "timed_from_s",
        "timing_bytes",
        "window",
    )

    def __init__(self, index: int, incarnation: int, slowness: float, now_s: float, era: int) -> None:
        self.index = index
        self.incarnation = incarnation
        self.era = era
        """In which it became available (hostside/driver/unflushed.py)."""
        self.window = 0
        self.room = 0
        """Commands that it still takes now; below 0 when the window shrank."""
        self.held_bytes = 0
        """What it was given and has not ended, in cost."""
        self.done_bytes = 0
        """What it has ended since that was last looked at."""
        self.busy_from_s = now_s
        """When it was last given something while it held nothing, or ended something."""
        self.slowness = slowness
        self.timed_bytes = 0
        """What it held when the timed constituent was given, that included."""
        self.timing_bytes = 0
        """What of it has not ended yet (a path ends in order what it holds); 0: nothing is timed."""
        self.timed_from_s = 0.0
        self.late_at_s = 0.0
        """When the timed constituent is so late that its end need not be waited for, to learn from it."""
        self.is_closing = False
        self.batch: list[bytes] = []
        """COMMAND packets to be handed out."""

    def resize(self, window: int) -> None:
        """Change the window."""
        self.room += window - self.window
        self.window = window

    def take_batch(self) -> bytes:
        """Give the packets to be handed out, joined."""
        packets = b"".join(self.batch)
        self.batch.clear()
        return packets

    def time_next(self, cost_bytes: int, now_s: float, late_after_s: float) -> None:
        """Time the constituent that it is given now."""
        self.timed_bytes = self.timing_bytes = self.held_bytes + cost_bytes
        self.timed_from_s = now_s
        self.late_at_s = now_s + late_after_s


class Paths:
    """All paths of the disk's server."""

    __slots__ = ("_ended", "_next_probe_s", "_now_s", "_score", "_took_s", "era", "live", "pathless_since_s")

    def __init__(self, now_s: float) -> None:
        self.live: list[Path] = []
        """The newest incarnation of each path that is not lost."""
        self._ended: dict[int, int] = {}
        """The newest lost incarnation of each path."""
        self._next_probe_s = now_s + PROBE_S
        self._now_s = now_s
        """Of the present giving."""
        self._took_s = 0.0
        """For how long a path had a constituent, on average over the last samples of all paths."""
        self._score = 0.0
        """And what the path held then, times its slowness."""
        self.pathless_since_s: float | None = now_s
        """Since when no path takes anything; None while one does."""
        self.era = 0
        """That of incarnations to come."""

    def choose(self, cost_bytes: int) -> Path | None:
        """Give the path expected to finish `cost_bytes` more first; None when every window is full."""
        best = None
        best_finish = 0.0
        for path in self.live:
            if path.room > 0:
                finish = (path.held_bytes + cost_bytes) * path.slowness
                if best is None or finish < best_finish:
                    best = path
                    best_finish = finish
        if best is not None and not best.timing_bytes:
            best.time_next(cost_bytes, self._now_s, LATE * (self._took_s or inf))
        return best

    def to_probe(self, now_s: float) -> Path | None:
        """Give a path that has stood idle for long, at most one in `PROBE_S`: how slow it is may be out of date.

        Called before each giving, of which it is also told the time.
        """
        self._now_s = now_s
        if now_s < self._next_probe_s:
            return None
        self._next_probe_s = now_s + PROBE_S
        for path in self.live:
            if path.room > 0 and not path.held_bytes and now_s - path.busy_from_s >= PROBE_S:
                path.time_next(COMMAND_COST_BYTES, now_s, LATE * (self._took_s or inf))
                return path
        return None

    def sample(self, now_s: float) -> None:
        """Learn from every path that ended what is timed, or is late with it."""
        for path in self.live:
            if path.done_bytes:
                path.busy_from_s = now_s
                if path.timing_bytes:
                    path.timing_bytes -= path.done_bytes
                    if path.timing_bytes <= 0:
                        path.timing_bytes = 0
                        path.timed_bytes = max(path.timed_bytes, path.done_bytes)  # of a probe the size was not known
                        self._learn(path, now_s - path.timed_from_s)
                path.done_bytes = 0
            elif path.timing_bytes and now_s >= path.late_at_s:
                took_s = now_s - path.timed_from_s
                path.late_at_s = now_s + took_s
                self._learn(path, took_s)

    def _learn(self, path: Path, took_s: float) -> None:
        """Compare a path's time with the mean of all."""
        mean_s = self._took_s or took_s
        if took_s > mean_s * ALIKE + ALIKE_S:
            path.slowness = min(SLOWNESS_MOST, path.slowness * min(STEP_MOST, sqrt(took_s / mean_s)))
        else:
            if took_s * ALIKE + ALIKE_S < mean_s:
                path.slowness = min(path.slowness, max(1.0, self._score / path.timed_bytes))
            path.slowness = 1.0 + (path.slowness - 1.0) * FORGET
        self._took_s = mean_s + (took_s - mean_s) * NEW
        self._score += (path.timed_bytes * path.slowness - self._score) * NEW

    def available(self, index: int, incarnation: int, window: int, bytes_per_s: int, now_s: float) -> None:
        """Message 1H."""
        path = self._find(index)
        if path is None or is_newer(incarnation, path.incarnation):
            ended = self._ended.get(index)
            if ended is not None and not is_newer(incarnation, ended):
                return
            path = self._open(index, incarnation, path, now_s)
        if path.incarnation != incarnation or path.is_closing:
            return
        if bytes_per_s:
            path.slowness = RATE_AT_FIRST / bytes_per_s
        path.resize(window)
        path.is_closing = window == 0
        self._note_pathless(now_s)

    def lost(self, index: int, incarnation: int, now_s: float) -> None:
        """`incarnation` of the path, and every one before it, takes nothing any more."""
        ended = self._ended.get(index)
        if ended is None or is_newer(incarnation, ended):
            self._ended[index] = incarnation
        path = self._find(index)
        if path is not None and not is_newer(path.incarnation, incarnation):
            self.live.remove(path)
            self._note_pathless(now_s)

    def closing(self, index: int, incarnation: int, now_s: float) -> None:
        """The path says that it takes nothing more; what it holds it finishes."""
        path = self._find(index)
        if path is not None and path.incarnation == incarnation:
            self.close(path, now_s)

    def close(self, path: Path, now_s: float) -> None:
        """Give `path` nothing more in this incarnation."""
        path.is_closing = True
        path.resize(0)
        self._note_pathless(now_s)

    def _find(self, index: int) -> Path | None:
        return next((path for path in self.live if path.index == index), None)

    def _open(self, index: int, incarnation: int, former: Path | None, now_s: float) -> Path:
        """Add an incarnation; it starts with what was measured of its predecessor."""
        path = Path(index, incarnation, 1.0 if former is None else former.slowness, now_s, self.era)
        if former is not None:
            self.live.remove(former)
        self.live.append(path)
        return path

    def _note_pathless(self, now_s: float) -> None:
        if any(path.window > 0 for path in self.live):
            self.pathless_since_s = None
        elif self.pathless_since_s is None:
            self.pathless_since_s = now_s
