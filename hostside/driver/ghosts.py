"""Ghosts: writes that were reported as failed for want of a path, and that the server may still apply.

A path whose agent is dead and reaped writes into no slot and reports nothing any more, but it is fenced only when the
server has said so: until then what it had on the wire can still be applied. With `fail_after_s`, nobody waits for that:
the request fails, and its slots go back. What stays is its range in the range lock (ranges.py), until LOST has come for
every path that held a part of it: so no later write to these blocks overtakes it, and no later read sees a failed write
appear under its eyes.

Reads and FLUSHes leave no ghost: done late, they do no harm.
"""

from hostside.driver.request import Request

Holder = tuple[int, int]
"""Path, incarnation."""


class Ghosts:
    """Which incarnations are reaped and not yet fenced, and which writes they may still apply."""

    __slots__ = ("_reaped", "_unfenced")

    def __init__(self) -> None:
        self._reaped: set[Holder] = set()
        """Those whose constituents have not been given up."""
        self._unfenced: dict[Request, set[Holder]] = {}
        """Write -> who held a part of it that was given up."""

    def __contains__(self, request: Request) -> bool:
        """Give whether `request` may still be applied, by a path that was given up."""
        return request in self._unfenced

    def reaped(self, path: int, incarnation: int) -> None:
        """The agent of that incarnation is dead and reaped."""
        self._reaped.add((path, incarnation))

    def take_reaped(self) -> list[Holder]:
        """Give the reaped incarnations whose constituents have not been given up; they are to be now."""
        reaped, self._reaped = self._reaped, set()
        return sorted(reaped)

    def add(self, request: Request, holder: Holder) -> None:
        """A constituent of the write `request` is given up, and `holder` may still apply it."""
        self._unfenced.setdefault(request, set()).add(holder)

    def lost(self, path: int, incarnation: int) -> list[Request]:
        """That incarnation is fenced; give the writes that are over now: finished, and fenced in every part."""
        holder = (path, incarnation)
        self._reaped.discard(holder)
        fenced = []
        for request, holders in self._unfenced.items():
            holders.discard(holder)
            if not holders:
                fenced.append(request)
        for request in fenced:
            del self._unfenced[request]
        return [request for request in fenced if request.finished]
