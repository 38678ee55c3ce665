"""What counters, pages and a scrape of /metrics each second cost the data path: 4 KiB at the NBD socket, in pairs.

    python -m bench.metrics [--seconds S] [--rounds N] [--beside FOLDER]

Two worlds stand side by side, and one at a time is under load: without and with, then with and without, and so on, so
that a machine that becomes slower harms both. Without --beside, the first has no pages and nobody scrapes it. With it,
the first runs the sources in FOLDER (another checkout, for instance of before a counter was added), neither has pages,
and make fast is due in both. Each pair gives one figure of what is lost; printed are their median, and the mean with
twice its standard error: where that is below 2 % as a whole, the cost is; else it is not shown, and more rounds may.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from math import sqrt
from pathlib import Path
from statistics import mean, median, stdev

from bench.fio import run_fio
from bench.load import Load
from tests.harness import World, spawn_world

MOST_PERCENT = 2.0
Pair = tuple[tuple[float, float], tuple[float, float]]
"""(I/O per second, µs of processor time) without and with."""
UNIT_BLOCKS = (260 << 20) // 512
SCRAPE = """
import sys, time, urllib.request
while True:
    urllib.request.urlopen(sys.argv[1]).read()
    time.sleep(1)
"""


@contextmanager
def scraped(world: World) -> Iterator[None]:
    """Scrape once a second, as an eager Prometheus would."""
    url = f"http://127.0.0.1:{world.web_port}/metrics"
    scraper = subprocess.Popen([sys.executable, "-c", SCRAPE, url])
    try:
        yield
    finally:
        scraper.kill()
        scraper.wait()


def measure(world: World, op: str, seconds: float) -> tuple[float, float]:
    """Give I/O per second and processor time per I/O."""
    load = Load(op, 4096, 32, False)
    servers = world.machine.processes
    figure = run_fio(world.uri("unit_1"), load, seconds, connections=1, servers=lambda: list(servers()))
    return figure.per_second, figure.cpu_us


@contextmanager
def sources_of(folder: Path | None) -> Iterator[None]:
    """Have what is started meanwhile run the sources in `folder`; None: ours."""
    before = os.environ.get("PYTHONPATH")
    if folder is not None:
        os.environ["PYTHONPATH"] = str(folder.resolve())
    try:
        yield
    finally:
        if before is not None:
            os.environ["PYTHONPATH"] = before
        elif folder is not None:
            del os.environ["PYTHONPATH"]


def measure_pairs(first: World, second: World, op: str, rounds: int, seconds: float) -> list[Pair]:
    """Give (without, with) of each round; every other round in the other order."""
    pairs = []
    for number in range(rounds):
        figures = {}
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            world = (first, second)[which]
            with scraped(world) if which == 1 and world.web_port is not None else nullcontext():
                figures[which] = measure(world, op, seconds)
        pairs.append((figures[0], figures[1]))
    return pairs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--beside", type=Path)
    asked = parser.parse_args()
    units = {"unit_1": UNIT_BLOCKS}
    with ExitStack() as stack:
        with sources_of(asked.beside):
            first = stack.enter_context(spawn_world(units=units))
        second = stack.enter_context(spawn_world(units=units, web=asked.beside is None))
        second.machine.wait_for(lambda s: all(one["state"] == "ready" for one in s["supervisor"]["processes"]))
        for op in ("read", "write"):
            print(told(op, measure_pairs(first, second, op, asked.rounds, asked.seconds)), flush=True)


def lost_percent(pairs: Sequence[Pair]) -> list[float]:
    """Give what the second of each pair has less of I/O per second."""
    return [100 * (1 - second[0] / first[0]) for first, second in pairs]


def told(op: str, pairs: Sequence[Pair]) -> str:
    """Give the line of one operation."""
    speeds = [median(pair[which][0] for pair in pairs) / 1000 for which in (0, 1)]
    costs = [median(pair[which][1] for pair in pairs) for which in (0, 1)]
    lost = lost_percent(pairs)
    doubt = 2 * stdev(lost) / sqrt(len(lost)) if len(lost) > 1 else float("inf")
    verdict = "under" if mean(lost) + doubt < MOST_PERCENT else "not shown to be under"
    return (
        f"{op} 4 KiB, depth 32: {speeds[0]:.1f} k/s without, {speeds[1]:.1f} k/s with; lost in {len(lost)} pairs:"
        f" median {median(lost):+.1f} %, mean {mean(lost):+.1f} ± {doubt:.1f} %, {verdict} {MOST_PERCENT:g} %;"
        f" {costs[0]:.1f} and {costs[1]:.1f} µs of processor time"
    )


if __name__ == "__main__":
    main()
