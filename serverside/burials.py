"""Waiting, without standing still, for what was killed to be gone: `Drain` for one seat, `Burials` for sets of SRWs."""

from collections.abc import Callable, Iterable

from ipc.loop import Loop, Timer
from serverside.driver.channel import Waiting
from serverside.sessions import Srw

SIGKILL = 9
LOOK_EVERY_S = 0.1
"""How often a drain looks whether the driver process it waits for has been replaced."""

Done = Callable[[], None]


class Drain:
    """Waits until the drivers have done what the reaped tenant of a seat had posted to them; then calls `done`, once.

    `marks`: for each array, the descriptor on which its driver answers, and the MARK that is posted.
    """

    def __init__(self, loop: Loop, marks: Iterable[tuple[int, Waiting]], done: Done) -> None:
        self.loop = loop
        self.marks = dict(marks)
        self.done = done
        self.timer: Timer | None = None
        for descriptor in self.marks:
            loop.watch(descriptor, on_readable=self.look)

    def look(self) -> None:
        """Take what has been answered."""
        for descriptor, mark in list(self.marks.items()):
            if mark.poll() is not None:
                del self.marks[descriptor]
                self.loop.forget(descriptor)
        if self.timer is not None:
            self.timer.cancel()
        if self.marks:
            self.timer = self.loop.call_later(LOOK_EVERY_S, self.look)
        else:
            self.done()

    def cancel(self) -> None:
        """Wait no more."""
        if self.timer is not None:
            self.timer.cancel()
        for descriptor in self.marks:
            self.loop.forget(descriptor)


class Burials:
    """Sets of SRWs that somebody wants to be gone."""

    def __init__(self) -> None:
        self.open: list[tuple[set[Srw], Done]] = []

    def begin(self, srws: Iterable[Srw], done: Done) -> None:
        """Kill `srws`; call `done` when all are buried (at once when there are none)."""
        waiting = {srw for srw in srws if not srw.buried}
        if not waiting:
            done()
            return
        for srw in waiting:
            # Not of one that has just died by itself: its host asks for the fence as soon as it sees the end.
            srw.killed = srw.killed or srw.child.poll() is None
            srw.child.signal(SIGKILL)
        self.open.append((waiting, done))

    def buried(self, srw: Srw) -> None:
        """Take note that nothing of `srw` is left, and finish what waited for it."""
        srw.buried = True
        for waiting, _ in self.open:
            waiting.discard(srw)
        finished = [done for waiting, done in self.open if not waiting]
        self.open = [(waiting, done) for waiting, done in self.open if waiting]
        for done in finished:
            done()
