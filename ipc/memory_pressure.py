"""A process that the kernel's write-back waits for: it must not wait for write-back itself.

When memory is short the kernel writes dirty pages out to make room. If these pages belong to a disk that goes through
this process, and this process asks for memory at that moment, each waits for the other. Two measures, each taken where
it is permitted and told when it is not (docs/frontends.md has the rest, which is advice):

  * PR_SET_IO_FLUSHER (CAP_SYS_RESOURCE, Linux 5.6): what this process allocates is never gained by writing out to file
    systems or devices. prctl(2) names FUSE daemons as those it is for. Threads and children inherit it: call this
    before they start.
  * mlockall (CAP_IPC_LOCK, or no limit of locked memory): nothing of this process is paged out. With MCL_ONFAULT, so
    that the stacks of threads and reserved memory cost only what is used. Without either it is left alone, because a
    limit that is reached later would fail an innocent allocation. Children do not inherit it.
"""

import ctypes
import os
import resource
from errno import EPERM
from pathlib import Path

from ipc.prctl import become_io_flusher

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14

_libc = ctypes.CDLL(None, use_errno=True)


def withstand_memory_pressure() -> list[str]:
    """Take both measures. Harmless twice.

    Returns:
        A sentence for each that could not be taken; empty: both were.

    """
    refused = []
    try:
        become_io_flusher()
    except OSError as error:
        refused.append(
            f"when memory is short it may wait for itself: PR_SET_IO_FLUSHER needs CAP_SYS_RESOURCE ({error.strerror})"
        )
    try:
        _lock_memory()
    except OSError as error:
        refused.append(f"when memory is short it may be paged out: mlockall needs CAP_IPC_LOCK ({error.strerror})")
    return refused


def _lock_memory() -> None:
    if not _may_lock():
        raise PermissionError(EPERM, os.strerror(EPERM))
    if _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def _may_lock() -> bool:
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)
