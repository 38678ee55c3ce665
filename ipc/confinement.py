"""Processes that move data need no privilege once their descriptors are open: here they give everything else up.

In this order, each step needing what the next one takes away:
  1. no core, no more descriptors than there are and a few;
  2. no new privileges (execve), and Landlock where the kernel has it: no file but to read /proc, no listening socket,
     no signal to others;
  3. another user, without groups and capabilities. A change of the user clears what the parent's death was to send:
     it is asked for again;
  4. nobody of the same user may trace this process, or take its descriptors (drives!) through /proc;
  5. no process and no thread more.

It is all or nothing: what fails raises, and the process must end. Without a user (we are not root, or were told to
stay) nothing is changed. The parent is root still, and may kill whom it has forked.
"""

import os
import resource
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipc.landlock import restrict_all
from ipc.prctl import become_io_flusher, die_with_parent, forbid_new_privileges, keep_out_of_dumps

SPARE_DESCRIPTORS: Final = 16
TO_READ: Final = (Path("/proc"),)
"""How long this process waits for its processor (`together.py`), and what it may do (`memory_pressure.py`)."""


@dataclass(frozen=True, slots=True)
class User:
    """Whom processes that move data run as."""

    name: str
    uid: int
    gid: int


def confine_to_drives(user: User | None) -> None:
    """Confine a process of the server role that has its drives and its socket open. Raises OSError."""
    if user is not None:
        _confine(user, connects=False)


def confine_to_socket(user: User | None) -> None:
    """Confine an agent, which is still to connect. Raises OSError.

    What an agent may need for disks in front of the kernel's write-back (`memory_pressure.py`), and could not take
    later: it never gains memory by I/O, and may lock what it has.
    """
    if user is None:
        return
    with suppress(OSError, ValueError):  # not permitted here, as in a container: then nor is it later, and that is told
        become_io_flusher()
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    _confine(user, connects=True)


def _confine(user: User, *, connects: bool) -> None:
    parent_pid = os.getppid()
    _limit(resource.RLIMIT_CORE, 0)
    most = max(int(name) for name in os.listdir("/proc/self/fd"))
    _limit(resource.RLIMIT_NOFILE, most + 1 + SPARE_DESCRIPTORS)
    forbid_new_privileges()
    restrict_all(TO_READ, connects=connects)
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    # Between the two calls it was not told of the parent's death; if that came then, the parent is another now.
    if not die_with_parent(parent_pid):
        os.kill(os.getpid(), signal.SIGKILL)
    keep_out_of_dumps()
    _limit(resource.RLIMIT_NPROC, 0)


def _limit(kind: int, most: int) -> None:
    """Lower a limit, never raise it."""
    hard = resource.getrlimit(kind)[1]
    least = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (least, least))
