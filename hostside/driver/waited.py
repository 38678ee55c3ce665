"""How long something has waited, all in all: a stopwatch that is told now and then whether anything waits."""


class Waited:
    """Seconds, by the clock of whoever tells."""

    __slots__ = ("_since_s", "total_s")

    def __init__(self) -> None:
        self._since_s: float | None = None
        self.total_s = 0.0

    @property
    def is_running(self) -> bool:
        """Something waits."""
        return self._since_s is not None

    def note(self, waits: bool, now_s: float) -> None:
        """Say whether anything waits from now on."""
        if self._since_s is not None:
            self.total_s += now_s - self._since_s
        self._since_s = now_s if waits else None
