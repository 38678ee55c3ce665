"""Where the time goes: each process on the way of a block, per I/O, while it works.

    python -m bench.profile [--door own|nbd] [--paths 2] [--seconds 2] [--op read|write] [--only TEXT]

For each workload: processor time, user and system; how often it slept and how often it was put aside (context switches
of both kinds); system calls by name, how many and how long; Python functions by their own time. These are measured in
runs of their own, one after the other, so that none disturbs another: looking slows down what is looked at.

Rules
- Everything is counted in a window in the middle of a run, and divided by the I/Os of that same window.
- System calls are counted by perf, in the kernel (syscalls.py).
- Their time comes from looks at where in the kernel the process is (kernel_time.py): time asleep is not in it.
- Functions come from py-spy (`pip install py-spy`), which looks 250 times a second at who holds the interpreter's lock;
  system calls that can sleep let go of it, so that own time of a function is Python and the C functions it calls.
- exit_to_user_mode_loop is where the kernel puts a process aside for another one.
- What needs a program that is missing is left out, and the report says so.

Printed as Markdown.
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.door import Door
from bench.fio import fio_command
from bench.kernel_time import USER, sampled
from bench.load import Load
from bench.processes import Effort, effort, titled
from bench.sides import host_side, server_side
from bench.syscalls import OTHERS, counted

HOST = "profiled"
WARM_S = 0.4
PERF_MOST_S = 3.0
"""So long perf may take to begin and to end."""
LOOKS_HZ = 250
FUNCTIONS_MOST = 14
CALLS_LEAST = 0.005
TIME_LEAST_US = 0.05
"""System calls seldomer than this per I/O, and shorter, are not listed."""
ROLES = {"nsu: bench disk": "disk", "nsu: disk": "disk", "nsu: agent": "agent", "nsu: srw": "SRW"}
"""Beginning of a process's title -> what it is called here."""
COPIES = """\
Copies of each byte of payload by a processor, counted by hand (k: by the kernel):

| | 4 KiB read | 128 KiB read | write |
|---|---|---|---|
| SRW | page cache to scratch (k), scratch to socket (k) | the same | socket to buffer (k), buffer to page cache (k) |
| agent | socket to buffer (k), buffer to slot | socket to slot (k) | slot to socket (k) |
| disk, own door | none | none | none |
| disk, NBD socket | slot to socket (k), the client's (k) | the same | the client's (k), socket to slot (k) |
| sum, own door | 4 | 3 | 3 |
| sum, NBD socket | 6 | 5 | 5 |
"""


@dataclass(frozen=True)
class Subject:
    """Something under load: the processes by role, how to load it, how to count."""

    title: str
    pids: Mapping[str, Sequence[int]]
    count: Callable[[], float]
    """I/Os done so far, while a load runs."""
    loaded: Callable[[Load, float], AbstractContextManager[None]]
    """A context in which the load runs, for at least so many seconds from its beginning."""


@dataclass(frozen=True)
class Rates:
    """What was found of one role, per I/O."""

    effort: Effort
    calls: Mapping[str, float]
    functions: Mapping[str, float]
    """Share of the time on a processor, by function."""


# -- subjects --------------------------------------------------------------------------------------------------------


def by_role(pids: Sequence[int]) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for title, role in ROLES.items():
        found[role] = found.get(role, []) + titled(pids, title)
    return found


@contextmanager
def own_door(paths: int) -> Iterator[Subject]:
    with (
        folder_in_memory() as folder,
        server_side(folder, {HOST: 1}) as server,
        Door(server.entry(HOST, paths)) as door,
    ):

        @contextmanager
        def loaded(load: Load, seconds: float) -> Iterator[None]:
            door.prepare(load, seconds)
            door.go()
            yield
            door.wait()

        pids = by_role([*server.pids(), *door.pids()])
        yield Subject(f"own door, {paths} paths", pids, lambda: door.done.total("done"), loaded)


