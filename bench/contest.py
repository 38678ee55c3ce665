"""All who are compared, up at the same time on the same file, and measured in turn.

    with contest(peers, COUNTS) as subjects:
        found = in_turn(subjects, WORKLOADS, rounds=3, seconds=1.0)

A B A B …: a round runs every subject once at each workload, one after the other, before the next workload; so all see
the same minute. Of each family (a peer; our own door; our socket) each number of connections is one subject, and the
family counts at its best. After the first round those are left out that were far behind the best of their own family:
what they would have said could not have counted.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench.door import Door, run_doors
from bench.figures import Figure
from bench.fio import run_fio
from bench.iscsi import run_iscsi
from bench.load import Load
from bench.peers import Peer, Serving, serving
from bench.sides import HostSide, ServerSide, host_side, server_side

PEER, OWN, NBD = "peer", "own door", "NBD socket"
CRC = "with CRC"
"""Behind the name of a door of ours: payload CRC on."""
KEPT_FROM = 0.8
"""A subject within this part of its family's best stays after the first round."""


@dataclass(frozen=True)
class Subject:
    """One who is measured: a family at one number of connections."""

    family: str
    """A peer's name, OWN, NBD, or one of the latter with CRC."""
    connections: int
    run: Callable[[Load, float], Figure]
    splits_depth: bool
    """Its client divides the depth among connections: so there is no depth 1 with several."""

    def can(self, load: Load) -> bool:
        return not self.splits_depth or load.depth % self.connections == 0


Found = dict[Load, dict[tuple[str, int], list[Figure]]]
"""Workload -> (family, connections) -> a figure of each round."""


@contextmanager
def contest(
    peers: Sequence[Peer], peer_counts: Sequence[int], our_counts: Sequence[int], crc_counts: Sequence[int]
) -> Iterator[list[Subject]]:
    """Bring all up; give them in the order in which they take turns."""
    with ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm")))
        ours = [(count, False) for count in our_counts] + [(count, True) for count in crc_counts]
        hosts = {host_name(door, *one): 1 for door in (OWN, NBD) for one in ours}
        (top / "server").mkdir()
        server = stack.enter_context(server_side(top / "server", hosts))
        subjects = []
        for peer in peers:
            served = stack.enter_context(serving(peer, server.drive, top / peer.name))
            subjects += [peer_subject(peer, served, count) for count in peer_counts]
        for count, crc in ours:
            entry = server.entry(host_name(OWN, count, crc), count, payload_crc=crc)
            subjects.append(own_subject(server, stack.enter_context(Door(entry)), count, crc))
        for count, crc in ours:
            name = host_name(NBD, count, crc)
            host = stack.enter_context(host_side(server, name, count, payload_crc=crc))
            subjects.append(nbd_subject(server, host, count, crc))
        yield subjects


def host_name(door: str, count: int, crc: bool) -> str:
    return f"{door.split()[0].lower()}-{count}{'-crc' if crc else ''}"


def peer_subject(peer: Peer, served: Serving, count: int) -> Subject:
    run = run_iscsi if peer.is_iscsi else run_fio
    return Subject(
        peer.name, count, partial(_run_at, run, served.uri, connections=count, servers=served.pids), splits_depth=True
    )


def nbd_subject(server: ServerSide, host: HostSide, count: int, crc: bool) -> Subject:
    def servers() -> list[int]:
        return [*server.pids(), *host.pids()]

    run = partial(_run_at, run_fio, host.uri(), connections=count, servers=servers)
    return Subject(f"{NBD} {CRC}" if crc else NBD, count, run, splits_depth=True)


def own_subject(server: ServerSide, door: Door, count: int, crc: bool) -> Subject:
    def run(load: Load, seconds: float) -> Figure:
        (found,), used_s = run_doors([door], load, seconds, servers=server.pids())
        return Figure(found.per_second, used_s / found.done * 1e6, found.latency_us)

    return Subject(f"{OWN} {CRC}" if crc else OWN, count, run, splits_depth=False)


def _run_at(
    run: Callable[..., Figure],
    uri: str,
    load: Load,
    seconds: float,
    *,
    connections: int,
    servers: Callable[[], list[int]],
) -> Figure:
    return run(uri, load, seconds, connections=connections, servers=servers)


def in_turn(
    subjects: Sequence[Subject],
    loads: Sequence[Load],
    *,
    rounds: int,
    seconds: float,
    told: Callable[[str], object] = lambda _: None,
) -> Found:
    """Measure `rounds` rounds of all."""
    found: Found = {load: {} for load in loads}
    for number in range(rounds):
        for load in loads:
            told(f"round {number + 1} of {rounds}: {load.name}")
            taking_part = [subject for subject in subjects if subject.can(load)]
            if number:
                taking_part = [subject for subject in taking_part if is_kept(subject, found[load])]
            for subject in taking_part:
                runs = found[load].setdefault((subject.family, subject.connections), [])
                runs.append(subject.run(load, seconds))
    return found


def is_kept(subject: Subject, rows: dict[tuple[str, int], list[Figure]]) -> bool:
    """Whether it was near its family's best in the first round."""
    firsts = {key: runs[0].per_second for key, runs in rows.items() if key[0] == subject.family}
    return firsts[subject.family, subject.connections] >= KEPT_FROM * max(firsts.values())
