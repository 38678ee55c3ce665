"""Orders to the kernel's NBD client beside the loop: one after the other, each given by a process of its own.

Why not in the loop. An order may wait for the very process that gives it:

  * DISCONNECT says goodbye on each socket, and waits for room in a socket that we have stopped reading.
  * RECONFIGURE with another size waits, since Linux 6.9, until all requests in flight are answered, by us.
  * All orders of the machine share a lock: one that waits holds up those of every other disk, and of other programs.

Why not in a thread. The kernel does not let a waiting order be interrupted, not even by SIGKILL. A process with such a
thread can't be reaped; with such a child it can: whatever the kernel does, the disk's process ends when it wants to.

Nothing of an order is kept in this process but what it was about: the child has a conversation and copies of sockets.
"""

import errno
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hostside.frontends.nbd_device import NbdDevices, refusal
from ipc.child import HEART_NAMES, Child, fork_child
from ipc.counters import CounterTable
from ipc.loop import Loop

REAP_AGAIN_S = 0.005
"""A process closes its descriptors, which is what we hear, a moment before it can be reaped."""

Give = Callable[[NbdDevices], object]
Then = Callable[[OSError | None], None]


@dataclass(frozen=True, slots=True)
class Order:
    """One order."""

    what: str
    """In words, for errors: "detach nbd0"."""
    give: Give
    """Gives it, in the child; raises OSError when the kernel refuses."""
    then: Then
    """Called by the loop with None when it is carried out, or with what the kernel has against it."""
    keep: Sequence[int] = ()
    """Descriptors that `give` needs."""


class Orders:
    """The orders of one front-end."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._hearts = CounterTable(1, HEART_NAMES)
        self._waiting: deque[Order] = deque()
        self._order: Order | None = None
        self._child: Child | None = None

    def add(self, order: Order) -> None:
        """Have `order` given as soon as those before it are carried out."""
        self._waiting.append(order)
        if self._order is None:
            self._next()

    def drop_waiting(self) -> None:
        """Take back those that have not begun; ECANCELED is told."""
        dropped, self._waiting = self._waiting, deque()
        for order in dropped:
            order.then(OSError(errno.ECANCELED, f"there was no time to {order.what}"))

    def close(self) -> None:
        """Listen no more. An order that the kernel is at is carried out all the same."""
        self._waiting.clear()
        child, self._child, self._order = self._child, None, None
        if child is not None:
            self._loop.forget(child.ready_fd)
            child.poll()
            child.close()

    def _next(self) -> None:
        if not self._waiting:
            return
        order = self._order = self._waiting.popleft()
        try:
            self._child = fork_child(
                f"nsu: order: {order.what}",
                lambda _: _give(order.give),
                hearts=self._hearts, heart_row=0, keep=order.keep,
            )  # fmt: skip
        except OSError as error:
            failure = OSError(error.errno, f"there is no process to {order.what}: {error.strerror}")
            self._loop.enqueue(lambda: self._done(failure))
            return
        self._loop.watch(self._child.ready_fd, on_readable=self._ended)

    def _ended(self) -> None:
        """The child's end of its pipe is closed."""
        child = self._child
        if child is None:
            return
        status = child.poll()
        self._loop.forget(child.ready_fd)
        if status is None:
            self._loop.call_later(REAP_AGAIN_S, self._ended)
            return
        child.close()
        assert self._order is not None
        self._done(refusal(self._order.what, status if status > 0 else errno.EINTR) if status else None)

    def _done(self, error: OSError | None) -> None:
        order, self._order, self._child = self._order, None, None
        self._next()
        if order is not None:
            order.then(error)


def _give(give: Give) -> int:
    """Live as the child: 0, or the kernel's errno, is the exit status."""
    try:
        give(NbdDevices())
    except OSError as error:
        return error.errno or errno.EIO
    return 0
