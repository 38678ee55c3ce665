"""Clients that use one disk all the time and check what they read, and how long their requests took.

    with Load(at, clients=8) as load:
        t = load.mark()
        ...                         # something breaks
        load.wait_until_all_flows()
        assert load.longest_wait_s(t) < 5

Each client writes its own blocks, one request at a time, and reads each back. A request that never ends counts, too: as
long as it has lasted until now.
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from hostside import open_disk

FLOW_REQUESTS = 4
PAUSE_S = 0.002
"""After each round of a client: enough are under way at any time, and the processors are left to those under test."""


class Client(threading.Thread):
    """One client."""

    def __init__(self, at: Path, number: int, request_bytes: int, places: int) -> None:
        super().__init__(daemon=True)
        self.at = at
        self.places = places
        self.first_bytes = number * places * request_bytes
        self.request_bytes = request_bytes
        self.ended: list[tuple[float, float]] = []
        """(begin, end) of each request, CLOCK_MONOTONIC seconds."""
        self.began_s = time.monotonic()
        self.stopping = False
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with open_disk(at=self.at) as disk:
                turn = 0
                while not self.stopping:
                    turn += 1
                    data = turn.to_bytes(8, "big") * (self.request_bytes // 8)
                    place = self.first_bytes + turn % self.places * self.request_bytes
                    self.begin()
                    disk.pwrite(data, place)
                    self.end()
                    self.begin()
                    assert disk.pread(self.request_bytes, place) == data, f"lost: write {turn} at byte {place}"
                    self.end()
                    time.sleep(PAUSE_S)
        except (OSError, AssertionError) as error:
            self.error = error

    def begin(self) -> None:
        self.began_s = time.monotonic()

    def end(self) -> None:
        self.ended.append((self.began_s, time.monotonic()))

    def longest_wait_s(self, since_s: float) -> float:
        """Give the longest time after `since_s` for which a request was under way."""
        under_way = [(self.began_s, time.monotonic()), *reversed(self.ended)]
        waits = []
        for began_s, ended_s in under_way:
            if ended_s < since_s:
                break
            waits.append(ended_s - max(began_s, since_s))
        return max(waits)


class Load:
    """`clients` of one disk, which must have room for `places` requests of each."""

    def __init__(self, at: Path, *, clients: int = 8, request_bytes: int = 4096, places: int = 16) -> None:
        self.clients = [Client(at, number, request_bytes, places) for number in range(clients)]

    def mark(self) -> float:
        """Give the time on the clock of this load."""
        return time.monotonic()

    def done(self) -> int:
        """Give how many requests have ended."""
        return sum(len(client.ended) for client in self.clients)

    def longest_wait_s(self, since_s: float) -> float:
        """Give the longest time after `since_s` for which any request was under way."""
        return max(client.longest_wait_s(since_s) for client in self.clients)

    def wait_until_all_flows(self, timeout_s: float = 30.0) -> None:
        """Wait until each client has had some more requests done."""
        until_s = time.monotonic() + timeout_s
        wanted = [len(client.ended) + FLOW_REQUESTS for client in self.clients]
        while any(len(client.ended) < count for client, count in zip(self.clients, wanted, strict=True)):
            self.check()
            assert time.monotonic() < until_s, f"requests still wait after {timeout_s:g} s"
            time.sleep(0.002)

    def check(self) -> None:
        """Raise what went wrong."""
        for client in self.clients:
            if client.error is not None:
                raise client.error

    def __enter__(self) -> Self:
        for client in self.clients:
            client.start()
        self.wait_until_all_flows()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.clients:
            client.stopping = True
        if error is None:
            for client in self.clients:
                client.join(30)
                assert not client.is_alive(), "a request never ended"
            self.check()
