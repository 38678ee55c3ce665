"""How long to rest before the next attempt: longer each time, never the same for two who failed together.

Each rest lies between half of the step and the whole of it; the step grows by `factor` up to `most_s`.
Randomness is handed in, so that a simulation can repeat itself.
"""

from collections.abc import Callable


class Backoff:
    """Rests in seconds: `first_s`, then `factor` times as long each time, at most `most_s`."""

    def __init__(self, first_s: float, most_s: float, factor: float = 2.0, *, random: Callable[[], float]) -> None:
        if not 0 < first_s <= most_s or factor < 1:
            raise ValueError(f"rests must grow: first {first_s} s, at most {most_s} s, factor {factor}")
        self._first_s = first_s
        self._most_s = most_s
        self._factor = factor
        self._random = random
        self._step_s = first_s

    def next(self) -> float:
        """Seconds to rest now. `random` gives numbers from 0 up to 1."""
        step_s = self._step_s
        self._step_s = min(self._most_s, step_s * self._factor)
        return step_s / 2 + step_s / 2 * self._random()

    def reset(self) -> None:
        """It went well: the next rest is a first one."""
        self._step_s = self._first_s

    def fresh(self) -> "Backoff":
        """Another one with the same numbers, at its first rest."""
        return Backoff(self._first_s, self._most_s, self._factor, random=self._random)
