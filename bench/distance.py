"""Throughput over the round-trip time: this project and its peers, over the same relay, in turn.

    python -m bench.distance [--quick] [--rounds N] [--seconds S] [--only nbdkit,…] [--no-save]

Over a way that is long but wide a connection of TCP carries at most its window in each round trip, and a protocol that
does one request at a time carries one. Many sockets are the patent's answer to both. So here is a network of 10 Gbit/s
with 0 to 100 ms of round trip (link.py says what is modelled), and 1, 2, 4 and 8 sockets: our own door in versions 0x02
and 0x01, and fio over NBD to each peer, with the same depth in total, divided among the connections. Peers are behind
the relay by a Unix socket, which costs them less than the TCP that is behind it for us.

The workloads, and why
  * DEEP: sequential reads of 128 KiB, 64 under way: 8 MiB, more than one window of TCP (3 MiB) and less than eight of
    them, so that it is the windows that decide, and at 20 ms not yet the processors of one small machine.
  * SMALL: random reads of 4 KiB, 32 under way: windows never matter, only how many requests are under way. There 0x02
    and NBD with one socket do as well as with eight, and each must: what differs is overhead.
"""

import argparse
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import results, tables
from bench.door import Door, run_doors
from bench.far import FarHost, FarServer, far_server
from bench.fio import run_fio
from bench.link import Link
from bench.load import Load
from bench.machine import setting
from bench.peers import EXPORT, Peer, serving, socket_in
from bench.plots import line_plot
from bench.relay import Address, Target, relaying
from bench.run import chosen_peers, progress
from bench.sides import NETWORKS
from bench.tables import Sheet
from tests.harness import free_ports
from tests.harness.netns import why_not

WIDE = 1.25e9
"""10 Gbit/s, in bytes per second."""
DEEP = Load("read", 128 << 10, 64, sequential=True)
SMALL = Load("read", 4096, 32, sequential=False)
TRIPS_LEAST = 20
"""A cell lasts for so many round trips at least: the first and the last are not like the others."""
NEW, OLD = "NSU 0x02", "NSU 0x01"
HOSTS = {"new": FarHost(2), "old": FarHost(1)}
MARK_MS = 20
PICTURE = Path("docs/performance/round-trip.svg")


@dataclass(frozen=True)
class Form:
    """How much is measured."""

    trips_ms: tuple[int, ...]
    counts: tuple[int, ...]
    rounds: int
    seconds: float


FULL = Form((0, 2, 20, 40, 100), (1, 2, 4, 8), rounds=3, seconds=1.0)
QUICK = Form((0, 20), (1, 8), rounds=1, seconds=0.7)

Subject = Callable[[Load, int, float], float]
"""(load, sockets, seconds) -> requests per second."""
Found = dict[tuple[Load, str, int, int], list[float]]
"""(load, who, sockets, round trip in ms) -> bytes per second, of each round."""


