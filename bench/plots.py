"""Pictures of measurements: the one door to matplotlib.

    line_plot(Path("docs/performance/round-trip.svg"), title="…", x_label="…", y_label="…", series={"ours": [(0, 1.0)]})

Rules
  * SVG, made the same byte for byte from the same figures: no date, no random ids. A picture that has not changed
    makes no change to commit.
  * Drawn at the width at which a README shows it, on white, so that it can be read on a dark page too.
  * Colours are those of Okabe and Ito (2008), which colour-blind people tell apart; each series has a marker of its own
    besides, and a name that begins with `OURS` a thick line.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

WIDTH_INCHES, HEIGHT_INCHES = 9.0, 4.6
OURS = "NSU"
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "s", "-"),
    ("#009E73", "^", "-"),
    ("#CC79A7", "D", "-"),
    ("#E69F00", "v", "-"),
    ("#56B4E9", "P", "-"),
    ("#000000", "X", "-"),
    ("#0072B2", "o", "--"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "--"),
)
"""(colour, marker, line) of the first series, the second…"""
_LOOK: dict[Any, Any] = {
    "svg.hashsalt": "nsu",
    # Letters stay letters: smaller files, and words that can be searched.
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def line_plot(
    file: Path,
    *,
    title: str,
    x_label: str,
    y_label: str,
    series: Mapping[str, Sequence[tuple[float, float]]],
    log_x: bool = False,
    log_y: bool = False,
) -> None:
    """Write `file` with one line for each of `series` (name -> (x, y), in the order in which they are joined).

    A linear axis begins at 0, so that heights can be compared. ValueError: more series than there are styles, or none.
    """
    if not 0 < len(series) <= len(STYLES):
        raise ValueError(f"a picture of {len(series)} lines cannot be read: 1 to {len(STYLES)}")
    with matplotlib.rc_context(_LOOK):
        figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained", facecolor="white")
        axes = figure.add_subplot(xlabel=x_label, ylabel=y_label)
        for (name, points), (colour, marker, line) in zip(series.items(), STYLES, strict=False):
            width = 3.0 if name.startswith(OURS) else 1.6
            xs, ys = [x for x, _ in points], [y for _, y in points]
            axes.plot(xs, ys, label=name, color=colour, marker=marker, linestyle=line, linewidth=width, markersize=7)
        figure.suptitle(title, x=0.02, horizontalalignment="left", fontweight="bold", fontsize=13)
        axes.grid(True, color="#dddddd", linewidth=0.8)
        axes.set_axisbelow(True)
        plain = FuncFormatter(lambda value, _: f"{value:,.6g}")
        places = sorted({x for points in series.values() for x, _ in points})
        if log_x:
            axes.set_xscale("log")
        else:
            axes.set_xlim(left=0, right=places[-1] * 1.03)
        if len(places) <= 12:
            axes.set_xticks(places, minor=False)
            axes.set_xticks([], minor=True)
        if log_y:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter(plain)
        axes.yaxis.set_major_formatter(plain)
        figure.legend(loc="outside right center", frameon=False, handlelength=2.8)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
