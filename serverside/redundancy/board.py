"""What everybody may know of a redundant array at once: in shared memory, written by its owner alone.

For SRWs: the epoch, and for each place the drive from which it may be read directly. A reader looks at the epoch, asks
`readable`, reads, and looks at the epoch again; if it has moved, the read counts for nothing. The owner withdraws a
place first, then moves the epoch, and only then acknowledges what the place has missed.

For `nsu status`: the state of each place, how far it is rebuilt, and the counters.
"""

import mmap

from ipc.counters import CounterTable
from serverside.redundancy.superblock import State

COUNTERS = (
    "repaired",
    "operations",
    "busy_us",
    "slowest_us",
    "reads",
    "read_us",
    "stables",
    "stable_us",
    "slow_s",
)
"""Of the drive that has a place, since it has it. `stables` are durable writes and syncs (`slowness.py`)."""
PLACE_CELLS = ("readable", "drive", "state", "rows_done", *COUNTERS)
OPERATIONS, BUSY_US, SLOWEST_US, READS, READ_US, STABLES, STABLE_US = range(
    PLACE_CELLS.index("operations"), PLACE_CELLS.index("slow_s")
)
ARRAY_CELLS = ("epoch", "stopped", "repaired", "reconstructed", "mismatches", "replayed", "scrub_row", "scrubs")
WHY_BYTES = 256


class Board:
    """The board of an array of `places` drives. Make it before the first fork."""

    def __init__(self, places: int) -> None:
        self._places = CounterTable(places, PLACE_CELLS)
        self.rows = [self._places.row(place) for place in range(places)]
        self.totals = CounterTable(1, ARRAY_CELLS).row(0)
        self._readable = [row.cells for row in self.rows]
        self._epoch = self.totals.cells
        self._whys = mmap.mmap(-1, places * WHY_BYTES)
        self._read_mark = CounterTable(1, ("read",)).row(0).cells

    @property
    def epoch(self) -> int:
        """Moves at each change of what may be read."""
        return self._epoch[0]

    def mark_read(self) -> None:
        """Anybody: there are users. All write the same word, so it needs no lock; a mark that is lost is left again."""
        self._read_mark[0] = 1

    def take_read_mark(self) -> bool:
        """Owner only: whether anybody has left one since."""
        marked, self._read_mark[0] = self._read_mark[0] != 0, 0
        return marked

    def readable(self, place: int) -> int | None:
        """Give the index of the drive from which any byte of this place may be read now; None: ask the owner."""
        return self._readable[place][0] - 1 if self._readable[place][0] else None

    def publish(self, place: int, drive: int | None, state: State, rows_done: int, *, may_read: bool) -> None:
        """Owner only: tell what a place is now. `may_read`: by everybody, directly."""
        row = self.rows[place]
        readable = drive + 1 if drive is not None and may_read else 0
        changes = readable != row.get("readable")
        row.set("readable", readable)
        if changes:
            self.totals.add("epoch")
        row.set("drive", 0 if drive is None else drive + 1)
        row.set("state", state)
        row.set("rows_done", rows_done)

    def note_time(self, place: int, spent_us: int, *, read: bool = False, stable: bool = False) -> None:
        """Owner only: an operation of this place's drive took so long."""
        cells = self._readable[place]
        cells[OPERATIONS] += 1
        cells[BUSY_US] += spent_us
        if spent_us > cells[SLOWEST_US]:
            cells[SLOWEST_US] = spent_us
        if read:
            cells[READS] += 1
            cells[READ_US] += spent_us
        elif stable:
            cells[STABLES] += 1
            cells[STABLE_US] += spent_us

    def forget_times(self, place: int) -> None:
        """Owner only: another drive has this place."""
        for name in COUNTERS:
            self.rows[place].set(name, 0)

    def drive(self, place: int) -> int | None:
        """Give the index of the drive that has a place, read or not."""
        return self.rows[place].get("drive") - 1 if self.rows[place].get("drive") else None

    def say_why(self, place: int, why: str) -> None:
        """Owner only: tell why a place is out."""
        text = why.encode()[:WHY_BYTES]
        at = place * WHY_BYTES
        self._whys[at : at + WHY_BYTES] = text + bytes(WHY_BYTES - len(text))

    def why(self, place: int) -> str:
        """Give the sentence."""
        at = place * WHY_BYTES
        return self._whys[at : at + WHY_BYTES].rstrip(b"\0").decode(errors="ignore")
