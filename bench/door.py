"""Our own door: a load generator in the place of a front-end, right at the host driver, like a peer's client library.

It is a disk process as any other, with the same driver, agents and server; only the NBD socket is left out.
"""

import json
import os
import random
import select
import time
from dataclasses import dataclass
from pathlib import Path

from hostside.disks import DiskState
from hostside.driver.driver import HostDriver
from hostside.driver.request import Request
from hostside.driver.unit import UnitInfo
from hostside.link import ServerLink
from hostside.settings import ServerEntry
from hostside.wiring import TAGS_MAX, Wiring
from ipc.child import Child, Life, fork_child
from ipc.loop import Loop
from ipc.say import voice
from ipc.together import Together, here
from protocol.ops import Op


@dataclass(frozen=True)
class Load:
    """One workload."""

    op: str
    size_bytes: int
    depth: int
    sequential: bool
    seconds: float

    @property
    def name(self) -> str:
        size = f"{self.size_bytes >> 20} MiB" if self.size_bytes >= 1 << 20 else f"{self.size_bytes >> 10} KiB"
        return f"{self.op} {size} depth {self.depth}"


class Generator:
    """Keeps `depth` requests under way for `seconds`."""

    def __init__(self, wiring: Wiring, unit: UnitInfo, load: Load, use_bytes: int) -> None:
        self.wires = wiring.disks[0]
        self.commands = wiring.commands
        self.load = load
        self.driver = HostDriver(
            unit=unit,
            pool=self.wires.pool,
            notes=self.wires.notes,
            disk_index=0,
            tags_max=TAGS_MAX,
            clock=time.monotonic,
        )
        self.load_row = wiring.loads.row(0)
        self.together = Together(here)
        self.op = Op.READ if load.op == "read" else Op.WRITE
        self.places = use_bytes // load.size_bytes
        self.next_place = 0
        self.random = random.Random(1)
        self.done = 0
        self.free = load.depth
        self.started: dict[int, int] = {}
        self.latencies_ns: list[int] = []

    def run(self) -> None:
        """Run to the end of the time."""
        poll = select.poll()
        poll.register(self.wires.reports.fileno(), select.POLLIN)
        end_s = time.monotonic() + self.load.seconds
        while time.monotonic() < end_s or not self.driver.idle:
            if time.monotonic() < end_s:
                self.submit()
            self.send()
            if poll.poll(100):
                self.driver.receive(self.wires.reports.get_many())

    def submit(self) -> None:
        while self.free:
            offset = self.place() * self.load.size_bytes
            request = self.driver.request(self.op, offset, self.load.size_bytes, on_done=self.on_done)
            if request is None:
                return
            self.free -= 1
            self.started[id(request)] = time.monotonic_ns()
            self.driver.submit(request)

    def place(self) -> int:
        if not self.load.sequential:
            return self.random.randrange(self.places)
        self.next_place = (self.next_place + 1) % self.places
        return self.next_place

    def on_done(self, request: Request) -> None:
        assert request.status == 0, request.sentence
        self.latencies_ns.append(time.monotonic_ns() - self.started.pop(id(request)))
        self.driver.release(request)
        self.free += 1
        self.done += 1

    def send(self) -> None:
        for path, packets in self.driver.outgoing():
            self.commands[path].put_many(packets)
        self.together.turn(self.driver.held)
        self.load_row.set("together", self.together.at + 1)


def run_at_our_door(entry: ServerEntry, load: Load, use_bytes: int) -> dict[str, float]:
    """Log in with all paths, run `load`, and give its figures. `entry` has one disk."""
    voice.write = lambda _: None  # what the link says of its session would stand among the figures
    loop = Loop()
    results, writer = os.pipe()

    def start_disk(link: ServerLink, disk: DiskState) -> Child:
        unit = disk.unit
        assert unit is not None

        def main(life: Life) -> int:
            life.ready()
            generator = Generator(link.wiring, unit, load, use_bytes)
            generator.run()
            latencies = sorted(generator.latencies_ns)
            figures = {"done": generator.done, "p50_us": latencies[len(latencies) // 2] / 1000}
            os.write(writer, json.dumps(figures).encode())
            return 0

        return fork_child(
            "nsu: bench", main, hearts=link.wiring.hearts, heart_row=link.wiring.paths,
            keep=[*link.wiring.descriptors(), writer],
        )  # fmt: skip

    link = ServerLink(loop, entry, start_disk)
    loop.on_signal(17, link.reap)
    loop.watch(results, on_readable=loop.stop)
    link.start()
    loop.run()
    figures: dict[str, float] = json.loads(os.read(results, 4096))
    link.close()
    loop.close()
    os.close(results)
    os.close(writer)
    return figures


def cpu_seconds(pids: list[int]) -> float:
    """Give the processor time that processes have used, children reaped by them included."""
    total = 0.0
    ticks = os.sysconf("SC_CLK_TCK")
    for pid in pids:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        except FileNotFoundError:
            continue
        total += sum(map(int, fields[11:15])) / ticks
    return total
