"""The rates of a moment, as a page or a terminal shows them."""

from collections.abc import Callable, Mapping

from ipc.sizes import size
from nsu.rates import Rate


class Shown:
    """Rates by key; what has none shows a dash."""

    def __init__(self, rates: Mapping[str, Rate]) -> None:
        self._rates = rates

    def operations(self, key: str) -> str:
        """Give requests per second."""
        return self._of(key, lambda rate: f"{rate.operations_s:,.0f}")

    def read(self, key: str) -> str:
        """Give what is read per second."""
        return self._of(key, lambda rate: _speed(key, rate.read_bytes_s))

    def written(self, key: str) -> str:
        """Give what is written per second."""
        return self._of(key, lambda rate: _speed(key, rate.written_bytes_s))

    def latency(self, key: str) -> str:
        """Give the mean latency."""
        return self._of(key, lambda rate: "–" if rate.latency_us is None else f"{rate.latency_us / 1000:.2f} ms")

    def _of(self, key: str, words: Callable[[Rate], str]) -> str:
        rate = self._rates.get(key)
        return "–" if rate is None else words(rate)


def _speed(key: str, bytes_s: float) -> str:
    """Give bytes per second; of drives nobody counts them."""
    return "–" if key.startswith("drive:") else f"{size(int(bytes_s))}/s"
