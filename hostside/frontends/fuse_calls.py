"""Calls: what the kernel asks of the file, carried from the FUSE library's threads to the loop, and answered there.

A thread of the library makes a Call and waits in `carry`; the loop's thread takes all that have arrived in one turn.
Guarantee: every `carry` ends, with the call's own outcome or, after `close`, with ESHUTDOWN; whoever stops the loop
closes this first.
"""

import os
from collections import deque
from collections.abc import Callable
from errno import ESHUTDOWN

from hostside.frontends.aside import Answer
from ipc.loop import Loop


class Call:
    """One request of the kernel. `data`: what a WRITE carries, and what a READ has brought."""

    __slots__ = ("answer", "data", "fua", "is_answered", "length_bytes", "offset_bytes", "op", "status")

    def __init__(self, op: int, offset_bytes: int, length_bytes: int, data: bytes = b"", *, fua: bool = False) -> None:
        self.op = op
        self.offset_bytes = offset_bytes
        self.length_bytes = length_bytes
        self.data = data
        self.fua = fua
        self.status = 0
        """0 or an errno number."""
        self.is_answered = False
        self.answer = Answer()

    def end(self, status: int = 0) -> None:
        """Let whoever waits have the outcome. Later ones are not heard: it has gone."""
        if not self.is_answered:
            self.is_answered = True
            self.status = status
            self.answer.give()


class Handover:
    """Between the threads that wait and the loop that works; `take` is called in the loop, once for each call."""

    def __init__(self, loop: Loop, take: Callable[[Call], None]) -> None:
        self._loop = loop
        self._take = take
        self._arrived: deque[Call] = deque()
        self._is_told = False
        """The loop will look at `_arrived`, so that one wake-up serves all who come meanwhile."""
        self._under_way: set[Call] = set()
        self._is_closed = False

    def carry(self, call: Call) -> bytes:
        """Have the loop do it, and wait; give what a READ has brought. In the library's threads.

        Raises:
            OSError: with the errno of this very request.

        """
        self._arrived.append(call)
        if self._is_closed:  # looked at after the append: `close` has either seen the call or is seen here
            self._refuse_arrived()
        elif not self._is_told:
            self._is_told = True
            self._loop.enqueue(self._take_arrived)
        call.answer.wait()
        if call.status:
            raise OSError(call.status, os.strerror(call.status))
        return call.data

    def _take_arrived(self) -> None:
        self._is_told = False  # before looking: who comes now wakes us again, needlessly at worst
        arrived = self._arrived
        while arrived and not self._is_closed:
            call = arrived.popleft()
            self._under_way.add(call)
            self._take(call)

    def end(self, call: Call, status: int = 0) -> None:
        """The loop has done it."""
        self._under_way.discard(call)
        call.end(status)

    def close(self) -> None:
        """Answer everybody, and whoever comes later. Harmless twice."""
        self._is_closed = True
        self._refuse_arrived()
        for call in tuple(self._under_way):
            self.end(call, ESHUTDOWN)

    def _refuse_arrived(self) -> None:
        while True:
            try:
                call = self._arrived.popleft()
            except IndexError:
                return
            call.end(ESHUTDOWN)
