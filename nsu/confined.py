"""What each of this machine's processes of ours may still do: its user, and what confines it. The kernel tells it."""

import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import psutil

from ipc.landlock import landlock_version

READERS_WRITERS = ("nsu: srw ", "nsu: agent ", "nsu: driver ")
"""Beginnings of the titles of those that move data, and need no privilege for it."""
PAGES = "nsu: web"


def confined_processes(supervisor_pid: int) -> list[dict[str, Any]]:
    """Tell of the supervisor and all its descendants; of one that ends meanwhile, nothing.

    Each: title, pid, user, no_new_privileges, capabilities (of capabilities(7), hexadecimal), landlock.
    """
    try:
        supervisor = psutil.Process(supervisor_pid)
        family = [supervisor, *supervisor.children(recursive=True)]
    except psutil.Error:
        return []
    return list(_each(family))


def as_root(processes: Iterable[dict[str, Any]]) -> int:
    """Count those that move data and have root's power."""
    return sum(process["user"] == "root" and process["title"].startswith(READERS_WRITERS) for process in processes)


def _each(family: Iterable[psutil.Process]) -> Iterator[dict[str, Any]]:
    with_landlock = landlock_version() > 0
    for process in family:
        try:
            title = " ".join(process.cmdline()).strip()
            fields = status_fields(process.pid)
            uid, no_new = int(fields["Uid"].split()[1]), fields["NoNewPrivs"] == "1"
        except (psutil.Error, OSError, LookupError, ValueError):
            continue
        # Landlock can't be asked for. Whoever of ours takes it says no to new privileges in the same breath, or ends.
        takes_it = title == PAGES or (title.startswith(READERS_WRITERS) and uid != 0)
        yield {
            "title": title,
            "pid": process.pid,
            "user": user_name(uid),
            "no_new_privileges": no_new,
            "capabilities": fields["CapEff"],
            "landlock": with_landlock and no_new and takes_it,
        }


def status_fields(pid: int) -> dict[str, str]:
    """Give /proc/PID/status, by name. Raises OSError."""
    lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def user_name(uid: int) -> str:
    """Give the name of a user, or the number of one without a name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
