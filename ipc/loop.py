"""The one event loop: epoll, timers and signals, in one thread.

Rules:
- Callbacks run one after the other and must not block. What a callback raises leaves `run`: a bug ends the
  process and its parent decides what follows.
- Order of a turn: ready descriptors, due timers, enqueued callbacks, then `after_each`, once, where whatever
  the callbacks gathered is sent in one go. `after_each` also runs once before the first sleep.
- Signal handlers only enqueue: CPython writes the number of the signal to a pipe (signal.set_wakeup_fd), and
  the callback runs in the loop like any other. Of a handler's own making, only `enqueue` and `stop` may be
  called.
- Readiness is level-triggered: what is not taken now is told again. So a descriptor that was watched anew in
  this turn is not told of events that were collected before; they may belong to a closed namesake.
- Forget a descriptor before it is closed. The kernel forgets it only when its last copy is closed, and a
  forked child may hold one.
"""

import contextlib
import heapq
import os
import select
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

Callback = Callable[[], object]

_READABLE: Final = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE: Final = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_CANCELLED_MAX: Final = 64
_WAKE: Final = b"\0"
"""In the pipe of signal numbers: no signal has number 0."""


class HasFileno(Protocol):
    """Whatever has a descriptor: sockets, files, packet queues."""

    def fileno(self) -> int:
        """The descriptor."""
        ...


class Timer:
    """A callback that is due at `when_s`, on the loop's clock."""

    __slots__ = ("_callback", "_loop", "when_s")

    def __init__(self, loop: "Loop", when_s: float, callback: Callback) -> None:
        self.when_s = when_s
        self._callback: Callback | None = callback
        self._loop = loop

    def cancel(self) -> None:
        """Do not call it. Harmless when it was called or cancelled before."""
        if self._callback is not None:
            self._callback = None
            self._loop._note_cancelled()

    @property
    def is_cancelled(self) -> bool:
        """It will not be called (any more)."""
        return self._callback is None

    def _fire(self) -> None:
        assert self._callback is not None
        callback, self._callback = self._callback, None
        callback()


class _Watch:
    __slots__ = ("fileobj", "on_readable", "on_writable", "turn")

    def __init__(
        self, fileobj: HasFileno | int, on_readable: Callback | None, on_writable: Callback | None, turn: int
    ) -> None:
        self.fileobj = fileobj
        self.on_readable = on_readable
        self.on_writable = on_writable
        self.turn = turn

    @property
    def events(self) -> int:
        return (select.EPOLLIN if self.on_readable else 0) | (select.EPOLLOUT if self.on_writable else 0)


