"""What the kernel says of processes: processor time, context switches, memory."""

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Give the process and all its descendants."""
    try:
        parent = psutil.Process(pid)
        return [pid, *(child.pid for child in parent.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def titled(pids: Iterable[int], beginning: str) -> list[int]:
    """Give those whose command line begins so."""
    return [pid for pid in pids if title_of(pid).startswith(beginning)]


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def cpu_s(pids: Iterable[int]) -> float:
    """Give the processor time of processes: threads that have ended included, and children that they have reaped.

    A process's own time is exact (its processor-time clock); that of reaped children is known by the tick, 10 ms.
    """
    return sum(_own_s(pid) + _reaped_s(pid) for pid in pids)


def _own_s(pid: int) -> float:
    try:
        return time.clock_gettime((~pid << 3) | 2)  # clock_getcpuclockid(3): CPUCLOCK_SCHED of a whole process
    except OSError:
        return 0.0


def _reaped_s(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) * TICK_S if fields else 0.0


def _stat(pid: int) -> list[str]:
    """Give the fields of proc_pid_stat(5) from the third on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


@dataclass(frozen=True)
class Effort:
    """What one process has done so far, or between two moments: `later - earlier`."""

    user_s: float = 0.0
    system_s: float = 0.0
    total_s: float = 0.0
    """Exact; user and system are the kernel's division of it, by ticks."""
    waits: int = 0
    """Voluntary context switches: it slept."""
    preemptions: int = 0
    """Involuntary ones: another was put in its place."""

    def __sub__(self, earlier: "Effort") -> "Effort":
        return Effort(
            self.user_s - earlier.user_s,
            self.system_s - earlier.system_s,
            self.total_s - earlier.total_s,
            self.waits - earlier.waits,
            self.preemptions - earlier.preemptions,
        )

    def __add__(self, other: "Effort") -> "Effort":
        return Effort(
            self.user_s + other.user_s,
            self.system_s + other.system_s,
            self.total_s + other.total_s,
            self.waits + other.waits,
            self.preemptions + other.preemptions,
        )


def effort(pid: int) -> Effort:
    """Give what a process has done so far, over all its threads."""
    fields = _stat(pid)
    waits = preemptions = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            waits += int(value) if name == "voluntary_ctxt_switches" else 0
            preemptions += int(value) if name == "nonvoluntary_ctxt_switches" else 0
    return Effort(int(fields[11]) * TICK_S, int(fields[12]) * TICK_S, _own_s(pid), waits, preemptions)


def pss_bytes(pids: Sequence[int]) -> int:
    """Give their proportional set size: a page shared by three counts a third for each (proc_pid_smaps(5))."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) << 10
    return total
