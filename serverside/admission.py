"""Places: how many SRWs each host has on each data port, and the seat each SRW sits in.

A seat is an index into what was made before the forks: heart, counters, the channel to the drivers. There are as many
seats as all hosts' places together, and a few more for SRWs that are dead but not yet reaped.
"""


class Admission:
    """Counts; the limits themselves are the server's to compare."""

    def __init__(self, seats: int) -> None:
        self.free = list(range(seats - 1, -1, -1))
        self.counts: dict[tuple[str, tuple[str, int]], int] = {}

    def take(self, host: str, port: tuple[str, int]) -> int | None:
        """Take a seat for `host` on `port`; None when every seat is taken."""
        if not self.free:
            return None
        self.counts[host, port] = self.taken(host, port) + 1
        return self.free.pop()

    def give(self, host: str, port: tuple[str, int], seat: int) -> None:
        """Give a seat back, after its SRW is reaped and drained."""
        assert seat not in self.free
        assert self.counts[host, port] > 0
        self.counts[host, port] -= 1
        self.free.append(seat)

    def taken(self, host: str, port: tuple[str, int]) -> int:
        """Give how many SRWs `host` has on `port`."""
        return self.counts.get((host, port), 0)
