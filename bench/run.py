"""`make bench`: this project beside its peers, on the same file, machine and minute, in turn.

    python -m bench.run [--quick] [--only nbdkit,tgt,…] [--rounds N] [--seconds S] [--no-save]

The whole takes about a quarter of an hour; --quick, with nbdkit alone and few rounds, two minutes, and keeps nothing.
bench/README.md says what the columns are and how not to fool oneself.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import pictures, results, tables
from bench.contest import contest, in_turn
from bench.limits import limits
from bench.load import WORKLOADS
from bench.machine import setting
from bench.marks import verdicts
from bench.peers import PEERS, Peer


@dataclass(frozen=True)
class Form:
    """How much is measured."""

    peers: tuple[str, ...]
    peer_counts: tuple[int, ...]
    our_counts: tuple[int, ...]
    crc_counts: tuple[int, ...]
    rounds: int
    seconds: float


FULL = Form(tuple(peer.name for peer in PEERS), (1, 4, 8), (1, 2, 4, 8), (2,), rounds=3, seconds=1.0)
QUICK = Form(("nbdkit",), (1, 8), (1, 2), (), rounds=2, seconds=0.7)


def chosen_peers(names: Sequence[str]) -> list[Peer]:
    """Give the peers of these names that are installed; say which are not."""
    known = {peer.name: peer for peer in PEERS}
    if unknown := set(names) - known.keys():
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(known)}")
    for name in names:
        if not known[name].is_installed:
            print(f"{name} is not installed, and left out: apt-get install {known[name].package}")
    return [known[name] for name in names if known[name].is_installed]


def progress() -> Callable[[str], None]:
    """Give what tells how far it has got: only to somebody who watches."""
    if not sys.stderr.isatty():
        return lambda _: None
    return lambda words: print(f"\r\x1b[K{words}", end="", file=sys.stderr, flush=True)


def arguments_of() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="nbdkit alone, two rounds, nothing is kept")
    parser.add_argument("--only", default="", help="peers, with commas between")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each cell")
    parser.add_argument("--no-save", action="store_true", help="leave bench/results and docs/performance as they are")
    return parser.parse_args()


def main() -> None:
    """Measure, print, keep."""
    arguments = arguments_of()
    form = QUICK if arguments.quick else FULL
    peers = chosen_peers([name for name in arguments.only.split(",") if name] or form.peers)
    where, told = setting("bench.run"), progress()
    rounds, seconds = arguments.rounds or form.rounds, arguments.seconds or form.seconds
    with tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm") as folder:
        found_limits = list(limits(Path(folder), seconds))
    with contest(peers, form.peer_counts, form.our_counts, form.crc_counts) as subjects:
        found = in_turn(subjects, WORKLOADS, rounds=rounds, seconds=seconds, told=told)
    told("")
    judged = list(verdicts(found))
    sheets = [
        tables.throughput(found), tables.ranges(found), tables.processor_time(found), tables.latency(found),
        tables.limit_sheet(found_limits), tables.marks(judged),
    ]  # fmt: skip
    console = tables.console()
    console.print(where.line)
    for sheet in sheets:
        sheet.show(console)
    if not (arguments.quick or arguments.no_save):
        file = results.write("peers", where, sheets, results.contest_data(found, judged, found_limits))
        pictures.latency(found)
        console.print(f"kept: {file}")


if __name__ == "__main__":
    main()
