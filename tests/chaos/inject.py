"""A machine whose system calls can be made to fail, one at a time: `python inject.py FILE run -c CONF`.

FILE says what is armed (`Faults`, below): in processes of one role the n-th call of one kind fails with
an errno, gives a short count, or is interrupted by a signal. All processes of the machine have it mapped, so that a
test arms a machine that runs. The doors where the code calls the kernel are replaced before anything else is imported
from it; nothing of the product knows.

An errno is raised where the kernel's would be, without the call being made. A short count is made by letting the call
move less. An interruption is a real one: a signal with a handler of Python's arrives while the call waits, so that what
is proved is the whole way through the interpreter (PEP 475).

Whether drives have failed is kept in a file too, FILE.health, so that a test can give the server a new drive. Rests
after failures are cut short: hundreds of failures would otherwise be waited for.
"""

import ctypes
import fcntl
import mmap
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from struct import Struct
from typing import Any

SHORT, SIGNAL = -1, -2
"""Beside the errno numbers: what a fault does."""
SHORT_BYTES = 100
PACKETS_BYTES = 256
"""A pipe of packets gives whole ones: one of the large kind, eight of the small."""
DRIVES_MAX = 64
SIGNAL_AFTER_S = 0.002

_ARMED = Struct("<16s16siii")
"""Role, call, how many times more it is left alone, fault, and whether it has fired."""
_FIRED_AT = 40


class Faults:
    """What is armed, in a mapped file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with open(path, "a+b") as file:
            os.ftruncate(file.fileno(), _ARMED.size)
            self.cells = mmap.mmap(file.fileno(), _ARMED.size)
        self.role = b""
        """Of this process; empty in a test."""
        self.lock_fd = -1
        self.lock_pid = 0

    def arm(self, role: str, call: str, nth: int, fault: int) -> None:
        self.cells[:] = _ARMED.pack(role.encode(), call.encode(), nth, fault, 0)

    def disarm(self) -> None:
        self.cells[:16] = bytes(16)

    @property
    def fired(self) -> bool:
        return self.cells[_FIRED_AT] != 0

    def due(self, call: str) -> int:
        """Give the fault if it is now, else 0. Asked at each call."""
        if not self.role or self.cells[:16].rstrip(b"\0") != self.role:
            return 0
        if self.cells[16:32].rstrip(b"\0") != call.encode():
            return 0
        fcntl.lockf(self.lock(), fcntl.LOCK_EX)  # several processes of a role count together
        try:
            role, name, nth, fault, fired = _ARMED.unpack(self.cells)
            if fired:
                return 0
            self.cells[:] = _ARMED.pack(role, name, nth - 1, fault, nth == 1)
            return int(fault) if nth == 1 else 0
        finally:
            fcntl.lockf(self.lock_fd, fcntl.LOCK_UN)

    def lock(self) -> int:
        """Give this process's own descriptor: those that were inherited are closed at the fork."""
        if self.lock_pid != os.getpid():
            self.lock_fd, self.lock_pid = os.open(self.path, os.O_RDWR | os.O_CLOEXEC), os.getpid()
        return self.lock_fd


faults: Faults


def failing(call: str, real: Callable[..., Any], short: Callable[..., tuple[Any, ...]] | None) -> Callable[..., Any]:
    """Give the door to `real`. `short` gives its arguments for a call that moves less."""

    def door(*arguments: Any, **more: Any) -> Any:
        fault = faults.due(call)
        if not fault:
            return real(*arguments, **more)
        if fault == SHORT:
            assert short is not None, f"{call} has no short counts"
            return real(*short(*arguments), **more)
        if fault != SIGNAL:
            raise OSError(fault, os.strerror(fault))
        former = signal.signal(signal.SIGALRM, lambda _number, _frame: None)
        signal.setitimer(signal.ITIMER_REAL, SIGNAL_AFTER_S)
        try:
            return real(*arguments, **more)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former)

    return door


def less(view: Any) -> memoryview:
    return memoryview(view).cast("B")[:SHORT_BYTES]


