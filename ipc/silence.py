"""How long somebody has been silent, by a clock that stands still while we do not listen ourselves.

A process that was stopped, starved or suspended finds, when it goes on, that nobody has spoken for a long time: it was
not there to hear it. So silence counts only as fast as it is looked for.
"""


class Silence:
    """The silence of one peer, for one who looks every `look_every_s`."""

    __slots__ = ("_growth_s", "seconds")

    def __init__(self, look_every_s: float) -> None:
        self._growth_s = 2 * look_every_s
        """A look may be late, as long again as it is apart from the last."""
        self.seconds = 0.0

    def look(self, since_heard_s: float) -> float:
        """Look, `since_heard_s` after it was heard last; give how long it was silent while we listened."""
        self.seconds = min(since_heard_s, self.seconds + self._growth_s)
        return self.seconds
