"""The marks: what our figures must be beside the fastest peer's in the same run. A table.

The fastest peer, and the best of each family's numbers of connections, are found for each workload by the median. All
hold with header CRC and every check on; payload CRC is a column of its own in the tables, and no mark.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.contest import NBD, OWN, Found
from bench.figures import Figure, Quantity, cpu_us, median, per_second, percentile_us
from bench.load import LARGE, SINGLE, SMALL, Load

P50 = percentile_us("50")


@dataclass(frozen=True)
class Mark:
    """One line. Ratios are ours ÷ theirs for throughput and processor time, theirs ÷ ours for latency."""

    title: str
    loads: tuple[Load, ...]
    """Each has to reach it."""
    quantity: Quantity
    must: dict[str, float]
    """Door -> the least, or for processor time the most."""
    goal: dict[str, float]
    inverted: bool = False
    """Theirs ÷ ours, so that more is better."""
    less_is_better: bool = False
    """The ratio may not be more than `must`."""


def doors(own: float, nbd: float) -> dict[str, float]:
    return {OWN: own, NBD: nbd}


MARKS = (
    Mark("4 KiB random read, depth 32", SMALL[:1], per_second, doors(1.2, 0.7), doors(1.7, 1.0)),
    Mark("4 KiB random write, depth 32", SMALL[1:], per_second, doors(1.2, 0.7), doors(1.6, 1.0)),
    Mark("4 KiB, depth 1: p50, inverse", SINGLE, P50, doors(0.6, 0.4), doors(1.0, 0.7), inverted=True),
    Mark("64 KiB sequential, depth 16", LARGE[0:2], per_second, doors(1.2, 0.7), doors(1.6, 1.0)),
    Mark("128 KiB sequential, depth 16", LARGE[2:4], per_second, doors(0.9, 0.7), doors(1.2, 1.0)),
    Mark("1 MiB sequential, depth 8", LARGE[4:6], per_second, doors(0.9, 0.7), doors(1.1, 1.0)),
    Mark(
        "processor time, 4 KiB, depth 32", SMALL, cpu_us, doors(0.75, 1.2), doors(0.5, 1.0), less_is_better=True
    ),
)  # fmt: skip
"""The two marks of round-trip time are distance.py's."""


@dataclass(frozen=True)
class Verdict:
    """What one workload says of one mark at one door."""

    mark: Mark
    load: Load
    door: str
    peer: str
    """The fastest, with its number of connections."""
    theirs: float
    ours: float
    ratio: float

    @property
    def is_met(self) -> bool:
        return self._reaches(self.mark.must[self.door])

    @property
    def is_goal(self) -> bool:
        return self._reaches(self.mark.goal[self.door])

    def _reaches(self, line: float) -> bool:
        return self.ratio <= line if self.mark.less_is_better else self.ratio >= line


def middle(runs: Sequence[Figure], quantity: Quantity) -> float | None:
    found = median(runs, quantity)
    return found.middle if found else None


def is_ours(family: str) -> bool:
    return family.startswith((OWN, NBD))


def best_of(rows: dict[tuple[str, int], list[Figure]], families: Sequence[str], mark: Mark) -> tuple[str, float] | None:
    """Give (who, figure) of the best among families, for a mark: for processor time, of the one fastest at its work.

    A peer that is slow and cheap is not the one that people would take; so the fastest peer's processor time counts,
    at the number of connections at which it is fastest; likewise ours.
    """
    candidates = [(key, runs) for key, runs in rows.items() if key[0] in families]
    if mark.quantity is P50:
        timed = [(value, key) for key, runs in candidates if (value := middle(runs, P50)) is not None]
        least = min(timed, default=None)
        return (f"{least[1][0]} {least[1][1]}", least[0]) if least else None
    fastest = max(candidates, key=lambda row: middle(row[1], per_second) or 0.0, default=None)
    if fastest is None:
        return None
    value = middle(fastest[1], mark.quantity)
    return (f"{fastest[0][0]} {fastest[0][1]}", value) if value is not None else None


def verdicts(found: Found) -> Iterator[Verdict]:
    """Judge every mark whose workloads were measured."""
    for mark in MARKS:
        for load in mark.loads:
            rows = found.get(load, {})
            peers = sorted({family for family, _ in rows if not is_ours(family)})
            theirs = best_of(rows, peers, mark)
            for door in (OWN, NBD):
                ours = best_of(rows, [door], mark)
                if theirs and ours:
                    ratio = theirs[1] / ours[1] if mark.inverted else ours[1] / theirs[1]
                    yield Verdict(mark, load, door, theirs[0], theirs[1], ours[1], ratio)
