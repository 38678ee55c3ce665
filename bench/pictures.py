"""The pictures of docs/performance/ that the contest and the sweep over sizes give."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.contest import NBD, OWN, Found
from bench.figures import Figure
from bench.load import SINGLE
from bench.plots import line_plot

PICTURES = Path(__file__).parent.parent / "docs" / "performance"
NAMES = {OWN: "NSU, own door", NBD: "NSU, NBD socket"}
TO_PERCENT = 99.0
"""Beyond it a machine that others use says more of them than of us."""


def latency(found: Found) -> None:
    """Draw who answers how fast at depth 1: reads of 4 KiB, one connection."""
    series = {}
    for (family, count), runs in found[SINGLE[0]].items():
        percentiles = middle_run(runs).latency_us if count == 1 else {}
        points = [(us, float(percent)) for percent, us in percentiles.items() if percent[0].isdigit()]
        if points and "CRC" not in family:
            series[NAMES.get(family, family)] = sorted(point for point in points if point[1] <= TO_PERCENT)
    line_plot(
        PICTURES / "latency.svg",
        title="Reads of 4 KiB, one at a time: who has answered by when",
        x_label="µs",
        y_label="% of the reads",
        series=series,
        log_x=True,
    )


def middle_run(runs: Sequence[Figure]) -> Figure:
    """Give the run whose throughput is the median."""
    return sorted(runs, key=lambda run: run.per_second)[len(runs) // 2]


def sizes(op: str, rows: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Draw MB/s over the size of a request in KiB; rows by family."""
    line_plot(
        PICTURES / f"block-size-{op}.svg",
        title=f"{op.capitalize()}s, 16 under way: throughput over their size",
        x_label="KiB",
        y_label="MB/s",
        series={NAMES.get(name, name): points for name, points in rows.items()},
        log_x=True,
        log_y=True,
    )


def growth(rows: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    """Draw thousand/s over the number of paths, disks, hosts, and requests under way."""
    line_plot(
        PICTURES / "growth.svg",
        title="Reads of 4 KiB at our own door, as one thing grows",
        x_label="paths, disks, hosts; requests under way",
        y_label="thousand/s",
        series=rows,
        log_x=True,
    )
