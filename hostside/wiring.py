"""The queues, buffers and notes that join the disk processes and the agents of one server. Made before any fork.

Agents live longer than disks that come and go, and inherit only what was there at their fork. So there are places for
DISKS_MAX disks from the start, whatever nsu.conf names; an empty one costs a pipe and no memory.

```
 disk 0 ──commands──▶ path 0's queue ──▶ agent of path 0
        ◀──reports── disk 0's queue ◀── every agent, and the host process (LOST, UNIT, STOP)
```

A queue belongs to a place (a path, a disk), not to a process: when an agent dies its successor finds the queue as it
was, and throws away what was meant for its predecessor by the incarnation in each command. Every process inherits all
of it at its fork, so nothing has a name in the file system and nothing is left when all are killed.

Why LOST travels on the disk's own report queue: a pipe keeps order, so every DONE that the dead agent had written is
read before the LOST that ends its incarnation.
"""

from dataclasses import dataclass, field

from hostside.driver.notes import Notes
from hostside.packets import PACKET_BYTES
from hostside.settings import ServerEntry
from ipc.buffers import BufferPool
from ipc.child import HEART_NAMES
from ipc.counters import CounterTable
from ipc.latency import LATENCY_CELLS
from ipc.packets import PacketQueue

SLOT_BYTES = 65536
"""One constituent."""
TAGS_MAX = 1024
"""Constituents of one disk in flight at once."""
REQUEST_SLOTS_MAX = 512
"""The largest request of a front-end: 32 MiB in constituents of 64 KiB."""

DISKS_MAX = 16
"""Places for disks: "up to sixteen partitions can be assigned to any given host" (Section III)."""

SPARE_PATHS = 2
"""Places for paths beyond those of CONNECTIONS_MAX: for a move to another network, and for trying one that is down."""

QUEUE_BYTES = 128 << 10
"""4,096 packets: a disk has at most TAGS_MAX in flight; the rest is room for LOST, AVAILABLE and what dead agents left.

No more, because the kernel gives all pipes of an unprivileged user 64 MiB together.
"""
PATH_QUEUE_BYTES = 64 << 10
"""2,048 packets, what a pipe has anyhow: the windows of all disks, and as much again that dead agents left unread."""
PATH_COUNTERS = ("requests", "errors", "read_bytes", "written_bytes", "waited_ms", "round_trip_us")
"""Sums over all lives of the path; but `waited_ms`, for how long commands waited for room in its window, is of the
present one, and `round_trip_us` is what TCP has measured last, 0 when it has not."""
LOADS = ("waited_ms", "in_flight_most", "together")
"""Of a disk's process: for how long constituents waited for room in any window; the most in flight in a second; 1 + the
processor on which its agents are to run with it, 0 while everyone runs where it likes (ipc/together.py)."""
REASON_BYTES = 512
HEARTS = (*HEART_NAMES, "heard_ns")
"""Of each process its beat; of an agent also when it heard the server last, CLOCK_MONOTONIC, nanoseconds."""


@dataclass(slots=True)
class DiskWires:
    """What one disk process shares with all agents of its server: a place."""

    index: int
    reports: PacketQueue
    pool: BufferPool
    notes: Notes

    def descriptors(self) -> tuple[int, ...]:
        return self.reports.descriptors()


@dataclass(slots=True)
class Wiring:
    """Everything shared among the processes of one server's disks and paths."""

    disks: list[DiskWires]
    commands: list[PacketQueue]
    """One per path."""
    counters: CounterTable
    """One row per path."""
    reasons: BufferPool
    """Why a process ended, in words. Slots: the paths' agents, then the disks, as in `hearts`."""
    hearts: CounterTable
    """Rows: the paths, then the disks. Columns: HEARTS."""
    loads: CounterTable
    """One row per disk. Columns: LOADS."""
    latencies: CounterTable
    """One row per path: from a request's start to its answer. Columns: LATENCY_CELLS."""
    paths: int = field(default=0)
    in_write_back: "memoryview[int]" = field(default_factory=lambda: CounterTable(1, ("is_so",)).row(0).cells)
    """One cell: not 0 from when the kernel shows a disk, so that its write-back waits for every agent too."""

    def descriptors(self) -> list[int]:
        """Descriptors that the agents and disk processes keep at their fork."""
        kept = [fd for disk in self.disks for fd in disk.descriptors()]
        return kept + [fd for queue in self.commands for fd in queue.descriptors()]

    def write_reason(self, row: int, sentence: str) -> None:
        words = sentence.encode()[:REASON_BYTES].ljust(REASON_BYTES, b"\0")
        self.reasons.view(row, REASON_BYTES)[:] = words

    def read_reason(self, row: int) -> str:
        return bytes(self.reasons.view(row, REASON_BYTES)).rstrip(b"\0").decode(errors="ignore")

    def heard_ns(self, path: int) -> int:
        """Give when the agent of `path` heard the server last, CLOCK_MONOTONIC."""
        return self.hearts.row(path).get("heard_ns")

    def disk_row(self, disk: int) -> int:
        """Give the row of a disk's process in `hearts` and `reasons`."""
        return self.paths + disk


def make_wiring(entry: ServerEntry) -> Wiring:
    """Make the shared parts for disks of `entry`, named there or not, and as many paths as it may ever have at once."""
    disks = [_disk_wires(index) for index in range(max(DISKS_MAX, len(entry.disks)))]
    paths = entry.connections + entry.extra_connections + SPARE_PATHS
    return Wiring(
        disks=disks,
        commands=[PacketQueue(PACKET_BYTES, pipe_bytes=PATH_QUEUE_BYTES) for _ in range(paths)],
        counters=CounterTable(paths, PATH_COUNTERS),
        reasons=BufferPool(
            paths + len(disks),
            REASON_BYTES,
            holders={"the last words of each path's agent": paths, "and of each disk's process": len(disks)},
        ),
        hearts=CounterTable(paths + len(disks), HEARTS),
        loads=CounterTable(len(disks), LOADS),
        latencies=CounterTable(paths, LATENCY_CELLS),
        paths=paths,
    )


def _disk_wires(index: int) -> DiskWires:
    holders = {
        "the largest request, being received or answered": REQUEST_SLOTS_MAX,
        "small requests in flight beside it": REQUEST_SLOTS_MAX,
    }
    pool = BufferPool(sum(holders.values()), SLOT_BYTES, holders=holders, populated=False)  # its disk's process does
    return DiskWires(index, PacketQueue(PACKET_BYTES, pipe_bytes=QUEUE_BYTES), pool, Notes(TAGS_MAX))
