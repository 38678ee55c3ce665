"""Evictions: a host logged in while an older session of it stood. Once is a connection lost; again and again is two
machines with one login, of which nobody is told unless we do.
"""

from collections import deque
from dataclasses import dataclass

FIGHT_WITHIN_S = 300.0
"""Two evictions of one host so close are a fight: a machine that was evicted rests for a minute at most."""
SOURCES_MAX = 8
"""Of so many of a host's last evictions the addresses are kept."""


@dataclass(frozen=True, slots=True)
class Eviction:
    """One: the older session came from `old`, the newer from `new`."""

    at_s: float
    old: str
    new: str


class Evictions:
    """The last ones of each host."""

    def __init__(self) -> None:
        self.of_host: dict[str, deque[Eviction]] = {}

    def note(self, host: str, old: str, new: str, now_s: float) -> None:
        """Take note of one; hosts have names of nsu.conf, so there are not many."""
        self.of_host.setdefault(host, deque(maxlen=SOURCES_MAX)).append(Eviction(now_s, old, new))

    def warnings(self, now_s: float) -> list[str]:
        """Name each host that is evicted again and again."""
        found = []
        for host, evictions in self.of_host.items():
            recent = [e for e in evictions if now_s - e.at_s < FIGHT_WITHIN_S]
            if len(recent) > 1:
                sources = sorted({address for e in recent for address in (e.old, e.new)})
                found.append(
                    f"HOST {host} logs in again and again, from {' and '.join(sources)}, and each login ends the older "
                    f"session: do two machines have its login? Each needs a HOST of its own"
                )
        return found
