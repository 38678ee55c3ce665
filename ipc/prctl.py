"""The one door to prctl(2), which the standard library lacks."""

import ctypes
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
PR_SET_IO_FLUSHER = 57

_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent_pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Have the kernel send `number` to this process when its parent dies; say whether the parent still lives.

    prctl only covers deaths that come after it: a parent that died between fork and prctl is never reported.
    So the parent's identity is compared afterwards, and on False the caller has to end by itself.
    The kernel means the parent's thread that forked: parents here have no threads but the main one.
    A process that changes its user afterwards loses the setting, and has to ask again.

    Raises:
        OSError: the kernel refused.

    """
    _set(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent_pid


def become_io_flusher() -> None:
    """Have memory for this process never gained through I/O (Linux 5.6, CAP_SYS_RESOURCE); children inherit it.

    Raises:
        OSError: EPERM without the capability; EINVAL, the kernel does not know it.

    """
    _set(PR_SET_IO_FLUSHER, 1)


def forbid_new_privileges() -> None:
    """Have no execve(2) of this process or its children ever give more than it has: no setuid, no file capabilities.

    Raises:
        OSError: the kernel refused.

    """
    _set(PR_SET_NO_NEW_PRIVS, 1)


def keep_out_of_dumps() -> None:
    """Have no core dump made of this process or its children to come, nor its memory read by who is not root.

    The limit alone is not enough: it does not hold where dumps go to a program (core(5)). Forks inherit both; a change
    of user or another program (execve) takes the second away, and it has to be asked for again.
    """
    _set(PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _set(option: int, value: int) -> None:
    none = ctypes.c_ulong(0)
    if _libc.prctl(option, ctypes.c_ulong(value), none, none, none) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
