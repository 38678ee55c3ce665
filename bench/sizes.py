"""Throughput over the size of a request: where bytes begin to cost more than requests do.

    python -m bench.sizes [--rounds N] [--seconds S] [--no-save]

16 requests under way, in order, 4 KiB to 1 MiB; we at both doors beside two peers, each at its best number of
connections; pictures in docs/performance/.
"""

import argparse

from bench import pictures, results, tables
from bench.contest import Found, contest, in_turn
from bench.figures import per_second
from bench.load import OPS, Load
from bench.machine import setting
from bench.run import chosen_peers, progress

SIZES = tuple(4096 << shift for shift in range(9))
DEPTH = 16
PEERS = ("nbdkit", "nbd-server")


def curves(found: Found, op: str) -> dict[str, list[tuple[float, float]]]:
    """Give MB/s over KiB, by family, at its best number of connections."""
    rows: dict[str, list[tuple[float, float]]] = {}
    for load, runs in found.items():
        for family in tables.families(found) if load.op == op else ():
            if told := tables.best(runs, family, per_second, max):
                mb_s = told[1].middle * load.size_bytes / 1e6
                rows.setdefault(family, []).append((load.size_bytes / 1024, mb_s))
    return rows


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each cell")
    parser.add_argument("--no-save", action="store_true", help="leave bench/results and docs/performance as they are")
    arguments = parser.parse_args()
    where = setting("bench.sizes")
    loads = [Load(op, size, DEPTH, True) for op in OPS for size in SIZES]
    with contest(chosen_peers(PEERS), (1, 8), (1, 2, 4), ()) as subjects:
        found = in_turn(subjects, loads, rounds=arguments.rounds, seconds=arguments.seconds, told=progress())
    sheets = [tables.throughput(found), tables.ranges(found)]
    console = tables.console()
    console.print(where.line)
    for sheet in sheets:
        sheet.show(console)
    if not arguments.no_save:
        results.write("sizes", where, sheets, results.contest_data(found, [], []))
        for op in OPS:
            pictures.sizes(op, curves(found, op))


if __name__ == "__main__":
    main()