@contextmanager
def nbd_socket(paths: int) -> Iterator[Subject]:
    with folder_in_memory() as folder, server_side(folder, {HOST: 1}) as server, host_side(server, HOST, paths) as host:
        pieces = 1

        @contextmanager
        def loaded(load: Load, seconds: float) -> Iterator[None]:
            nonlocal pieces
            pieces = max(1, load.size_bytes >> 16)
            command = fio_command(host.uri(), load, seconds + 1, connections=1)
            with subprocess.Popen(command, stdout=subprocess.DEVNULL) as fio:
                time.sleep(0.5)  # until it has connected
                yield
                fio.terminate()

        def count() -> float:
            (entry,) = host.machine.status()["host"]["servers"]
            return int(entry["totals"]["requests"]) / pieces

        yield Subject(f"NBD socket, {paths} paths", by_role([*server.pids(), *host.pids()]), count, loaded)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="nsu-b-", dir="/dev/shm") as folder:
        yield Path(folder)


# -- the three looks -------------------------------------------------------------------------------------------------


def efforts(subject: Subject, load: Load, seconds: int) -> tuple[dict[str, Effort], float, float]:
    """Give what each role did for one I/O, I/Os per second, and processor time per I/O of all roles, in µs."""
    with subject.loaded(load, seconds + 2 * WARM_S):
        time.sleep(WARM_S)
        count, began_s = subject.count(), time.monotonic()
        before = {role: [effort(pid) for pid in pids] for role, pids in subject.pids.items()}
        time.sleep(seconds)
        after = {role: [effort(pid) for pid in pids] for role, pids in subject.pids.items()}
        elapsed_s, done = time.monotonic() - began_s, subject.count() - count
    sums = {
        role: sum((late - early for late, early in zip(after[role], before[role], strict=True)), Effort())
        for role in before
    }
    return sums, done, done / elapsed_s


def system_calls(subject: Subject, load: Load, seconds: int) -> dict[str, Counter[str]]:
    """Give how often each role made each system call, for one I/O."""
    pids = [pid for each in subject.pids.values() for pid in each]
    with subject.loaded(load, seconds + PERF_MOST_S):
        time.sleep(WARM_S)
        with counted(pids) as calls:
            count = subject.count()
            time.sleep(seconds)
            done = subject.count() - count
    found: dict[str, Counter[str]] = {}
    for role, theirs in subject.pids.items():
        total = sum((calls[pid] for pid in theirs), Counter())
        found[role] = Counter({name: made / done for name, made in total.items()})
    return found


def kernel_shares(subject: Subject, load: Load, seconds: int) -> dict[str, Counter[str]]:
    """Give the share of each role's time on a processor that it spends in each system call, or in user mode."""
    pids = [pid for each in subject.pids.values() for pid in each]
    with subject.loaded(load, seconds + PERF_MOST_S):
        time.sleep(WARM_S)
        looks = sampled(pids, seconds)
    return {role: shares_of(sum((looks[pid] for pid in theirs), Counter())) for role, theirs in subject.pids.items()}


