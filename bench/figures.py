"""What one run of one workload gave, and what many runs of it come to."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One run."""

    per_second: float
    """Requests."""
    cpu_us: float
    """Processor time of client and server for one request, all their processes."""
    latency_us: Mapping[str, float] = field(default_factory=dict)
    """Percentile ("50", "99", "99.9" …) -> microseconds; empty when the client does not tell, or there were several."""


@dataclass(frozen=True)
class Median:
    """The middle of several runs, and their range."""

    middle: float
    least: float
    most: float


Quantity = Callable[[Figure], float | None]


def per_second(figure: Figure) -> float | None:
    return figure.per_second


def cpu_us(figure: Figure) -> float | None:
    return figure.cpu_us


def percentile_us(percent: str) -> Quantity:
    return lambda figure: figure.latency_us.get(percent)


def median(runs: Sequence[Figure], quantity: Quantity) -> Median | None:
    """Give the median of what the runs say of `quantity`; None when none says anything."""
    values = [value for value in map(quantity, runs) if value is not None]
    return Median(statistics.median(values), min(values), max(values)) if values else None
