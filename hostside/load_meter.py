"""What the load of a server was in the last second, from what its processes count in shared memory.

Disks and agents write cells that are theirs alone and are never waited for; here the differences are taken. A process
that was started anew counts from 0, so a difference below 0 is none.
"""

from collections.abc import Iterable

from hostside.growth import Load
from hostside.wiring import Wiring

FULL_SHARE = 0.5
"""Of the time: for so much of it something waited."""
REQUEST_COST_BYTES = 4096
"""What a request weighs beside its payload, as in driver/paths.py."""


class LoadMeter:
    """Takes the differences from one look to the next."""

    def __init__(self, wiring: Wiring) -> None:
        self.wiring = wiring
        self.looked_s: float | None = None
        self.moved_bytes = 0
        self.disks_waited_ms: dict[int, int] = {}
        self.paths_waited_ms: dict[int, int] = {}

    def look(self, now_s: float, disks: Iterable[int], paths: Iterable[int]) -> Load:
        """Measure `disks` with a process, and `paths` that are up."""
        past_s = max(1e-3, now_s - self.looked_s) if self.looked_s is not None else 1e9
        self.looked_s = now_s
        disk_rows = {disk: self.wiring.loads.row(disk) for disk in disks}
        path_rows = {path: self.wiring.counters.row(path) for path in paths}
        counters = self.wiring.counters
        moved_before, requests = self.moved_bytes, counters.total("requests")
        self.moved_bytes = (
            counters.total("read_bytes") + counters.total("written_bytes") + requests * REQUEST_COST_BYTES
        )
        disk_ms = {disk: row.get("waited_ms") for disk, row in disk_rows.items()}
        path_ms = {path: row.get("waited_ms") for path, row in path_rows.items()}
        enough_ms = FULL_SHARE * past_s * 1000
        by_disks = max(_grown(self.disks_waited_ms, disk_ms), default=0)
        by_paths = sum(_grown(self.paths_waited_ms, path_ms)) / max(1, len(path_ms))
        self.disks_waited_ms, self.paths_waited_ms = disk_ms, path_ms
        trips_us = [trip_us for row in path_rows.values() if (trip_us := row.get("round_trip_us"))]
        return Load(
            is_full=max(by_disks, by_paths) >= enough_ms,
            in_flight_most=sum(row.get("in_flight_most") for row in disk_rows.values()),
            bytes_per_s=(self.moved_bytes - moved_before) / past_s,
            round_trip_s=min(trips_us, default=0) / 1e6,
        )


def _grown(before: dict[int, int], after: dict[int, int]) -> list[int]:
    return [max(0, cell - before.get(number, cell)) for number, cell in after.items()]
