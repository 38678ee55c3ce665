"""`nsu top`: what moves on this machine, now. One picture of 80 columns, made anew every few seconds.

The picture is pure: answers of `nsu status`, rates and processor times in, lines out.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nsu.alarms import NOTE, URGENT, alarms_of
from nsu.gather import gather
from nsu.processes import ProcessUse, processes_below
from nsu.rates import Found, Rate, Totals, rates_of, totals_of
from nsu.rates_shown import Shown
from nsu.show import add_row, plain_table

ALARMS_SHOWN = 6
PROCESSES_SHOWN = 8
TITLE_COLUMNS = 46


class Look(NamedTuple):
    """What was seen at one moment."""

    at_s: float
    """CLOCK_MONOTONIC."""
    found: Found
    totals: dict[str, Totals]
    processes: tuple[ProcessUse, ...]


def look(state_dir: Path) -> Look:
    """Ask all processes. Raises ControlError, OSError: no supervisor answers."""
    found = gather(state_dir)
    processes = tuple(processes_below(found["supervisor"]["pid"]))
    return Look(time.monotonic(), found, totals_of(found), processes)


def told(before: Look, now: Look) -> dict[str, Any]:
    """Give what happened between two looks as plain values, for JSON."""
    past_s = now.at_s - before.at_s
    rates = rates_of(before.totals, now.totals, past_s)
    return {
        "machine": now.found["supervisor"]["machine"],
        "past_s": round(past_s, 3),
        "alarms": [alarm._asdict() for alarm in alarms_of(now.found)],
        "rates": {key: rate._asdict() for key, rate in rates.items()},
        "processes": [
            {"title": use.title, "pid": use.pid, "cpu_percent": round(percent, 1), "resident_bytes": use.resident_bytes}
            for use, percent in busiest(before, now)
        ],
    }


def busiest(before: Look, now: Look) -> list[tuple[ProcessUse, float]]:
    """Give the processes with their share of a processor, in percent, the busiest first."""
    past_s = max(1e-3, now.at_s - before.at_s)
    was = {use.pid: use.cpu_s for use in before.processes}
    shares = [(use, 100 * max(0.0, use.cpu_s - was.get(use.pid, use.cpu_s)) / past_s) for use in now.processes]
    return sorted(shares, key=lambda pair: -pair[1])


def picture(before: Look, now: Look) -> Group:
    """Draw what happened between two looks."""
    rates = rates_of(before.totals, now.totals, now.at_s - before.at_s)
    return Group(*_head(now.found), _moved(now.found, rates), _processes(busiest(before, now)))


def _head(found: Found) -> Iterator[RenderableType]:
    supervisor = found["supervisor"]
    roles = Text(", ").join(
        Text(f"{row['name']} {row['state']}", style="green" if row["state"] == "ready" else "red")
        for row in supervisor["processes"]
    )
    now = time.strftime("%H:%M:%S")
    yield Text.assemble("machine ", (supervisor["machine"], "bold"), ": ", roles, f"   {now}", overflow="fold")
    alarms = alarms_of(found)
    for alarm in alarms[:ALARMS_SHOWN]:
        style = {URGENT: "red", NOTE: "dim"}.get(alarm.severity, "yellow")
        yield Text(f"{alarm.severity}: {alarm.about}: {alarm.sentence}", style=style)
    if len(alarms) > ALARMS_SHOWN:
        yield Text(f"and {len(alarms) - ALARMS_SHOWN} more; see: nsu status", style="yellow")
    yield Text("")


def _moved(found: Found, rates: Mapping[str, Rate]) -> Table:
    table = plain_table("per second", "what", "requests", "read", "written", "latency")
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    shown = Shown(rates)
    for words, key in _lines(found):
        cells = (shown.operations(key), shown.read(key), shown.written(key), shown.latency(key))
        add_row(table, words, *cells)
    return table


def _lines(found: Found) -> Iterator[tuple[str, str]]:
    for host in (found["server"] or {}).get("hosts", []):
        yield f"host {host['name']}", f"host:{host['name']}"
        for unit in host["units"]:
            yield f"  partition {unit['name']}", f"partition:{host['name']}:{unit['name']}"
        sessions = [one for one in found["server"]["sessions"] if one["host"] == host["name"]]
        for srw in sorted((srw for one in sessions for srw in one["srws"]), key=lambda srw: int(srw["path"])):
            yield f"  srw {srw['path']} {srw['port']}", f"srw:{host['name']}:{srw['path']}"
    for array in (found["server"] or {}).get("arrays", []):
        for drive in (one for one in array["drives"] if "operations" in one):
            name = drive["name"].rpartition("/")[2]
            yield f"drive {array['name']} {drive['place']} {name}", f"drive:{array['name']}:{drive['place']}"
    for server in (found["host"] or {}).get("servers", []):
        yield f"server {server['name']}", f"server:{server['name']}"
        for path in server["paths"]:
            yield f"  path {path['path']} {path['network']} {path['state']}", f"path:{server['name']}:{path['path']}"


def _processes(shares: Iterable[tuple[ProcessUse, float]]) -> Table:
    table = plain_table("processes", "title", "pid", "processor", "memory")
    for column in table.columns[1:]:
        column.justify = "right"
        column.no_wrap = True
    for use, percent in list(shares)[:PROCESSES_SHOWN]:
        title = use.title if len(use.title) <= TITLE_COLUMNS else f"{use.title[: TITLE_COLUMNS - 1]}…"
        add_row(table, title, str(use.pid), f"{percent:.0f} %", f"{use.resident_bytes / (1 << 20):.0f} MiB")
    return table
