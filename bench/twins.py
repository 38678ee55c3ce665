"""Plain and compiled hot modules in turn (A B A B): both doors at 4 KiB, depth 32, over one path and two.

    python -m bench.twins [--rounds 2] [--seconds 1]

The twin is chosen when a process starts, so each round is a process of its own. `bench.hops` and `bench.host_driver`
measure the parts, with NSU_PLAIN=1 and without.
"""

import argparse
import json
import os
import subprocess
import sys
from statistics import median

from bench.contest import contest, in_turn
from bench.load import SMALL
from nsu.compiled import in_use

PATHS = (1, 2)
Found = dict[str, tuple[float, float]]
"""What was done -> thousand requests per second, microseconds of processor time for one."""


def measure(seconds: float) -> Found:
    """Measure the twin of this process."""
    with contest([], (), PATHS, ()) as subjects:
        found = in_turn(subjects, SMALL, rounds=1, seconds=seconds)
    return {
        f"{load.name}, {family}, {paths} path{'s' if paths > 1 else ''}": (run.per_second / 1000, run.cpu_us)
        for load, rows in found.items()
        for (family, paths), (run,) in rows.items()
    }


def in_a_process(twin: str, seconds: float) -> Found:
    """Measure `twin`."""
    command = [sys.executable, "-m", "bench.twins", "--one", "--seconds", str(seconds)]
    environment = os.environ | {"NSU_PLAIN": "1" if twin == "plain" else "0"}
    said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True).stdout
    one = json.loads(said)
    if one["twin"] != twin:
        raise SystemExit("there is no machine code of these sources: make fast")
    return {what: (rate, cost) for what, (rate, cost) in one["found"].items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Plain and compiled hot modules in turn.")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each cell")
    parser.add_argument("--one", action="store_true", help="only the twin of this process, as JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps({"twin": in_use(), "found": measure(arguments.seconds)}))
        return
    twins = ("plain", "compiled")
    runs: dict[str, list[Found]] = {twin: [] for twin in twins}
    for _ in range(arguments.rounds):
        for twin in twins:
            runs[twin].append(in_a_process(twin, arguments.seconds))
    print("thousand/s (microseconds of processor time each, all processes)    plain         compiled       times")
    for what in runs["plain"][0]:
        rates = [median(run[what][0] for run in runs[twin]) for twin in twins]
        costs = [median(run[what][1] for run in runs[twin]) for twin in twins]
        cells = "  ".join(f"{rate:6.1f} ({cost:5.1f})" for rate, cost in zip(rates, costs, strict=True))
        print(f"{what:62} {cells}  {rates[1] / rates[0]:5.2f}")


if __name__ == "__main__":
    main()
