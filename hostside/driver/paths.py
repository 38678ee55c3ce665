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
    one's) over its measured rate. So two unequal networks share the load by what they can do, and a path
    whose server or drive stalls is avoided while it stalls (trap 19).
  * A command weighs `COMMAND_COST_BYTES` more than its payload: small ones are not free.

Rate: bytes ended over the time in which the path held something, both as sums that forget (an exponentially
weighted mean that bursts of reports do not disturb). A path that was measured slow once, and is never
chosen since, would be slow for ever; therefore one that stood idle for `PROBE_S` is given a constituent to
show what it can.
"""

COMMAND_COST_BYTES = 4096
RATE_AT_FIRST = 100e6
"""Bytes per second, of a path not measured yet."""
_FIRST_WEIGHT_BYTES = 65536
_KEEP = 0.875
"""How much of the sums a new sample leaves."""
PROBE_S = 1.0


def is_newer(incarnation: int, other: int) -> bool:
    """Compare two 16-bit incarnations, which wrap around."""
    return 0 < (incarnation - other) & 0xFFFF < 0x8000


class Path:
    """One incarnation of one path."""

    __slots__ = (
        "batch",
        "busy_from_s",
        "bytes_sum",
        "done_bytes",
        "era",
        "held_bytes",
        "incarnation",
        "index",
        "is_closing",
        "room",
        "seconds_per_byte",
        "seconds_sum",
        "window",
    )

    def __init__(self, index: int, incarnation: int, seconds_per_byte: float, now_s: float, era: int) -> None:
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
        """What it has ended since the last sample."""
        self.busy_from_s = now_s
        """Since when the time of the next sample counts."""
        self.seconds_per_byte = seconds_per_byte
        self.bytes_sum = float(_FIRST_WEIGHT_BYTES)
        self.seconds_sum = seconds_per_byte * _FIRST_WEIGHT_BYTES
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

    def sample(self, now_s: float) -> None:
        """Take what ended since the last sample into the rate."""
        self.bytes_sum = self.bytes_sum * _KEEP + self.done_bytes
        self.seconds_sum = self.seconds_sum * _KEEP + (now_s - self.busy_from_s)
        self.seconds_per_byte = max(self.seconds_sum / self.bytes_sum, 1e-12)
        self.done_bytes = 0
        self.busy_from_s = now_s


class Paths:
    """All paths of the disk's server."""

    __slots__ = ("_ended", "_next_probe_s", "era", "live", "pathless_since_s")

    def __init__(self, now_s: float) -> None:
        self.live: list[Path] = []
        """The newest incarnation of each path that is not lost."""
        self._ended: dict[int, int] = {}
        """The newest lost incarnation of each path."""
        self._next_probe_s = now_s + PROBE_S
        self.pathless_since_s: float | None = now_s
        """Since when no path takes anything; None while one does."""
        self.era = 0
        """That of incarnations to come."""

    def choose(self, cost_bytes: int) -> Path | None:
        """Give the path expected to finish `cost_bytes` more first; None when every window is full."""
        best = None
        best_s = 0.0
        for path in self.live:
            if path.room > 0:
                finish_s = (path.held_bytes + cost_bytes) * path.seconds_per_byte
                if best is None or finish_s < best_s:
                    best = path
                    best_s = finish_s
        return best

    def to_probe(self, now_s: float) -> Path | None:
        """Give a path that has stood idle for long, at most one in `PROBE_S`: its rate may be out of date."""
        if now_s < self._next_probe_s:
            return None
        self._next_probe_s = now_s + PROBE_S
        for path in self.live:
            if path.room > 0 and not path.held_bytes and now_s - path.busy_from_s >= PROBE_S:
                return path
        return None

    def sample(self, now_s: float) -> None:
        """Measure every path that ended something."""
        for path in self.live:
            if path.done_bytes:
                path.sample(now_s)

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
            path.seconds_per_byte = 1 / bytes_per_s
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
        rate = 1 / RATE_AT_FIRST if former is None else former.seconds_per_byte
        path = Path(index, incarnation, rate, now_s, self.era)
        if former is not None:
            self.live.remove(former)
        self.live.append(path)
        return path

    def _note_pathless(self, now_s: float) -> None:
        if any(path.window > 0 for path in self.live):
            self.pathless_since_s = None
        elif self.pathless_since_s is None:
            self.pathless_since_s = now_s
