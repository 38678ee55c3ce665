"""Children: forked, named, heard, and reaped by the parent that forked them; dead when it is dead.

Rules:
- A parent that forks has one thread.
- A child inherits the descriptors it is told to keep and 0 to 2, and nothing else: above all not the parent's
  epoll and the pipe of its signals, through which the two would disturb each other.
- All signals are blocked over the fork. Until the child has its own handlers, a signal for the child would be
  written to the parent's pipe, and a parent that says "stop" to a new child would stop itself.
- A child ends by os._exit: no finalizer, exit handler or test runner of the parent runs a second time in it.
  Objects of the parent that hold descriptors are dead in the child: it must neither use nor close them.
- SIGKILL of the parent, at any moment, kills the child (PR_SET_PDEATHSIG), and so on down the tree.
- SIGINT is ignored: a terminal sends it to everybody, and the parent alone decides, by SIGTERM, who stops
  when.

What a child says: `ready` on a pipe, whose end of file is also the news of its death; `beat` in shared
memory; its exit status (`ipc.exits`) at last.
"""

import contextlib
import faulthandler
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Final, NoReturn, TextIO

from setproctitle import getproctitle, setproctitle

from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.prctl import die_with_parent

HEART_NAMES: Final = ("beat_ns",)
"""Columns of a table of hearts; the first is the time of the last beat, CLOCK_MONOTONIC, nanoseconds."""

_KEPT_BY_PYTHON: Final = {signal.SIGPIPE, signal.SIGXFSZ}
_UNCHANGEABLE: Final = {signal.SIGKILL, signal.SIGSTOP}


class Life:
    """What a child's main gets: how it speaks to its parent, and whether it was asked to stop."""

    def __init__(self, ready_fd: int, heart: "memoryview[int]") -> None:
        self._stop_asked = False
        self._on_stop: Callable[[], object] | None = None
        self._ready_fd = ready_fd
        self._heart = heart

    @property
    def stop_asked(self) -> bool:
        """SIGTERM was seen.

        Asking runs the handler of a signal that has just come, as every step of a plain module does. Compiled modules
        have no such steps: they ask this, or beat, right before they wait.
        """
        return self._stop_asked

    @property
    def on_stop(self) -> Callable[[], object] | None:
        """Called by the handler of SIGTERM, or when it is set, if SIGTERM came before.

        A handler interrupts anything: let it be `Loop.stop`, or a function that calls `Loop.enqueue`.
        """
        return self._on_stop

    @on_stop.setter
    def on_stop(self, callback: Callable[[], object] | None) -> None:
        self._on_stop = callback
        if self._stop_asked and callback is not None:
            callback()

    def ready(self) -> None:
        """Tell the parent, once, that what it waits for is up."""
        self.beat()
        if self._ready_fd >= 0:
            with contextlib.suppress(BrokenPipeError):  # the parent does not listen any more
                os.write(self._ready_fd, b"\1")

    def beat(self) -> int:
        """Tell the parent that this process is not stuck. Give the time, CLOCK_MONOTONIC, nanoseconds."""
        now_ns = self._heart[0] = time.monotonic_ns()
        return now_ns

    def _take_sigterm(self, _number: int, _frame: object) -> None:
        self._stop_asked = True
        if self._on_stop is not None:
            self._on_stop()


