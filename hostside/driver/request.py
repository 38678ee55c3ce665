"""A request of a front-end, and the constituents it is carried by (Section II: "constituent I/O requests").

A request goes through three states, each seen in two fields:
  made       in_flight False, finished False    it has its slots, and its views may be filled
  in flight  in_flight True                     submitted; nobody but the driver and the agents touches the
  views
  finished   finished True                      `status` and `sentence` stand; a read's views hold the data
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hostside.driver.unflushed import NEVER

if TYPE_CHECKING:
    from hostside.driver.flushes import Epoch
    from hostside.driver.notes import TraceWish
    from hostside.driver.paths import Path


class Request:
    """What a front-end asks for: `HostDriver.request` makes it, `submit` takes it, `release` ends it."""

    __slots__ = (
        "acked_in",
        "blockers",
        "end_bytes",
        "epoch",
        "finished",
        "fua",
        "in_flight",
        "length_bytes",
        "offset_bytes",
        "on_done",
        "op",
        "pending",
        "pieces",
        "released",
        "sentence",
        "slots",
        "status",
        "views",
        "waiters",
    )

    def __init__(
        self,
        op: int,
        offset_bytes: int,
        length_bytes: int,
        fua: bool,
        on_done: Callable[["Request"], None],
        pieces: Sequence[tuple[int, int]],
        slots: Sequence[int],
        views: Sequence[memoryview],
    ) -> None:
        self.op = op
        self.offset_bytes = offset_bytes
        self.length_bytes = length_bytes
        self.end_bytes = offset_bytes + length_bytes
        self.fua = fua
        self.on_done = on_done
        """Called once, when the request has finished; it may submit and release requests."""
        self.pieces = pieces
        """READ and WRITE of several constituents: (offset_bytes, length_bytes) of each; others are split later."""
        self.slots = slots
        self.views = views
        """READ and WRITE: the payload, one view per constituent, in order."""
        self.status = 0
        """0 or an errno number."""
        self.sentence = ""
        self.pending = 0
        """Constituents that have not ended."""
        self.acked_in = NEVER
        """The eldest era in which a constituent was acknowledged (hostside/driver/unflushed.py)."""
        self.blockers = 0
        """Older writes that this one waits for (hostside/driver/ranges.py)."""
        self.waiters: list[Request] | None = None
        """Newer requests that wait for this write."""
        self.epoch: Epoch | None = None
        """A write's place before or after each FLUSH (hostside/driver/flushes.py)."""
        self.in_flight = False
        self.finished = False
        self.released = False

    def fail(self, status: int, sentence: str) -> None:
        """Note a failure; the first one is what the front-end is told."""
        if not self.status:
            self.status = status
            self.sentence = sentence


class Constituent:
    """One command on one path at a time: at most 64 KiB of a READ or WRITE, 64 MiB of a TRIM, or a FLUSH."""

    __slots__ = (
        "cost_bytes",
        "flags",
        "generation",
        "lba",
        "length_bytes",
        "op",
        "parent",
        "path",
        "refusals",
        "slot",
        "stale",
        "tag",
        "trace",
    )

    path: "Path"
    """The path that holds it; set, with `tag` and `generation`, whenever it is given to one."""
    tag: int
    generation: int

    def __init__(
        self, parent: Request, op: int, flags: int, lba: int, length_bytes: int, slot: int, cost_bytes: int
    ) -> None:
        self.parent = parent
        """Section II: "tagged with an identifier of the original application-level I/O request"."""
        self.op = op
        self.flags = flags
        self.lba = lba
        self.length_bytes = length_bytes
        self.slot = slot
        self.cost_bytes = cost_bytes
        """What it weighs on its path."""
        self.refusals = 0
        """How often it was sent back unexecuted (ESTALE, ESHUTDOWN)."""
        self.stale = False
        """It was refused as stale, and a UNIT report came since."""
        self.trace: TraceWish | None = None
