"""Tables of what was found, for a terminal of 100 columns and as Markdown: the same rows.

A cell is the median of the rounds at the family's best number of connections, which stands in brackets.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bench.contest import CRC, NBD, OWN, Found
from bench.figures import Figure, Median, Quantity, cpu_us, median, per_second, percentile_us
from bench.limits import Limit
from bench.load import Load
from bench.marks import Verdict

Rows = dict[tuple[str, int], list[Figure]]
SHORT = {OWN: "own door", NBD: "NBD", f"{OWN} {CRC}": "own, CRC", f"{NBD} {CRC}": "NBD, CRC"}
WIDTH = 100


@dataclass(frozen=True)
class Sheet:
    """One table."""

    title: str
    head: tuple[str, ...]
    rows: list[tuple[str, ...]]

    def markdown(self) -> str:
        lines = [f"### {self.title}", "", _row(self.head), _row(["---"] * len(self.head))]
        return "\n".join([*lines, *map(_row, self.rows), ""])

    def show(self, console: Console) -> None:
        table = Table(*self.head, title=self.title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for row in self.rows:
            table.add_row(*row)
        console.print(table)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def console() -> Console:
    return Console(width=WIDTH)


def families(found: Found) -> list[str]:
    """Give all families, in the order of their first turn."""
    return list(dict.fromkeys(family for rows in found.values() for family, _ in rows))


def best(rows: Rows, family: str, quantity: Quantity, choose: Callable[..., int]) -> tuple[int, Median] | None:
    """Give (connections, median) of the family's best; `choose` is max or min."""
    counts = [count for each, count in rows if each == family]
    medians = {count: found for count in counts if (found := median(rows[family, count], quantity))}
    if not medians:
        return None
    count = choose(medians, key=lambda one: medians[one].middle)
    return count, medians[count]


def throughput(found: Found) -> Sheet:
    """Thousand I/O per second at 4 KiB, MB/s above."""

    def cell(load: Load, rows: Rows, family: str) -> str:
        told = best(rows, family, per_second, max)
        return f"{scaled(load, told[1].middle)} ({told[0]})" if told else ""

    return sheet("Throughput: thousand/s at 4 KiB, MB/s above; (connections or paths)", found, cell)


def scaled(load: Load, rate: float) -> str:
    return f"{rate / 1000:.1f}" if load.size_bytes == 4096 else f"{rate * load.size_bytes / 1e6:.0f}"


def ranges(found: Found) -> Sheet:
    """The range of the rounds, at the best number of connections."""

    def cell(load: Load, rows: Rows, family: str) -> str:
        told = best(rows, family, per_second, max)
        return f"{scaled(load, told[1].least)}–{scaled(load, told[1].most)}" if told else ""

    return sheet("Throughput: range of the rounds", found, cell)


def processor_time(found: Found) -> Sheet:
    """At the number of connections that is best for throughput."""

    def cell(load: Load, rows: Rows, family: str) -> str:
        told = best(rows, family, per_second, max)
        used = told and median(rows[family, told[0]], cpu_us)
        return f"{used.middle:.0f}" if used else ""

    return sheet("Processor time per I/O, µs: client and server, all processes", found, cell)


def latency(found: Found) -> Sheet:
    """Depth 1; tgt's clients tell no distribution: the mean."""

    def cell(load: Load, rows: Rows, family: str) -> str:
        told = best(rows, family, percentile_us("50"), min)
        tail = told and median(rows[family, told[0]], percentile_us("99"))
        mean = best(rows, family, percentile_us("mean"), min)
        if told and tail:
            return f"{told[1].middle:.0f} / {tail.middle:.0f}"
        return f"mean {mean[1].middle:.0f}" if mean else ""

    return sheet("Latency at depth 1, µs: p50 / p99", {k: v for k, v in found.items() if k.depth == 1}, cell)


def sheet(title: str, found: Found, cell: Callable[[Load, Rows, str], str]) -> Sheet:
    names = families(found)
    rows = [(short(load), *(cell(load, rows, family) for family in names)) for load, rows in found.items()]
    return Sheet(title, ("workload", *(SHORT.get(name, name) for name in names)), rows)


def short(load: Load) -> str:
    return load.name.replace(" depth ", " d").replace(" KiB", "K").replace(" MiB", "M")


def marks(verdicts: Sequence[Verdict]) -> Sheet:
    rows: list[tuple[str, ...]] = []
    for verdict in verdicts:
        mark, sign = verdict.mark, "≤" if verdict.mark.less_is_better else "≥"
        must, goal = mark.must[verdict.door], mark.goal[verdict.door]
        rows.append(
            (
                mark.title, verdict.load.op, SHORT[verdict.door], verdict.peer, f"{verdict.ratio:.2f}",
                f"{sign} {must:g}", "yes" if verdict.is_met else "NO", f"{sign} {goal:g}",
                "yes" if verdict.is_goal else "no",
            )
        )  # fmt: skip
    head = ("mark", "op", "ours", "fastest peer", "ratio", "must", "met", "goal", "met")
    return Sheet("Marks: ours ÷ the fastest peer", head, rows)


def limit_sheet(limits: Sequence[Limit]) -> Sheet:
    return Sheet("What the machine can do", ("", "figure", ""), [(a.title, f"{a.value:.1f}", a.unit) for a in limits])