class Loop:
    """An event loop. One of them at a time may have signals in one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now: Final = clock
        """Seconds on the loop's clock."""
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._turn = 0
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_made = 0
        self._timers_cancelled = 0
        self._enqueued: deque[Callback] = deque()
        self._after_each: list[Callback] = []
        self._stop_asked = False
        self._on_signal: dict[int, Callback] = {}
        self._former_handlers: dict[int, Any] = {}
        self._former_wakeup_fd: int | None = None
        self._wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_reader, on_readable=self._read_wakes)

    # Descriptors

    def watch(
        self,
        fileobj: HasFileno | int,
        *,
        on_readable: Callback | None = None,
        on_writable: Callback | None = None,
    ) -> None:
        """Call `on_readable` while there is something to read, the end and errors included; `on_writable`
        likewise.

        Replaces what was watched of this descriptor before; both None: forget it.

        Raises:
            OSError: EPERM for what is always ready (regular files), EBADF for a closed descriptor.

        """
        if on_readable is None and on_writable is None:
            self.forget(fileobj)
            return
        descriptor = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        watch = _Watch(fileobj, on_readable, on_writable, self._turn)
        if descriptor in self._watches:
            try:
                self._epoll.modify(descriptor, watch.events)
            except FileNotFoundError:
                # Closed without `forget`, and the number has come back for something else.
                self._epoll.register(descriptor, watch.events)
        else:
            self._epoll.register(descriptor, watch.events)
        self._watches[descriptor] = watch

    def forget(self, fileobj: HasFileno | int) -> None:
        """Watch it no more. Harmless when it is not watched, or closed already."""
        descriptor = self._watched_descriptor(fileobj)
        if descriptor is None:
            return
        del self._watches[descriptor]
        with contextlib.suppress(OSError):  # closed before: the kernel forgot it by itself
            self._epoll.unregister(descriptor)

    def _watched_descriptor(self, fileobj: HasFileno | int) -> int | None:
        descriptor = -1
        if isinstance(fileobj, int):
            descriptor = fileobj
        else:
            with contextlib.suppress(ValueError):  # a closed file
                descriptor = fileobj.fileno()
        if descriptor >= 0:
            return descriptor if descriptor in self._watches else None
        matches = (number for number, watch in self._watches.items() if watch.fileobj is fileobj)
        return next(matches, None)

    # Timers

    def call_at(self, when_s: float, callback: Callback) -> Timer:
        """Call once, at or after `when_s` on the loop's clock; in the past: in the next turn."""
        timer = Timer(self, when_s, callback)
        heapq.heappush(self._timers, (when_s, self._timers_made, timer))
        self._timers_made += 1
        return timer

    def call_later(self, delay_s: float, callback: Callback) -> Timer:
        """Call once, `delay_s` from now."""
        return self.call_at(self.now() + delay_s, callback)

    def _note_cancelled(self) -> None:
        self._timers_cancelled += 1
        # Timers of requests are mostly cancelled: without this the heap would hold them all until they are
        # due.
        if self._timers_cancelled > max(_CANCELLED_MAX, len(self._timers) // 2):
            self._timers = [entry for entry in self._timers if not entry[2].is_cancelled]
            heapq.heapify(self._timers)
            self._timers_cancelled = 0

    # Signals, and what may be called from their handlers

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call `callback` in the loop after signal `number`. Several that come at once may be told as one.

        Replaces the process's handler until `close`. Main thread only.
        """
        if self._former_wakeup_fd is None:
            self._former_wakeup_fd = signal.set_wakeup_fd(self._wake_writer, warn_on_full_buffer=False)
        self._on_signal[number] = callback
        former = signal.signal(number, _enqueued_by_wakeup_fd)
        self._former_handlers.setdefault(number, former)
        signal.siginterrupt(number, False)

    def enqueue(self, callback: Callback) -> None:
        """Call `callback` in the loop, in this turn or the next. May be called by a signal handler."""
        self._enqueued.append(callback)
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full: it will wake anyway
            os.write(self._wake_writer, _WAKE)

    def _read_wakes(self) -> None:
        numbers = os.read(self._wake_reader, 4096)
        for number in dict.fromkeys(numbers):
            callback = self._on_signal.get(number)
            if callback is not None:
                callback()

    # Turns

    def after_each(self, callback: Callback) -> None:
        """Call `callback` once in every turn, after all other callbacks: where batches are flushed."""
        self._after_each.append(callback)

    def stop(self) -> None:
        """Have `run` return after this turn, or at once when it is called later. A handler may call it."""
        self._stop_asked = True
        self._wake()

    def run(self) -> None:
        """Turn until `stop`."""
        self._call_all(self._after_each)
        while not self._stop_asked:
            events = self._epoll.poll(self._sleep_s())
            self._turn += 1
            self._dispatch(events)
            if self._timers:
                self._fire_timers()
            if self._enqueued:
                self._call_all([self._enqueued.popleft() for _ in range(len(self._enqueued))])
            self._call_all(self._after_each)
        self._stop_asked = False

    def _sleep_s(self) -> float | None:
        if self._enqueued:
            return 0
        while self._timers and self._timers[0][2].is_cancelled:
            heapq.heappop(self._timers)
            self._timers_cancelled -= 1
        if not self._timers:
            return None
        return max(0.0, self._timers[0][0] - self.now())

    def _dispatch(self, events: list[tuple[int, int]]) -> None:
        watches, turn = self._watches, self._turn
        for descriptor, mask in events:
            watch = watches.get(descriptor)
            if watch is None or watch.turn == turn:
                continue
            if mask & _READABLE and watch.on_readable is not None:
                watch.on_readable()
                if watches.get(descriptor) is not watch:
                    continue
            if mask & _WRITABLE and watch.on_writable is not None:
                watch.on_writable()

    def _fire_timers(self) -> None:
        now = self.now()
        # Those made by callbacks of this turn wait for the next: a timer that renews itself starves nobody.
        made_before = self._timers_made
        while self._timers and self._timers[0][0] <= now and self._timers[0][1] < made_before:
            timer = heapq.heappop(self._timers)[2]
            if timer.is_cancelled:
                self._timers_cancelled -= 1
            else:
                timer._fire()

    @staticmethod
    def _call_all(callbacks: Iterable[Callback]) -> None:
        for callback in callbacks:
            callback()

    def close(self) -> None:
        """Give the signals back and close the loop's own descriptors. Harmless when done before."""
        if self._epoll.closed:
            return
        for number, handler in self._former_handlers.items():
            signal.signal(number, handler)
        if self._former_wakeup_fd is not None:
            signal.set_wakeup_fd(self._former_wakeup_fd)
        self._epoll.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)


def _enqueued_by_wakeup_fd(_number: int, _frame: object) -> None:
    """Do nothing: by the time this runs, the number is in the pipe."""
