"""The load generator at our own door: it stands where a front-end stands, in a disk's process, right at the driver.

What is fair: fio's part costs little, because it is C. So here nothing is done while it is measured that a client need
not do: offsets are drawn before, latencies go into an array that is there, and each lane, one request under way, has
its own callback made before. The clock is read twice for each request, as fio does.

It is told what to do on a socket, one JSON object for each message, and tells what it found. Before the first order it
waits until all paths are up: else the first workload would run on fewer.
"""

import json
import math
import random
import select
import socket
import time
from array import array
from collections.abc import Sequence
from typing import Any

from bench.load import Load
from hostside.driver.driver import HostDriver
from hostside.driver.request import Request
from hostside.driver.unit import UnitInfo
from hostside.packets import REPORT, Report
from hostside.wiring import TAGS_MAX, Wiring
from ipc.child import Life
from ipc.counters import CounterRow
from protocol.ops import Op

OFFSETS = 1 << 16
LATENCIES = 1 << 20
"""More requests than this: the oldest latencies are written over."""
PERCENTILES = (*range(1, 100), 99.5, 99.9, 99.99)


class Lane:
    """One request at a time. `done` is its callback."""

    __slots__ = ("done", "started_ns")

    def __init__(self, run: "Run") -> None:
        self.started_ns = 0
        lane, now_ns, latencies, mask, cells = self, time.monotonic_ns, run.latencies, LATENCIES - 1, run.cells
        release, to_free = run.driver.release, run.free.append

        def done(request: Request) -> None:
            if request.status:
                raise SystemExit(f"{request.sentence} (errno {request.status})")
            count = cells[0]
            latencies[count & mask] = now_ns() - lane.started_ns
            cells[0] = count + 1
            release(request)
            to_free(lane)

        self.done = done


class Run:
    """One workload, from the first request to the last."""

    def __init__(
        self, driver: HostDriver, load: Load, use_bytes: int, cells: "memoryview[int]", latencies: "array[int]"
    ) -> None:
        self.driver = driver
        self.load = load
        self.cells = cells
        """[requests done]"""
        self.latencies = latencies
        self.free: list[Lane] = []
        self.free.extend(Lane(self) for _ in range(load.depth))
        self.offsets = offsets_of(load, use_bytes)
        self.next = 0

    def submit(self) -> None:
        """Have every free lane ask for something."""
        free, driver, offsets, now_ns = self.free, self.driver, self.offsets, time.monotonic_ns
        op, size, count, mask = (
            Op.READ if self.load.op == "read" else Op.WRITE,
            self.load.size_bytes,
            self.next,
            OFFSETS - 1,
        )
        while free:
            lane = free.pop()
            lane.started_ns = now_ns()
            request = driver.request(op, offsets[count & mask], size, on_done=lane.done)
            if request is None:  # no slots: the next completion brings some
                free.append(lane)
                break
            count += 1
            driver.submit(request)
        self.next = count


def offsets_of(load: Load, use_bytes: int) -> Sequence[int]:
    """Give OFFSETS places to read or write, in order."""
    places, size = use_bytes // load.size_bytes, load.size_bytes
    if load.sequential:
        return [number % places * size for number in range(OFFSETS)]
    return [place * size for place in random.Random(1).choices(range(places), k=OFFSETS)]


class Generator:
    """A disk's process that has a load generator for a front-end. `orders`: a SOCK_SEQPACKET socket."""

    def __init__(
        self, life: Life, wiring: Wiring, index: int, unit: UnitInfo, orders: socket.socket, done: CounterRow
    ) -> None:
        self.life = life
        self.wires = wiring.disks[index]
        self.commands = wiring.commands
        self.orders = orders
        self.cells = done.cells
        self.wires.pool.populate()
        self.latencies = array("Q", bytes(8 * LATENCIES))
        self.paths_up: set[int] = set()
        self.run: Run | None = None
        self.seconds = 0.0
        self.driver = HostDriver(
            unit=unit, pool=self.wires.pool, notes=self.wires.notes, disk_index=index, tags_max=TAGS_MAX,
            clock=time.monotonic,
        )  # fmt: skip

    def serve(self) -> int:
        """Do as told until nobody tells any more."""
        self.life.ready()
        poll = select.poll()
        poll.register(self.wires.reports.fileno(), select.POLLIN)
        poll.register(self.orders.fileno(), select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd != self.orders.fileno():
                    self.take_reports()
                    continue
                order = self.orders.recv(65536)
                if not order:
                    return 0
                self.orders.send(json.dumps(self.obey(json.loads(order))).encode())

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Wait for paths; prepare a workload, run it, tell its latencies: apart, so that only the run is measured."""
        if "wait_paths" in order:
            while len(self.paths_up) < order["wait_paths"]:
                self.wires.reports.wait(1.0)
                self.take_reports()
            return {"paths": len(self.paths_up)}
        if "prepare" in order:
            self.seconds = order["seconds"]
            self.run = Run(self.driver, Load(**order["prepare"]), order["use_bytes"], self.cells, self.latencies)
            return {}
        if "go" in order:
            return self.measure()
        return {"latency_us": percentiles(sorted(self.latencies[: min(self.cells[0], LATENCIES)]))}

    def take_reports(self) -> None:
        packets = self.wires.reports.get_many()
        self.driver.receive(packets)
        for _, kind, _, path, _, _, _, credits, _, _ in REPORT.iter_unpack(packets):
            if kind == Report.AVAILABLE and credits:
                self.paths_up.add(path)
            elif kind in (Report.LOST, Report.CLOSING):
                self.paths_up.discard(path)

    def measure(self) -> dict[str, Any]:
        assert self.run is not None, "prepare it first"
        self.cells[0] = 0
        began_ns = time.monotonic_ns()
        self.keep_going(self.run, began_ns + int(self.seconds * 1e9))
        return {"done": self.cells[0], "elapsed_s": (time.monotonic_ns() - began_ns) / 1e9}

    def keep_going(self, run: Run, end_ns: int) -> None:
        """Keep every lane busy until the end, then wait for what is under way."""
        driver, reports, commands, now_ns = self.driver, self.wires.reports, self.commands, time.monotonic_ns
        poll = select.poll()
        poll.register(reports.fileno(), select.POLLIN)
        going = True
        while going or not driver.idle:
            going = going and now_ns() < end_ns
            if going:
                run.submit()
            for path, packets in driver.outgoing():
                commands[path].put_many(packets)
            if poll.poll(100):
                driver.receive(reports.get_many())


def percentiles(ordered_ns: Sequence[int]) -> dict[str, float]:
    """Give PERCENTILES in microseconds, by nearest rank."""
    if not ordered_ns:
        return {}
    ranks = {percent: math.ceil(percent / 100 * len(ordered_ns)) for percent in PERCENTILES}
    return {str(percent): ordered_ns[rank - 1] / 1000 for percent, rank in ranks.items()}