@contextmanager
def subjects(peers: Sequence[Peer]) -> Iterator[tuple[dict[str, Subject], FarServer, dict[Address, Target]]]:
    """Start everybody; give who can be measured, the NSU, and what a relay has to carry."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm")))
        server = stack.enter_context(far_server(folder / "nsu", HOSTS))
        found: dict[str, Subject] = {NEW: at_our_door(server, "new"), OLD: at_our_door(server, "old")}
        doors: dict[Address, Target] = dict(server.doors(NETWORKS[0]))
        for peer, port in zip(peers, free_ports(len(peers)), strict=True):
            stack.enter_context(serving(peer, server.drive, folder / peer.name))
            doors[(NETWORKS[0], port)] = socket_in(folder / peer.name)
            found[peer.name] = over_nbd(port)
        yield found, server, doors


def at_our_door(server: FarServer, host: str) -> Subject:
    def measure(load: Load, count: int, seconds: float) -> float:
        with Door(server.entry(host, count)) as door:
            (figures,), _ = run_doors([door], load, seconds, servers=[])
        return figures.per_second

    return measure


def over_nbd(port: int) -> Subject:
    def measure(load: Load, count: int, seconds: float) -> float:
        uri = f"nbd://{NETWORKS[0]}:{port}/{EXPORT}"
        return run_fio(uri, load, seconds, connections=count, servers=list).per_second

    return measure


def measure(peers: Sequence[Peer], form: Form, told: Callable[[str], None]) -> Found:
    """Measure every cell, in turn: for each round trip, load and number of sockets everybody, then the next round."""
    found: Found = defaultdict(list)
    with subjects(peers) as (everybody, server, doors):
        for trip_ms in form.trips_ms:
            link = Link(trip_ms / 2000, WIDE)
            seconds = max(form.seconds, TRIPS_LEAST * trip_ms / 1000)
            with relaying(doors, link, server.namespace):
                for _ in range(form.rounds):
                    for load in (DEEP, SMALL):
                        for count in form.counts:
                            for name, subject in everybody.items():
                                told(f"{trip_ms} ms, {load.name}, {name}, {count}")
                                rate = subject(load, count, seconds) * load.size_bytes
                                found[load, name, count, trip_ms].append(rate)
    return found


# -- what it says ----------------------------------------------------------------------------------------------------


def middle(found: Found, load: Load, who: str, count: int, trip_ms: int) -> float:
    return statistics.median(found[load, who, count, trip_ms])


def sheet_of(found: Found, load: Load, form: Form) -> Sheet:
    """One row for each number of sockets of each subject."""
    names = list(dict.fromkeys(who for each, who, _, _ in found if each == load))
    rows = [
        (f"{who}, {count}", *(cell(found[load, who, count, trip_ms]) for trip_ms in form.trips_ms))
        for who in names
        for count in form.counts
    ]
    title = f"{load.name}: MB/s over the round trip; who, sockets (range of the rounds)"
    return Sheet(title, ("", *(f"{trip_ms} ms" for trip_ms in form.trips_ms)), rows)


def cell(rates: Sequence[float]) -> str:
    centre, least, most = (rate / 1e6 for rate in (statistics.median(rates), min(rates), max(rates)))
    return f"{centre:.4g}" if len(rates) == 1 else f"{centre:.4g} ({least:.4g}–{most:.4g})"


def marks_of(found: Found, form: Form) -> Sheet:
    """The two marks of round-trip time, for both workloads."""
    most, rows = form.counts[-1], []
    for load in (DEEP, SMALL):
        old = [middle(found, load, OLD, count, MARK_MS) for count in (most, 1)]
        rows.append(verdict(load, f"0x01: {most} sockets ÷ 1", old[0] / old[1], 6.0, 7.5))
        peers = {who for _, who, _, _ in found} - {NEW, OLD}
        best = max(peers, key=lambda who: middle(found, load, who, most, MARK_MS), default=None)
        if best is not None:
            ratio = middle(found, load, NEW, most, MARK_MS) / middle(found, load, best, most, MARK_MS)
            rows.append(verdict(load, f"{most} sockets: 0x02 ÷ {best}", ratio, 1.0, 1.5))
    return Sheet(f"Marks at {MARK_MS} ms", ("workload", "mark", "ratio", "must", "met", "goal", "met"), rows)


def verdict(load: Load, title: str, ratio: float, must: float, goal: float) -> tuple[str, ...]:
    met, reached = "yes" if ratio >= must else "NO", "yes" if ratio >= goal else "no"
    return tables.short(load), title, f"{ratio:.2f}", f"≥ {must:g}", met, f"≥ {goal:g}", reached


def picture(found: Found, form: Form, peers: Sequence[Peer]) -> None:
    """Draw the deep workload: ours with each number of sockets, and 0x01 and the best peer with one and with most."""

    def line(who: str, count: int) -> list[tuple[float, float]]:
        return [(trip_ms, middle(found, DEEP, who, count, trip_ms) / 1e6) for trip_ms in form.trips_ms if trip_ms]

    most = form.counts[-1]
    series = {f"NSU, {count} socket{'s' * (count > 1)}": line(NEW, count) for count in reversed(form.counts)}
    best = max((peer.name for peer in peers), key=lambda who: middle(found, DEEP, who, most, MARK_MS), default=None)
    if best is not None:
        series |= {f"{best}, {count} connection{'s' * (count > 1)}": line(best, count) for count in (most, 1)}
    series |= {f"version 0x01, {count} socket{'s' * (count > 1)}": line(OLD, count) for count in (most, 1)}
    line_plot(
        PICTURE, title="Reads of 128 KiB, 64 under way, over a long way of 10 Gbit/s", x_label="round-trip time, ms",
        y_label="MB/s", series=series, log_x=True, log_y=True,
    )  # fmt: skip


def data_of(found: Found) -> Mapping[str, list[dict[str, object]]]:
    return {
        "cells": [
            {"load": load.name, "who": who, "sockets": count, "round_trip_ms": trip_ms, "bytes_per_s": rates}
            for (load, who, count, trip_ms), rates in found.items()
        ]
    }


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="two round trips, one round; nothing is kept")
    parser.add_argument("--only", default="nbdkit,nbd-server,qemu-nbd", help="peers, with commas between")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each cell, at least")
    parser.add_argument("--no-save", action="store_true", help="leave bench/results and docs/performance as they are")
    arguments = parser.parse_args()
    if reason := why_not():
        print(f"left out: {reason}")
        return
    form = QUICK if arguments.quick else FULL
    form = Form(form.trips_ms, form.counts, arguments.rounds or form.rounds, arguments.seconds or form.seconds)
    where, told = setting("bench.distance"), progress()
    peers = chosen_peers(arguments.only.split(","))
    found = measure(peers, form, told)
    told("")
    sheets = [sheet_of(found, DEEP, form), sheet_of(found, SMALL, form), marks_of(found, form)]
    console = tables.console()
    console.print(where.line)
    for sheet in sheets:
        sheet.show(console)
    if not (arguments.quick or arguments.no_save):
        console.print(f"kept: {results.write('round-trip', where, sheets, data_of(found))}")
        picture(found, form, peers)


if __name__ == "__main__":
    main()
