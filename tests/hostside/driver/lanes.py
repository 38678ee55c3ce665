"""A world of paths without processes: networks of some length and width, and a driver that keeps so much in flight.

Each network is a wire that its paths share; what is sent on it arrives in order. With `window_bytes` a path moves at
most that much in a round trip, as TCP does.
"""

import heapq
from dataclasses import dataclass
from math import inf

from hostside.driver.paths import COMMAND_COST_BYTES, Path, Paths

MS = 0.001


@dataclass(frozen=True)
class Way:
    """One network."""

    trip_s: float
    bytes_per_s: float
    window_bytes: float = inf


class Lanes:
    """`paths_each` paths over each of `ways`. After a `run`: its figures."""

    def __init__(self, ways: list[Way], paths_each: int) -> None:
        self.ways = ways
        self.paths_each = paths_each
        self.now_s = 0.0
        self.paths = Paths(0.0)
        count = len(ways) * paths_each
        for index in range(count):
            self.paths.available(index, 1, 64, 0, 0.0)
        self.wire_free_s = [0.0] * len(ways)
        self.path_free_s = [0.0] * count
        self.events: list[tuple[float, int, Path, float, int]] = []
        """(when, number, whose, given when, cost)"""
        self.number = 0
        self.stalled: set[int] = set()
        self.moved_bytes = [0] * count
        self.most_held = [0] * count
        self.times_s: list[float] = []
        self.elapsed_s = 0.0

    @property
    def rate(self) -> float:
        return sum(self.moved_bytes) / self.elapsed_s

    @property
    def median_s(self) -> float:
        return sorted(self.times_s)[len(self.times_s) // 2]

    def run(self, *, depth: int, size_bytes: int, trips: int) -> None:
        """Let so many constituents for each one in flight end."""
        self.moved_bytes = [0] * len(self.moved_bytes)
        self.times_s = []
        began_s = self.now_s
        for _ in range(depth * trips):
            free = depth - len(self.events)
            if free > 0:
                self.give(free, size_bytes)
            if self.events[0][0] == inf:
                break
            self.take()
        self.elapsed_s = self.now_s - began_s

    def give(self, free: int, size_bytes: int) -> None:
        """As `HostDriver.outgoing`."""
        cost_bytes = size_bytes + COMMAND_COST_BYTES
        path = self.paths.to_probe(self.now_s)
        for _ in range(free):
            path = path or self.paths.choose(cost_bytes)
            if path is None:
                return
            if not path.held_bytes:
                path.busy_from_s = self.now_s
            path.room -= 1
            path.held_bytes += cost_bytes
            self.number += 1
            heapq.heappush(self.events, (self.end_s(path, size_bytes), self.number, path, self.now_s, cost_bytes))
            self.most_held[path.index] = max(self.most_held[path.index], path.window - path.room)
            path = None

    def end_s(self, path: Path, size_bytes: int) -> float:
        if path.index in self.stalled:
            return inf
        number = path.index // self.paths_each
        way = self.ways[number]
        self.wire_free_s[number] = max(self.wire_free_s[number], self.now_s) + size_bytes / way.bytes_per_s
        after_s = self.path_free_s[path.index] + size_bytes / way.window_bytes * way.trip_s
        self.path_free_s[path.index] = max(self.wire_free_s[number] + way.trip_s, after_s)
        return self.path_free_s[path.index]

    def take(self) -> None:
        """As `HostDriver.receive`, of one report."""
        at_s, _, path, given_s, cost_bytes = heapq.heappop(self.events)
        self.now_s = at_s
        path.room += 1
        path.held_bytes -= cost_bytes
        path.done_bytes += cost_bytes
        self.moved_bytes[path.index] += cost_bytes - COMMAND_COST_BYTES
        self.times_s.append(at_s - given_s)
        self.paths.sample(at_s)
