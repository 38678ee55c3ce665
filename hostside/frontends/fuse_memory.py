"""A process that the kernel's write-back waits for: it must not wait for write-back itself.

When memory is short the kernel writes dirty pages out to make room. If these pages belong to a disk that this process
serves, and this process asks for memory at that moment, each waits for the other. Two measures, each taken where it
is permitted and told when it is not (docs/frontends.md has the rest, which is advice):

  * PR_SET_IO_FLUSHER (CAP_SYS_RESOURCE, Linux 5.6): what this process allocates is never gained by writing out to file
    systems or devices. prctl(2) names FUSE daemons as those it is for. Threads inherit it: call this before they start.
  * mlockall (CAP_IPC_LOCK): nothing of this process is paged out. With MCL_ONFAULT, so that the stacks of threads
    and reserved memory cost only what is used. Without the capability it is left alone, because a limit that is
    reached later would fail an innocent allocation.
"""

import ctypes
from pathlib import Path

_PR_SET_IO_FLUSHER = 57
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4
_CAP_IPC_LOCK = 14

_libc = ctypes.CDLL(None, use_errno=True)


def prepare_memory() -> tuple[bool, bool]:
    """Take both measures; say of each whether it was permitted: (I/O flusher, memory locked)."""
    none = ctypes.c_ulong(0)
    is_flusher = _libc.prctl(_PR_SET_IO_FLUSHER, ctypes.c_ulong(1), none, none, none) == 0
    is_locked = _may_lock() and _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT) == 0
    return is_flusher, is_locked


def _may_lock() -> bool:
    lines = Path("/proc/self/status").read_text().splitlines()
    effective = next(line.split()[1] for line in lines if line.startswith("CapEff:"))
    return bool(int(effective, 16) >> _CAP_IPC_LOCK & 1)
