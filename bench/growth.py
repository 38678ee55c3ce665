"""What it costs to grow: paths, disks, hosts and depth, one at a time; throughput, latency, memory.

    python -m bench.growth [--seconds S] [--no-save]

At our own door, reads of 4 KiB at random. Where paths, disks or hosts grow, TOTAL_DEPTH requests are under way
together, whatever their number: so what is seen is the cost of the parts, not of more work at once. Each figure is the
median of RUNS. Memory is the proportional set size of the product's own processes, the disks' with their NBD sockets.
"""

import argparse
import statistics
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import pictures, results, tables
from bench.door import Door, run_doors
from bench.load import Load
from bench.machine import setting
from bench.processes import pss_bytes, titled
from bench.run import progress
from bench.sides import ServerSide, host_side, server_side
from bench.tables import Sheet

PATHS = (1, 2, 4, 8, 16, 32, 64)
DISKS = (1, 2, 4, 8, 16)
HOSTS = (1, 2, 4, 8, 16)
DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
TOTAL_DEPTH = 64
SOME_PATHS = 2
"""Of each host, where something else grows."""
DISK_BYTES = 64 << 20
RUNS = 3


@dataclass(frozen=True)
class Point:
    """What was found at one number of something."""

    number: int
    per_second: float
    cpu_us: float
    """Processor time of one I/O, all processes."""
    p50_us: float
    p99_us: float
    single_us: float | None = None
    """p50 at depth 1, where that was measured."""
    pss_mib: float | None = None
    """Memory of each of them."""


@contextmanager
def server_with(hosts: dict[str, int]) -> Iterator[ServerSide]:
    with tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm") as folder:
        with server_side(Path(folder), hosts, paths_max=max(PATHS), disk_bytes=DISK_BYTES) as server:
            yield server


def measured(server: ServerSide, doors: Sequence[Door], depth: int, seconds: float) -> Point:
    """Run on all disks of all doors at once, RUNS times; give the run with the median throughput."""
    load = Load("read", 4096, depth, False)
    points = []
    for _ in range(RUNS):
        told, used_s = run_doors(doors, load, seconds, servers=server.pids(), use_bytes=DISK_BYTES)
        p50, p99 = (statistics.median(each.latency_us[percent] for each in told) for percent in ("50", "99"))
        rate, done = sum(each.per_second for each in told), sum(each.done for each in told)
        points.append(Point(0, rate, used_s / done * 1e6, p50, p99))
    return sorted(points, key=lambda point: point.per_second)[RUNS // 2]


def with_number(point: Point, number: int, **more: float) -> Point:
    return Point(**{**asdict(point), "number": number, **more})


def over_paths(seconds: float) -> Iterator[Point]:
    with server_with({"grown": 1}) as server:
        for number in PATHS:
            with Door(server.entry("grown", number)) as door:
                point = measured(server, [door], TOTAL_DEPTH, seconds)
                single = measured(server, [door], 1, seconds)
                pids = [*titled(door.pids(), "nsu: agent"), *titled(server.pids(), "nsu: srw")]
                each_mib = pss_bytes(pids) / number / 2**20
                yield with_number(point, number, single_us=single.p50_us, pss_mib=each_mib)


def over_disks(seconds: float) -> Iterator[Point]:
    with server_with({f"with{number}": number for number in DISKS}) as server:
        for number in DISKS:
            name = f"with{number}"
            with Door(server.entry(name, SOME_PATHS)) as door:
                point = measured(server, [door], TOTAL_DEPTH // number, seconds)
            with host_side(server, name, SOME_PATHS) as host:
                each_mib = pss_bytes(titled(host.pids(), "nsu: disk")) / number / 2**20
            yield with_number(point, number, pss_mib=each_mib)


def over_hosts(seconds: float) -> Iterator[Point]:
    with server_with({f"host{number}": 1 for number in range(max(HOSTS))}) as server, ExitStack() as stack:
        doors: list[Door] = []
        for number in HOSTS:
            while len(doors) < number:
                entry = server.entry(f"host{len(doors)}", SOME_PATHS)
                doors.append(stack.enter_context(Door(entry)))
            point = measured(server, doors, TOTAL_DEPTH // number, seconds)
            yield with_number(point, number, pss_mib=pss_bytes(titled(server.pids(), "nsu: srw")) / number / 2**20)


def over_depth(seconds: float) -> Iterator[Point]:
    with server_with({"deep": 1}) as server, Door(server.entry("deep", SOME_PATHS)) as door:
        for number in DEPTHS:
            yield with_number(measured(server, [door], number, seconds), number)


GROWING = {
    "paths": (over_paths, f"Paths of one host, one disk, depth {TOTAL_DEPTH}", "MiB per path"),
    "disks": (over_disks, f"Disks of one host, {SOME_PATHS} paths, depth {TOTAL_DEPTH} together", "MiB per disk"),
    "hosts": (over_hosts, f"Hosts, {SOME_PATHS} paths each, depth {TOTAL_DEPTH} together", "MiB of SRWs per host"),
    "depth": (over_depth, f"Depth, one disk, {SOME_PATHS} paths", ""),
}
"""What grows -> how that is measured, the table's title, and what its memory is."""


def sheet_of(what: str, points: Sequence[Point]) -> Sheet:
    _, title, memory = GROWING[what]
    single = any(point.single_us is not None for point in points)
    head = (
        what,
        "thousand/s",
        "CPU µs",
        "p50 µs",
        "p99 µs",
        *(["p50 at depth 1"] * single),
        *([memory] * bool(memory)),
    )
    rows: list[tuple[str, ...]] = []
    for point in points:
        cells = [f"{point.per_second / 1000:.1f}", f"{point.cpu_us:.0f}", f"{point.p50_us:.0f}", f"{point.p99_us:.0f}"]
        cells += [f"{point.single_us:.0f}"] if point.single_us is not None else []
        cells += [f"{point.pss_mib:.1f}"] if point.pss_mib is not None else []
        rows.append((str(point.number), *cells))
    return Sheet(title, head, rows)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=0.6, help="of each of the runs of a figure")
    parser.add_argument("--no-save", action="store_true", help="leave bench/results and docs/performance as they are")
    arguments = parser.parse_args()
    where, told = setting("bench.growth"), progress()
    console = tables.console()
    console.print(where.line)
    found = {}
    for what, (over, *_) in GROWING.items():
        told(f"more and more {what}" if what != "depth" else "deeper")
        found[what] = list(over(arguments.seconds))
        told("")
        sheet_of(what, found[what]).show(console)
    if not arguments.no_save:
        sheets = [sheet_of(what, points) for what, points in found.items()]
        data = {what: [asdict(point) for point in points] for what, points in found.items()}
        results.write("growth", where, sheets, {"growth": data})
        pictures.growth(
            {what: [(point.number, point.per_second / 1000) for point in points] for what, points in found.items()}
        )


if __name__ == "__main__":
    main()
