"""How often something may happen: a bucket of tokens that fills again with time (the clock is handed in)."""

from collections.abc import Callable


class TokenBucket:
    """Holds `burst` tokens when full, and gains `per_s` in a second."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self.per_s = per_s
        self.burst = burst
        self._clock = clock
        self._tokens = burst
        self._at_s = clock()

    def has(self) -> bool:
        """Whether a token is there now."""
        now_s = self._clock()
        self._tokens = min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.per_s)
        self._at_s = now_s
        return self._tokens >= 1

    def take(self) -> bool:
        """Take a token; False: there is none now."""
        if not self.has():
            return False
        self._tokens -= 1
        return True
