"""Our own door: a host whose disks are load generators (generator.py), right at the host driver.

It logs in and keeps its paths as any host does: the same link, agents, driver and server. Only the NBD socket is left
out, so this is what a program with our client library inside would be to us, as libnbd is to nbdkit.

    with Door(entry) as door:
        (figures,), cpu_s = run_doors([door], load, seconds=1.0, servers=server.pids())

The host process and its disks are forked here: `pids()` are the client's processes, all of them.
"""

import json
import socket
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from bench.generator import Generator
from bench.load import USE_BYTES, Load
from bench.processes import cpu_s, family
from hostside.disks import DiskState
from hostside.link import ServerLink
from hostside.settings import ServerEntry
from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable
from ipc.loop import Loop
from ipc.say import voice

SIGTERM, SIGCHLD = 15, 17
START_MOST_S = 20.0
ANSWER_MOST_S = 60.0
"""A run and what it takes to end."""


@dataclass(frozen=True)
class DoorFigures:
    """What one disk's generator found."""

    done: int
    elapsed_s: float
    latency_us: dict[str, float]
    """Percentile ("50", "99" …) -> microseconds."""

    @property
    def per_second(self) -> float:
        return self.done / self.elapsed_s


class Door:
    """A host with a generator for each disk of `entry`."""

    def __init__(self, entry: ServerEntry) -> None:
        self.entry = entry
        self.done = CounterTable(len(entry.disks), ("done",))
        """Requests done in the present run, by disk, while it runs."""
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in entry.disks]
        self.orders = [ours for ours, _ in pairs]
        self._theirs = [theirs for _, theirs in pairs]
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self._child = fork_child(
            "nsu: bench host",
            self._live,
            hearts=CounterTable(1, HEART_NAMES),
            heart_row=0,
            keep=[theirs.fileno() for theirs in self._theirs],
        )
        for sock in self._theirs:
            sock.close()
        self._ask({"wait_paths": self.entry.connections}, START_MOST_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._child is not None
        self._child.signal(SIGTERM)
        if self._child.wait(5.0) is None:
            self._child.kill_and_reap()
        self._child.close()
        for sock in self.orders:
            sock.close()

    def pids(self) -> list[int]:
        """Give the processes of this host."""
        assert self._child is not None
        return family(self._child.pid)

    def prepare(self, load: Load, seconds: float, *, use_bytes: int = USE_BYTES) -> None:
        """Have all disks draw their offsets in the first `use_bytes`: nothing of that is to be measured."""
        self._ask({"prepare": asdict(load), "seconds": seconds, "use_bytes": use_bytes}, START_MOST_S)

    def go(self) -> None:
        """Have all disks run what was prepared, and do not wait."""
        for sock in self.orders:
            sock.settimeout(ANSWER_MOST_S)
            sock.send(b'{"go": true}')

    def wait(self) -> list[dict[str, Any]]:
        """Wait for the end of it; give what each has done."""
        return [json.loads(sock.recv(65536)) for sock in self.orders]

    def latencies(self) -> list[dict[str, Any]]:
        """Give the percentiles of the last run, which take a while to find."""
        return self._ask({"tell": True}, START_MOST_S)

    def _ask(self, order: dict[str, Any], timeout_s: float) -> list[dict[str, Any]]:
        for sock in self.orders:
            sock.settimeout(timeout_s)
            sock.send(json.dumps(order).encode())
        return [json.loads(sock.recv(65536)) for sock in self.orders]

    # -- in the host process -------------------------------------------------------------------------------------

    def _live(self, life: Life) -> int:
        voice.write = lambda _: None  # what the link says of its session would stand among the figures
        loop = Loop()
        link = ServerLink(loop, self.entry, self._fork_disk)
        loop.on_signal(SIGCHLD, link.reap)
        loop.on_signal(SIGTERM, loop.stop)
        link.start()
        life.ready()
        loop.run()
        link.close()
        return 0

    def _fork_disk(self, link: ServerLink, disk: DiskState) -> Child:
        wiring, index, unit, theirs, row = (
            link.wiring, disk.index, disk.unit, self._theirs[disk.index], self.done.row(disk.index),
        )  # fmt: skip
        assert unit is not None
        return fork_child(
            f"nsu: bench disk {disk.settings.name}",
            lambda life: Generator(life, wiring, index, unit, theirs, row).serve(),
            hearts=wiring.hearts,
            heart_row=wiring.disk_row(index),
            keep=[*wiring.descriptors(), theirs.fileno()],
        )


def run_doors(
    doors: Sequence[Door], load: Load, seconds: float, *, servers: Sequence[int], use_bytes: int = USE_BYTES
) -> tuple[list[DoorFigures], float]:
    """Run `load` on every disk of every door at once: (each disk's figures, seconds of processor time of everybody).

    `servers`: pids that are counted beside the doors' own. Only what happens between the first request and the last is.
    """
    for door in doors:
        door.prepare(load, seconds, use_bytes=use_bytes)
    pids = [pid for door in doors for pid in door.pids()] + list(servers)
    before_s = cpu_s(pids)
    for door in doors:
        door.go()
    told = [each for door in doors for each in door.wait()]
    used_s = cpu_s(pids) - before_s
    latencies = [each for door in doors for each in door.latencies()]
    return [DoorFigures(**ran, **latency) for ran, latency in zip(told, latencies, strict=True)], used_s
