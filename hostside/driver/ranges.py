"""The range lock: which requests wait for which.

Rules
  * A write (or TRIM, or WRITE ZEROES) waits for every older write in flight or waiting that it overlaps:
    overlapping writes in flight at once may leave contents that match neither (trap 10), and a write sent
    again after its path was lost must not come after a newer one (traps 8 and 9).
  * A read waits for every older write that it overlaps: only an acknowledged write is sure to be seen (trap
    11).
  * Nothing waits for a read. A read beside a newer write may return either state of a block; that is what a
    disk does.
  * Newer waits for older only, and "older" is the order of `enter_*` calls, so no circle can form: no
    deadlock.
  * A range is held until the PARENT has ended, through every loss of a path on the way; and longer while a
    write that failed may still be applied (ghosts.py). A request that fails while it waits leaves at once,
    and is never given back.

Cost: nearly all I/O overlaps nothing, so a request looks only into the short lists of the 128 KiB regions
it touches. A write over more regions than `NARROW_REGIONS` stands in one separate list instead, which
everybody looks into; it is all but always empty.
"""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

from hostside.driver.request import Request

REGION_SHIFT: Final = 17
"""2 ** 17 = 128 KiB: two constituents."""
NARROW_REGIONS: Final = 64


class RangeLock:
    """Holds the ranges of all writes that have entered and not left."""

    __slots__ = ("_regions", "_wide")

    def __init__(self) -> None:
        self._regions: dict[int, list[Request]] = {}
        self._wide: list[Request] = []

    @property
    def is_free(self) -> bool:
        """Nobody holds anything."""
        return not self._regions and not self._wide

    def enter_read(self, request: Request) -> bool:
        """Give whether `request` may start now; if not, a later `leave` will give it back."""
        regions = self._regions
        if not regions and not self._wide:
            return True
        first = request.offset_bytes >> REGION_SHIFT
        if first == (request.end_bytes - 1) >> REGION_SHIFT:
            older = regions.get(first)
            if older is not None:
                _wait_for(older, request)
        else:
            _wait_for(self._all_near(request), request)
        if self._wide:
            _wait_for(self._wide, request)
        return request.blockers == 0

    def enter_write(self, request: Request) -> bool:
        """Take the range; give whether `request` may start now. If not, a later `leave` will give it back."""
        first = request.offset_bytes >> REGION_SHIFT
        last = (request.end_bytes - 1) >> REGION_SHIFT
        if self._wide:
            _wait_for(self._wide, request)
        if first == last:
            older = self._regions.get(first)
            if older is None:
                self._regions[first] = [request]
            else:
                _wait_for(older, request)
                older.append(request)
        else:
            self._enter_many(request, first, last)
        return request.blockers == 0

    def leave(self, request: Request) -> list[Request]:
        """Give the range of a write back; give the requests that may start now, oldest first."""
        first = request.offset_bytes >> REGION_SHIFT
        last = (request.end_bytes - 1) >> REGION_SHIFT
        if last - first >= NARROW_REGIONS:
            self._wide.remove(request)
        else:
            for region in range(first, last + 1):
                holders = self._regions[region]
                if len(holders) == 1:
                    del self._regions[region]
                else:
                    holders.remove(request)
        if request.waiters is None:
            return []
        waiters, request.waiters = request.waiters, None
        return _released(waiters)

    def waiting(self) -> list[Request]:
        """Give every request that waits and has not failed meanwhile, once."""
        holders = chain(self._wide, *self._regions.values())
        waiters = dict.fromkeys(waiter for holder in holders for waiter in holder.waiters or ())
        return [waiter for waiter in waiters if not waiter.finished]

    def _enter_many(self, request: Request, first: int, last: int) -> None:
        _wait_for(self._all_near(request), request)
        if last - first >= NARROW_REGIONS:
            self._wide.append(request)
            return
        for region in range(first, last + 1):
            self._regions.setdefault(region, []).append(request)

    def _all_near(self, request: Request) -> Iterator[Request]:
        """Give every narrow write in the regions of `request`, once for each region that it is in."""
        first = request.offset_bytes >> REGION_SHIFT
        last = (request.end_bytes - 1) >> REGION_SHIFT
        if last - first >= len(self._regions):
            for region, holders in self._regions.items():
                if first <= region <= last:
                    yield from holders
            return
        for region in range(first, last + 1):
            yield from self._regions.get(region, ())


def _wait_for(older: Iterable[Request], request: Request) -> None:
    """Let `request` wait for those of `older` that it overlaps.

    One met twice (in two regions) is waited for twice, and lets go twice when it leaves: the count is right.
    """
    offset_bytes, end_bytes = request.offset_bytes, request.end_bytes
    for other in older:
        if other.offset_bytes < end_bytes and offset_bytes < other.end_bytes:
            request.blockers += 1
            if other.waiters is None:
                other.waiters = [request]
            else:
                other.waiters.append(request)


def _released(waiters: list[Request]) -> list[Request]:
    free = []
    for waiter in waiters:
        waiter.blockers -= 1
        if waiter.blockers == 0 and not waiter.finished:
            free.append(waiter)
    return free
