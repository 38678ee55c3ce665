"""Results to keep: `bench/results/DATE-NAME.md` for people, `.json` with every figure of every round."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.contest import Found
from bench.figures import Figure, cpu_us, median, per_second, percentile_us
from bench.limits import Limit
from bench.machine import Setting
from bench.marks import Verdict
from bench.tables import Sheet

RESULTS = Path(__file__).parent / "results"
QUANTITIES = {"per_second": per_second, "cpu_us": cpu_us, "p50_us": percentile_us("50"), "p99_us": percentile_us("99")}


def write(name: str, setting: Setting, sheets: Sequence[Sheet], data: Any, *, words: str = "") -> Path:
    """Write both files; give the first. A later run of the same day takes their place."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{setting.when[:10]}-{name}.md"
    text = "\n".join(sheet.markdown() for sheet in sheets)
    file.write_text(f"# {name.capitalize()}\n\n{setting.line}\n\n{words}{text}")
    file.with_suffix(".json").write_text(json.dumps({"setting": asdict(setting), **data}, indent=1) + "\n")
    return file


def contest_data(found: Found, verdicts: Sequence[Verdict], limits: Sequence[Limit]) -> dict[str, Any]:
    """Give a run of the contest as plain data."""
    return {
        "limits": [asdict(limit) for limit in limits],
        "marks": [
            {
                "mark": each.mark.title, "load": each.load.name, "door": each.door, "peer": each.peer,
                "ratio": round(each.ratio, 3), "must": each.mark.must[each.door], "met": each.is_met,
                "goal": each.mark.goal[each.door], "goal_met": each.is_goal,
            }
            for each in verdicts
        ],
        "workloads": {
            load.name: [
                {"who": family, "connections": count, "rounds": len(runs), **medians(runs)}
                for (family, count), runs in rows.items()
            ]
            for load, rows in found.items()
        },
    }  # fmt: skip


def medians(runs: Sequence[Figure]) -> dict[str, list[float]]:
    """Give [median, least, most] of what the runs tell, and the percentiles of the last run's latency."""
    found = {name: median(runs, quantity) for name, quantity in QUANTITIES.items()}
    return {
        name: [round(value, 2) for value in (each.middle, each.least, each.most)]
        for name, each in found.items()
        if each
    }
