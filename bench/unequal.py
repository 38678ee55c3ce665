"""Two unequal networks: does the disk get the sum of both, and do small requests take the better one?

    python -m bench.unequal [--seconds S] [--rounds N] [--no-save]

Two relays (link.py), each with four sockets of one disk, in two pairings: one network ten times NARROWER than the
other, or ten times LONGER. Each network alone, with a disk that has no other, and both together, in turn.

What must hold of NARROWER: 64 KiB reads at depth 64 give 0.95 of the sum; 4 KiB reads at depth 1 and 4 have the p50
that they have on the better network alone, within a fifth. Of LONGER: the latter.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import results, tables
from bench.door import Door, run_doors
from bench.far import FarHost, far_server
from bench.link import Link
from bench.load import Load
from bench.machine import setting
from bench.relay import relaying
from bench.sides import NETWORKS
from bench.tables import Sheet
from tests.harness.netns import why_not

BETTER = Link(delay_s=0.001, bytes_per_s=200e6)
PAIRS = {
    "narrower": (BETTER, Link(BETTER.delay_s, BETTER.bytes_per_s / 10)),
    "longer": (BETTER, Link(BETTER.delay_s * 10, BETTER.bytes_per_s)),
}
"""The second network of each is the worse one."""
BULK = Load("read", 64 << 10, 64, sequential=True)
SMALL = tuple(Load("read", 4096, depth, sequential=False) for depth in (1, 4))
HOSTS = {
    "better": FarHost(2, NETWORKS[:1]),
    "worse": FarHost(2, NETWORKS[1:]),
    "both": FarHost(2, NETWORKS),
}
PATHS_EACH = 4
SETTLE_S = 1.0
"""A first run that is not counted: the driver learns what the paths are worth."""
SUM_LEAST, P50_MOST = 0.95, 1.2


@dataclass
class Told:
    """What one pair gave, of each round."""

    bytes_per_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Host -> of BULK."""
    p50_us: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """(host, depth) -> of SMALL."""

    def rate(self, host: str) -> float:
        return statistics.median(self.bytes_per_s[host])

    def p50(self, host: str, depth: int) -> float:
        return statistics.median(self.p50_us[host, depth])

    @property
    def share_of_sum(self) -> float:
        return self.rate("both") / (self.rate("better") + self.rate("worse"))

    def p50_ratio(self, depth: int) -> float:
        """Of both together to the better one alone."""
        return self.p50("both", depth) / self.p50("better", depth)


def measure(links: tuple[Link, Link], *, seconds: float, rounds: int) -> Told:
    """Measure a pair: each host in turn, all its loads at one login."""
    told = Told()
    with tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm") as folder:
        with far_server(Path(folder) / "nsu", HOSTS, paths_max=PATHS_EACH) as server:
            better, worse = (server.doors(network) for network in NETWORKS)
            with relaying(better, links[0], server.namespace), relaying(worse, links[1], server.namespace):
                for _ in range(rounds):
                    for host, known in HOSTS.items():
                        with Door(server.entry(host, PATHS_EACH * len(known.networks))) as door:
                            take(door, host, told, seconds)
    return told


def take(door: Door, host: str, told: Told, seconds: float) -> None:
    run_doors([door], BULK, SETTLE_S, servers=[])
    (figures,), _ = run_doors([door], BULK, seconds, servers=[])
    told.bytes_per_s[host].append(figures.per_second * BULK.size_bytes)
    for load in SMALL:
        (figures,), _ = run_doors([door], load, seconds, servers=[])
        told.p50_us[host, load.depth].append(figures.latency_us["50"])


def sheet_of(found: dict[str, Told]) -> Sheet:
    rows = []
    for name, told in found.items():
        rates = [f"{told.rate(host) / 1e6:.1f}" for host in HOSTS]
        rows.append((f"{name}: {tables.short(BULK)}, MB/s", *rates, f"{told.share_of_sum:.3f} of the sum"))
        for load in SMALL:
            p50s = [f"{told.p50(host, load.depth) / 1000:.2f}" for host in HOSTS]
            ratio = f"{told.p50_ratio(load.depth):.2f} × the better"
            rows.append((f"{name}: {tables.short(load)}, p50, ms", *p50s, ratio))
    return Sheet("Unequal networks: each alone, and both", ("the second is", *HOSTS, "both is"), rows)


def broken(found: dict[str, Told]) -> Sequence[str]:
    """Give what must hold and does not."""
    share = found["narrower"].share_of_sum
    words = [f"narrower: both give {share:.3f} of the sum, at least {SUM_LEAST} is due"] if share < SUM_LEAST else []
    for name, told in found.items():
        ratios = {load.depth: told.p50_ratio(load.depth) for load in SMALL}
        words += [
            f"{name}: p50 at depth {depth} is {ratio:.2f} times that of the better network, at most {P50_MOST} is due"
            for depth, ratio in ratios.items()
            if ratio > P50_MOST
        ]
    return words


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each cell")
    parser.add_argument("--no-save", action="store_true", help="leave bench/results as it is")
    arguments = parser.parse_args()
    if reason := why_not():
        print(f"left out: {reason}")
        return
    where = setting("bench.unequal")
    found = {name: measure(links, seconds=arguments.seconds, rounds=arguments.rounds) for name, links in PAIRS.items()}
    console, sheet = tables.console(), sheet_of(found)
    console.print(where.line)
    sheet.show(console)
    for words in broken(found):
        console.print(f"NO: {words}")
    if not arguments.no_save:
        data = {name: {"bytes_per_s": told.bytes_per_s, "p50_us": {f"{h} {d}": v for (h, d), v in told.p50_us.items()}}
                for name, told in found.items()}  # fmt: skip
        console.print(f"kept: {results.write('unequal-networks', where, [sheet], data)}")


if __name__ == "__main__":
    main()
