"""How often somebody may fail to log in: buckets of tries that fill again with time.

Three stand in each other's way of a guesser: one for a user from an address, one for an address, one for all. The first
is small, so that guessing a password takes years; it is of that address alone, so that nobody locks out another by
failing in his name. A try is taken before the password is looked at, so that many at once are counted too. What is kept
is bounded; the oldest is forgotten first.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

BUCKETS_MAX = 10_000


class Rate(NamedTuple):
    """A bucket: tries it holds, and the seconds after which one comes back."""

    tries: int
    again_s: float


PAIR, ADDRESS, ALL = Rate(5, 60.0), Rate(20, 10.0), Rate(200, 0.5)


class Attempts:
    """Failed attempts. `clock` gives seconds that never go back. For several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._full_at: OrderedDict[tuple[str, ...], float] = OrderedDict()
        """Bucket -> when it will be full again."""
        self._lock = threading.Lock()

    def take(self, user: str, address: str) -> float:
        """Take a try, and give 0; or, when there is none now, the seconds until there is one."""
        now_s = self._clock()
        with self._lock:
            wait_s = max(0.0, *(self._wait_s(key, rate, now_s) for key, rate in _buckets(user, address)))
            if wait_s == 0:
                self._add(user, address, now_s, 1)
                while len(self._full_at) > BUCKETS_MAX:
                    self._full_at.popitem(last=False)
            return wait_s

    def give_back(self, user: str, address: str) -> None:
        """Undo `take`: it was no failure."""
        with self._lock:
            self._add(user, address, self._clock(), -1)

    def _wait_s(self, key: tuple[str, ...], rate: Rate, now_s: float) -> float:
        return self._full_at.get(key, now_s) - now_s - (rate.tries - 1) * rate.again_s

    def _add(self, user: str, address: str, now_s: float, tries: int) -> None:
        for key, rate in _buckets(user, address):
            self._full_at[key] = max(self._full_at.get(key, now_s), now_s) + tries * rate.again_s
            self._full_at.move_to_end(key)


def _buckets(user: str, address: str) -> tuple[tuple[tuple[str, ...], Rate], ...]:
    return ((user, address), PAIR), ((address,), ADDRESS), ((), ALL)
