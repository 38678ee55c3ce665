"""What the pages and a scrape of /metrics each second cost the data path: 4 KiB at the NBD socket, in turn.

    python -m bench.metrics [--seconds S] [--rounds N]

Both worlds stand side by side, and one at a time is under load. Printed: thousand I/O
per second and µs of processor time per I/O, the median of the rounds, and what is lost in percent.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from bench.fio import run_fio
from bench.load import Load
from tests.harness import World, spawn_world

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


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    units = {"unit_1": UNIT_BLOCKS}
    with spawn_world(units=units) as plain, spawn_world(units=units, web=True) as watched:
        watched.machine.wait_for(lambda s: all(one["state"] == "ready" for one in s["supervisor"]["processes"]))
        for op in ("read", "write"):
            without, with_it = [], []
            for _ in range(asked.rounds):
                without.append(measure(plain, op, asked.seconds))
                with scraped(watched):
                    with_it.append(measure(watched, op, asked.seconds))
            tell(op, without, with_it)


def tell(op: str, without: list[tuple[float, float]], with_it: list[tuple[float, float]]) -> None:
    """Print one line."""
    speeds = [median(speed for speed, _ in runs) for runs in (without, with_it)]
    costs = [median(cost for _, cost in runs) for runs in (without, with_it)]
    lost = 100 * (1 - speeds[1] / speeds[0])
    print(
        f"{op} 4 KiB, depth 32: {speeds[0] / 1000:.1f} k/s without, {speeds[1] / 1000:.1f} k/s with pages and a scrape"
        f" each second: {lost:+.1f} % lost; {costs[0]:.1f} and {costs[1]:.1f} µs of processor time"
    )


if __name__ == "__main__":
    main()