def first(views: Any) -> list[memoryview]:
    return [less(next(view for view in views if len(view)))]


OS_CALLS: dict[str, Callable[..., tuple[Any, ...]] | None] = {
    "preadv": lambda fd, views, *rest: (fd, first(views), *rest),
    "pwritev": lambda fd, views, *rest: (fd, first(views), *rest),
    "pwrite": lambda fd, data, at: (fd, less(data), at),
    "fdatasync": None,
    "read": lambda fd, count: (fd, min(count, PACKETS_BYTES)),
    "write": None,
}
SOCKET_CALLS: dict[str, Callable[..., tuple[Any, ...]] | None] = {
    "recv": lambda sock, count, *rest: (sock, min(count, SHORT_BYTES), *rest),
    "recv_into": lambda sock, view, *rest: (sock, less(view), *rest),
    "recvmsg_into": lambda sock, views, *rest: (sock, first(views), *rest),
    "send": lambda sock, data, *rest: (sock, less(data), *rest),
    "sendall": None,
    "sendmsg": lambda sock, views, *rest: (sock, first(views), *rest),
    "connect": None,
    "accept": None,
}


class Epoll:
    """`select.epoll`, which can't be derived from, with a door before `poll`."""

    def __init__(self, *arguments: Any) -> None:
        self._real = _real_epoll(*arguments)
        self.poll = failing("poll", self._real.poll, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class Poll:
    """`select.poll`, likewise."""

    def __init__(self) -> None:
        self._real = _real_poll()
        self.poll = failing("poll", self._real.poll, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


_real_epoll, _real_poll = select.epoll, select.poll


def install_doors() -> None:
    for name, short in OS_CALLS.items():
        setattr(os, name, failing(name, getattr(os, name), short))
    for name, short in SOCKET_CALLS.items():
        setattr(socket.socket, name, failing(name, getattr(socket.socket, name), short))
    setattr(select, "epoll", Epoll)  # noqa: B010 - a class of C's is no other to mypy
    setattr(select, "poll", Poll)  # noqa: B010 - likewise


def install_fallocate() -> None:
    """The C library's own, below the loop that repeats an interrupted one."""
    from serverside.drives import fallocate

    real = fallocate._fallocate

    def fails(*arguments: int) -> int:
        fault = faults.due("fallocate")
        if fault:
            ctypes.set_errno(fault)
            return -1
        return int(real(*arguments))

    fallocate._fallocate = fails


def install_health(path: Path) -> None:
    """Let the marks of failed drives lie in a file."""
    from serverside.drives.health import DriveHealth

    real = DriveHealth.__init__

    def init(health: DriveHealth, drives: int, *more: Any, **named: Any) -> None:
        real(health, drives, *more, **named)
        health.cells = health_cells(path)

    setattr(DriveHealth, "__init__", init)  # noqa: B010 - mypy has its doubts


def health_cells(path: Path) -> mmap.mmap:
    with open(path, "a+b") as file:
        os.ftruncate(file.fileno(), DRIVES_MAX)
        return mmap.mmap(file.fileno(), DRIVES_MAX)


def install_roles() -> None:
    """A process's role is the second word of its title: `nsu: srw host1 …` is an srw."""
    from ipc import child

    real = child.name_process

    def name_process(title: str) -> None:
        real(title)
        faults.role = title.split()[1].encode()

    child.name_process = name_process


def shorten_rests() -> None:
    from ipc.backoff import Backoff

    real = Backoff.next

    def next_rest_s(backoff: Backoff) -> float:
        return min(0.02, real(backoff))

    setattr(Backoff, "next", next_rest_s)  # noqa: B010 - mypy has its doubts


def main() -> None:
    global faults
    path = Path(sys.argv.pop(1))
    sys.path[0] = str(Path(__file__).parents[2])
    faults = Faults(path)
    install_doors()
    install_fallocate()
    install_health(path.with_suffix(".health"))
    install_roles()
    shorten_rests()
    from nsu.cli import main as nsu

    nsu()


if __name__ == "__main__":
    main()
