"""What this machine's processes of ours take of it: processor time and memory, by title."""

from collections.abc import Iterator
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """One process."""

    title: str
    pid: int
    cpu_s: float
    """User and system."""
    resident_bytes: int


def processes_below(supervisor_pid: int) -> Iterator[ProcessUse]:
    """Give the supervisor and all its descendants; one that ends meanwhile is left out."""
    try:
        supervisor = psutil.Process(supervisor_pid)
        family = [supervisor, *supervisor.children(recursive=True)]
    except psutil.Error:
        return
    for process in family:
        try:
            with process.oneshot():
                title = " ".join(process.cmdline()).strip()
                times = process.cpu_times()
                if title:
                    resident_bytes = process.memory_info().rss
                    yield ProcessUse(title, process.pid, times.user + times.system, resident_bytes)
        except psutil.Error:
            continue
