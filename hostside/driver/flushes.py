"""FLUSH across many paths: drain, then flush (trap 13).

A unit's paths are separate processes on the server, so a FLUSH sent beside writes covers none of them for
sure. NBD's rule is that a client may not flush before it has the replies that it wants covered. So here:
  * A FLUSH covers every write, TRIM and WRITE ZEROES submitted before it: it is sent when all of those have
    ended.
  * Exactly one FLUSH is on the wire; those that came meanwhile, and are drained by then, share the next
    one.
  * Writes submitted after a FLUSH neither wait for it nor delay it.
  * 0x01 has no FLUSH on the wire: its server writes through, so a drained FLUSH is done.

How: time is cut into epochs. A write belongs to the epoch that is open when it is submitted; a FLUSH closes
that epoch. Epochs end in order: the eldest closed one whose writes have all ended is drained, and only then
may the next one be.
"""

from collections import deque

from hostside.driver.request import Request


class Epoch:
    """The writes between two FLUSHes, and the FLUSHes that close it."""

    __slots__ = ("flushes", "pending")

    def __init__(self) -> None:
        self.pending = 0
        """Writes of this epoch that have not ended."""
        self.flushes: list[Request] = []


class Flushes:
    """Decides when a FLUSH goes out, and for whom. The driver counts the pending writes of the epochs."""

    __slots__ = ("_closed", "_wire", "open")

    def __init__(self) -> None:
        self.open = Epoch()
        """The epoch that a write submitted now belongs to."""
        self._closed: deque[Epoch] = deque()
        self._wire: list[Request] = []

    @property
    def waiting(self) -> bool:
        """Some FLUSH waits for writes, or for its turn."""
        return bool(self._closed)

    def add(self, request: Request) -> None:
        """Take a FLUSH; `take_drained` gives it back when its turn has come."""
        if self._closed and self.open.pending == 0:
            # Nothing was written since the FLUSH before: what covers that one covers this.
            self._closed[-1].flushes.append(request)
            return
        self.open.flushes.append(request)
        self._closed.append(self.open)
        self.open = Epoch()

    def take_drained(self) -> list[Request]:
        """Give the FLUSHes that one command on the wire may now serve; none while one is there already."""
        if self._wire:
            return []
        while self._closed and self._closed[0].pending == 0:
            self._wire += self._closed.popleft().flushes
        return list(self._wire)

    def fail_waiting(self, status: int, sentence: str) -> None:
        """Fail, when their turn comes, all that are not on the wire yet: what covers them has just been found lost."""
        for epoch in self._closed:
            for request in epoch.flushes:
                request.fail(status, sentence)

    def wire_done(self) -> list[Request]:
        """The FLUSH on the wire has ended; give all whom it served."""
        served, self._wire = self._wire, []
        return served