class Child:
    """The parent's side of a child."""

    def __init__(self, title: str, pid: int, ready_fd: int, heart: "memoryview[int]") -> None:
        self.title: Final = title
        self.pid: Final = pid
        self.started_s: Final = time.monotonic()
        """When it was forked, CLOCK_MONOTONIC."""
        self.ready_fd = ready_fd
        """Readable when the child says ready and, for good, once it is dead; -1 after `close`."""
        self.status: int | None = None
        """How it ended, as `poll` says it; None before it is reaped."""
        self._heart = heart
        self._is_ready = False

    @property
    def is_ready(self) -> bool:
        """It has said ready, be it dead since. Asks the pipe; never waits."""
        if not self._is_ready and self.ready_fd >= 0:
            with contextlib.suppress(BlockingIOError):
                self._is_ready = bool(os.read(self.ready_fd, 1))
        return self._is_ready

    @property
    def last_beat_s(self) -> float:
        """When it beat last, CLOCK_MONOTONIC seconds; at first the time of the fork."""
        return self._heart[0] / 1e9

    def silent_s(self, now_s: float) -> float:
        """Seconds since its last beat; `now_s` is CLOCK_MONOTONIC."""
        return now_s - self.last_beat_s

    def signal(self, number: int) -> None:
        """Send a signal, unless it is reaped already: its pid may be another's by now."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def poll(self) -> int | None:
        """Reap it if it has ended: its exit status, or minus the signal that killed it; None: it lives."""
        if self.status is None:
            pid, wait_status = os.waitpid(self.pid, os.WNOHANG)
            if pid == self.pid:
                self.status = os.waitstatus_to_exitcode(wait_status)
        return self.status

    def wait(self, timeout_s: float | None) -> int | None:
        """Wait until it ends, for ever with None; its status as `poll` says it, or None if it lives on."""
        if self.poll() is None:
            end = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(end, select.POLLIN)
                poll.poll(None if timeout_s is None else timeout_s * 1000)
            finally:
                os.close(end)
        return self.poll()

    def kill_and_reap(self, timeout_s: float = 10.0) -> int:
        """SIGKILL it and wait until it is gone: only then can nothing of it be applied any more.

        Raises:
            TimeoutError: the kernel still holds it, for instance in a write to a drive that hangs.

        """
        self.signal(signal.SIGKILL)
        status = self.wait(timeout_s)
        if status is None:
            raise TimeoutError(f"{self.title} (pid {self.pid}) is still not gone {timeout_s} s after SIGKILL")
        return status

    def close(self) -> None:
        """Listen to it no more; a loop that watches `ready_fd` forgets it first. Harmless twice."""
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
        self.ready_fd = -1


def name_process(title: str) -> None:
    """Give the calling process the title that people and checks find it by."""
    setproctitle(title)


def process_name() -> str:
    """Give the title of the calling process, as `name_process` gave it."""
    return getproctitle()


def fork_child(
    title: str,
    main: Callable[[Life], int],
    *,
    hearts: CounterTable,
    heart_row: int,
    keep: Iterable[int] = (),
) -> Child:
    """Fork a process that runs `main`, whose result is its exit status (`ipc.exits`).

    `hearts` and `heart_row`: where it beats; nobody else may have the row. `keep`: descriptors it needs.
    What escapes from `main` is printed to standard error, and the status is FAILED.

    Raises:
        OSError: no process or no descriptor is left.

    """
    heart = hearts.row(heart_row).cells
    kept = set(keep)
    parent_pid = os.getpid()
    _flush()
    # Ignored, the kernel would reap children by itself, and their pids could be another's when we signal
    # them.
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    heart[0] = time.monotonic_ns()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _live(title, main, Life(writer, heart), parent_pid, kept | {writer}, mask)
    except OSError:
        os.close(reader)
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.close(writer)
    return Child(title, pid, reader, heart)


def _live(
    title: str,
    main: Callable[[Life], int],
    life: Life,
    parent_pid: int,
    keep: set[int],
    mask: set[int] | set[signal.Signals],
) -> NoReturn:
    """All of a child's life. Never returns: what lies below on the stack is the parent's."""
    code = int(Exit.FAILED)
    try:
        _reset_signals(life)
        if not die_with_parent(parent_pid):
            os._exit(Exit.FAILED)
        gc.freeze()  # garbage of the parent that holds descriptors must not be collected here
        _close_all_but(keep)
        _speak_through_descriptors()
        name_process(title)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        code = int(main(life))
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(Exit.FAILED)
    except BaseException:  # noqa: BLE001 the outermost line of a process
        os.write(2, f"{title}: {traceback.format_exc()}".encode(errors="replace"))
    finally:
        try:
            _flush()
        finally:
            os._exit(code)


def _reset_signals(life: Life) -> None:
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - _KEPT_BY_PYTHON - _UNCHANGEABLE:
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, life._take_sigterm)


def _close_all_but(keep: set[int]) -> None:
    last = max(int(name) for name in os.listdir("/proc/self/fd"))
    first = 3
    for descriptor in sorted(keep | {last + 1}):
        if descriptor >= first:
            os.closerange(first, descriptor)
            first = descriptor + 1


_former_streams: list[object] = []
"""Streams whose descriptor is closed: kept, for their finalizer would close whatever has the number now."""


def _speak_through_descriptors() -> None:
    """Have print and tracebacks go to 1 and 2, wherever the parent's streams went (a test runner's files)."""
    sys.stdout = _stream_on(1, sys.stdout)
    sys.stderr = _stream_on(2, sys.stderr)
    if faulthandler.is_enabled():
        faulthandler.enable(2)


def _stream_on(descriptor: int, present: TextIO | None) -> TextIO:
    with contextlib.suppress(OSError, ValueError):
        if present is not None and present.fileno() == descriptor:
            return present
    _former_streams.append(present)
    return open(descriptor, "w", buffering=1, errors="backslashreplace", closefd=False)


def _flush() -> None:
    """Empty the buffers: before a fork, else both print what lies in them; before _exit, else nobody does."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):  # closed, or nobody reads it
                stream.flush()
