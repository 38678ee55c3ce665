"""What moves, per second: the differences between two looks at a machine, for `nsu top` and the pages. Pure.

A thing that counts is named by a key: `host:NAME` (what the server role did for a host), `partition:HOST:UNIT`,
`srw:HOST:PATH`, `server:NAME` (what the host role had from a server), `path:SERVER:PATH`, `drive:ARRAY:PLACE`.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from ipc.latency import middle_us

Found = dict[str, Any]
"""The answer of `nsu.gather.gather`."""


class Totals(NamedTuple):
    """What a thing has counted since its process began."""

    operations: int
    read_bytes: int
    written_bytes: int
    busy_us: float
    """The sum of all times that operations took; 0 where nobody measures it."""
    life: int
    """Whose counters these are: others begin at 0 again."""


class Rate(NamedTuple):
    """What a thing does."""

    operations_s: float
    read_bytes_s: float
    written_bytes_s: float
    latency_us: float | None
    """Mean of the time between the looks; None: nothing was measured."""


def totals_of(found: Found) -> dict[str, Totals]:
    """Give what everything has counted, by key."""
    return {**dict(_of_server(found["server"])), **dict(_of_host(found["host"]))}


def rates_of(before: dict[str, Totals], after: dict[str, Totals], past_s: float) -> dict[str, Rate]:
    """Give what was done in the `past_s` seconds between; a thing that is new or began anew did nothing yet."""
    return {key: _rate(before.get(key, now), now, past_s) for key, now in after.items()}


def _rate(before: Totals, now: Totals, past_s: float) -> Rate:
    operations = now.operations - before.operations
    if now.life != before.life or operations < 0 or past_s <= 0:
        return Rate(0.0, 0.0, 0.0, None)
    busy_us = now.busy_us - before.busy_us
    moved = (max(0, now.read_bytes - before.read_bytes), max(0, now.written_bytes - before.written_bytes))
    latency_us = busy_us / operations if operations and busy_us > 0 else None
    return Rate(operations / past_s, moved[0] / past_s, moved[1] / past_s, latency_us)


def _of_server(server: Found | None) -> Iterator[tuple[str, Totals]]:
    if server is None:
        return
    began = int(server["started_at"])
    for host in server["hosts"]:
        yield f"host:{host['name']}", _of_srws(host["totals"], began)
        for unit in host["units"]:
            yield f"partition:{host['name']}:{unit['name']}", _of_srws(unit["totals"], began)
    for session in server["sessions"]:
        for srw in session["srws"]:
            yield f"srw:{session['host']}:{srw['path']}", _of_srws(srw, srw["pid"])
    for array in server["arrays"]:
        for drive in array["drives"]:
            if "operations" in drive:
                busy_us = drive["operations"] * drive["mean_us"]
                yield f"drive:{array['name']}:{drive['place']}", Totals(drive["operations"], 0, 0, busy_us, began)


def _of_srws(cells: Found, life: int) -> Totals:
    operations = cells["reads"] + cells["writes"] + cells["others"]
    return Totals(operations, cells["read_bytes"], cells["written_bytes"], _busy_us(cells), life)


def _of_host(host: Found | None) -> Iterator[tuple[str, Totals]]:
    if host is None:
        return
    began = int(host["started_at"])
    for server in host["servers"]:
        sums = server["totals"]
        busy_us = sum(_busy_us(path) for path in server["paths"])
        moved = (sums["read_bytes"], sums["written_bytes"])
        yield f"server:{server['name']}", Totals(sums["requests"], *moved, busy_us, began)
        for path in server["paths"]:
            moved = (path["read_bytes"], path["written_bytes"])
            yield f"path:{server['name']}:{path['path']}", Totals(path["requests"], *moved, _busy_us(path), began)


def _busy_us(cells: Found) -> float:
    """Give the sum of all times of a histogram of `ipc.latency`, each taken as the middle of its bucket."""
    counts: list[int] = cells.get("latency", [])
    return sum(count * middle_us(index) for index, count in enumerate(counts))