def functions(subject: Subject, load: Load, seconds: int) -> dict[str, Counter[str]]:
    """Give the share of each role's time on a processor that each function takes for itself."""
    found: dict[str, Counter[str]] = {}
    with tempfile.TemporaryDirectory() as folder, subject.loaded(load, seconds + 5):
        time.sleep(WARM_S)
        looks = {
            Path(folder) / f"{role}-{pid}": subprocess.Popen(
                [*py_spy(), "record", "--gil", "-d", str(seconds), "-r", str(LOOKS_HZ), "-f", "raw", "-o",
                 f"{folder}/{role}-{pid}", "--pid", str(pid)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )
            for role, pids in subject.pids.items()
            for pid in pids
        }  # fmt: skip
        for file, look in looks.items():
            look.wait(timeout=seconds + 20)
            shares = found.setdefault(file.name.partition("-")[0], Counter())
            if file.exists():
                shares.update(own_times(file.read_text()))
    return {role: shares_of(counts) for role, counts in found.items()}


def py_spy() -> list[str]:
    return [str(Path(sys.executable).with_name("py-spy"))]


def own_times(raw: str) -> Counter[str]:
    """Give how often each function was found at the top, of py-spy's lines `frame;frame;frame count`."""
    found: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        top = stack.rpartition(";")[2]
        found[re.sub(r":\d+\)$", ")", top)] += int(count)
    return found


def shares_of(counts: Counter[str]) -> Counter[str]:
    total = sum(counts.values()) or 1
    return Counter({name: count / total for name, count in counts.items()})


# -- the report ------------------------------------------------------------------------------------------------------


def report(subject: Subject, load: Load, seconds: int) -> Iterator[str]:
    """Give the lines of one workload's part."""
    sums, done, per_second = efforts(subject, load, seconds)
    cost_us = {role: each.total_s / done * 1e6 for role, each in sums.items()}
    yield f"### {load.name}, {subject.title}: {per_second / 1000:.1f} k/s, {sum(cost_us.values()):.1f} µs per I/O"
    yield ""
    if not shutil.which("perf"):
        yield "System calls: perf is not installed (apt-get install linux-perf).\n"
        shares = calls = {role: Counter[str]() for role in subject.pids}
    else:
        calls, shares = system_calls(subject, load, seconds), kernel_shares(subject, load, seconds)
    yield from effort_table(sums, done, calls)
    yield from call_table(calls, {role: shares_times(shares[role], cost_us[role]) for role in shares})
    if not Path(py_spy()[0]).exists():
        yield "Functions: py-spy is not installed (pip install py-spy).\n"
        return
    user_us = {role: cost * (shares[role][USER] or 1.0) for role, cost in cost_us.items()}
    yield from function_tables(functions(subject, load, seconds), user_us)


def effort_table(sums: Mapping[str, Effort], done: float, calls: Mapping[str, Counter[str]]) -> Iterator[str]:
    yield "| per I/O | µs | user | system | slept | put aside | system calls |"
    yield "|---|---|---|---|---|---|---|"
    for role, each in sums.items():
        ticks_s = (each.user_s + each.system_s) or 1.0
        user_us = each.total_s * each.user_s / ticks_s / done * 1e6
        total_us = each.total_s / done * 1e6
        yield (
            f"| {role} | {total_us:.1f} | {user_us:.1f} | {total_us - user_us:.1f} | {each.waits / done:.3f} "
            f"| {each.preemptions / done:.3f} | {sum(calls[role].values()):.2f} |"
        )
    yield ""


def call_table(calls: Mapping[str, Counter[str]], times_us: Mapping[str, Counter[str]]) -> Iterator[str]:
    roles = list(calls)
    names = sorted({*(name for each in times_us.values() for name in each if name != USER)})
    names += sorted({name for each in calls.values() for name in each} - {*names, OTHERS})
    names.sort(key=lambda name: -sum(times_us[role][name] for role in roles))
    yield f"| system calls per I/O: number, µs | {' | '.join(roles)} |"
    yield "|---" * (len(roles) + 1) + "|"
    for name in names:
        if any(calls[role][name] >= CALLS_LEAST or times_us[role][name] >= TIME_LEAST_US for role in roles):
            cells = (f"{calls[role][name]:.3f}, {times_us[role][name]:.2f}" for role in roles)
            yield f"| {name} | {' | '.join(cells)} |"
    yield ""


def shares_times(shares: Counter[str], total_us: float) -> Counter[str]:
    return Counter({name: share * total_us for name, share in shares.items()})


def function_tables(shares: Mapping[str, Counter[str]], user_us: Mapping[str, float]) -> Iterator[str]:
    """Give the time in user mode, shared out among the functions."""
    for role, each in shares.items():
        yield f"| {role}: {user_us[role]:.1f} µs in user mode, by function (own time) | µs per I/O | % |"
        yield "|---|---|---|"
        for name, share in each.most_common(FUNCTIONS_MOST):
            yield f"| `{name}` | {share * user_us[role]:.2f} | {share * 100:.0f} |"
        yield ""


PROFILED = ((4096, 32, False), (4096, 1, False), (131072, 16, True))
DOORS = {"own": own_door, "nbd": nbd_socket}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--door", choices=DOORS, default="own")
    parser.add_argument("--paths", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=2, help="of each look")
    parser.add_argument("--op", choices=("read", "write"), default="read")
    parser.add_argument("--only", default="", help="workloads whose name contains this, such as «depth 1»")
    arguments = parser.parse_args()
    loads = [Load(arguments.op, *rest) for rest in PROFILED]
    with DOORS[arguments.door](arguments.paths) as subject:
        for load in loads:
            if f"{arguments.only} " in f"{load.name} ":
                print("\n".join(report(subject, load, arguments.seconds)), flush=True)
    print(COPIES)


if __name__ == "__main__":
    main()
