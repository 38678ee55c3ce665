"""The networks of a server as a host sees them, one for each data port: which of them works, and how sure we are of it.

A network is *proved* when a path over it has come up, and *in doubt* from the moment that one over it was lost, or was
never tried in this session. While it is in doubt one path at a time tries it, and rests in between, longer each time,
at most REST_MOST_S: a dead network costs a process every few seconds and nothing else, whatever it was to carry.

Two patiences keep the paths from running to and fro
  * PATIENCE_S: for so long after the doubt began its share is kept free for it: most often it is back at once, because
    a process died and no cable was cut. After that its share goes to the others.
  * `steady_s`: a network that was proved again must stay so for this long before a path that works elsewhere is given
    up for it; twice as long each time that it fell again soon.

Pure: time and randomness are handed in.
"""

from dataclasses import dataclass

from ipc.backoff import Backoff
from protocol.records import DataPort

REST_FIRST_S = 0.05
REST_MOST_S = 3.0
PATIENCE_S = 1.0
STEADY_FIRST_S = 1.0
STEADY_MOST_S = 60.0
STOOD_LONG_S = 300.0
"""A network that had stood for so long begins with STEADY_FIRST_S again."""
SHORT_LIFE_S = 1.0
"""A path that was up for less does not show that its network works: without a rest it would flap at full speed."""


@dataclass(slots=True, eq=False)
class Network:
    """One data port of the server, and what is known of the way to it."""

    port: DataPort
    backoff: Backoff
    doubted_s: float
    """Since when it is in doubt; of no meaning while it is proved."""
    probe_at_s: float
    """When it may be tried next, while it is in doubt."""
    proved_s: float | None = None
    """Since when it is proved; None while it is in doubt."""
    steady_s: float = STEADY_FIRST_S
    stood_s: float = STOOD_LONG_S
    """For how long it was proved, the last time."""
    is_down: bool = False
    """It was tried in vain since it was last proved."""
    trouble: str = ""
    """Why the last path over it failed or was lost, in words; of interest while it is in doubt."""

    @property
    def in_doubt(self) -> bool:
        return self.proved_s is None

    def is_hoped_for(self, now_s: float) -> bool:
        """Whether its share is still kept free for it."""
        return self.in_doubt and now_s < self.doubted_s + PATIENCE_S

    def is_steady(self, now_s: float) -> bool:
        """Whether it has been proved for long enough to give up for it what works elsewhere."""
        return self.proved_s is not None and now_s >= self.proved_s + self.steady_s

    def next_at(self, now_s: float) -> float | None:
        """Give when any of these answers changes next by time alone."""
        if self.proved_s is not None:
            changes = [self.proved_s + self.steady_s]
        else:
            changes = [self.probe_at_s, self.doubted_s + PATIENCE_S]
        return min((at_s for at_s in changes if at_s > now_s), default=None)

    # -- what happens on it --------------------------------------------------------------------------------------

    def came_up(self, now_s: float) -> None:
        """A path over it is up."""
        if self.in_doubt:
            self.proved_s = now_s
            self.is_down = False

    def lost_one(self, lived_s: float, now_s: float) -> None:
        """A path over it was up for `lived_s`, and is lost."""
        self.doubt(now_s)
        if lived_s < SHORT_LIFE_S:
            self.probe_at_s = now_s + self.backoff.next()
        else:
            self.backoff.reset()
            self.probe_at_s = now_s

    def failed(self, now_s: float) -> None:
        """A path over it did not come up."""
        self.doubt(now_s)
        if not self.is_down:
            self.is_down = True
            fell_soon = self.stood_s < STOOD_LONG_S
            self.steady_s = min(2 * self.steady_s, STEADY_MOST_S) if fell_soon else STEADY_FIRST_S
        self.probe_at_s = now_s + self.backoff.next()

    def doubt(self, now_s: float) -> None:
        """From now on it must be proved anew."""
        if self.proved_s is not None:
            self.doubted_s = now_s
            self.stood_s = now_s - self.proved_s
            self.proved_s = None

    def begin(self, now_s: float) -> None:
        """A session begins: whatever was known of it is old, and it may be tried at once."""
        self.doubt(now_s)
        self.doubted_s = now_s
        self.try_now(now_s)

    def try_now(self, now_s: float) -> None:
        """Something has changed that may have brought it back: try it at once."""
        if self.in_doubt:
            self.backoff.reset()
            self.probe_at_s = now_s
