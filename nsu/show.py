"""`nsu status` for people: tables that fit a terminal of 80 columns (rich's door for them).

What is told is shown as it is: no cell is taken for markup, whatever brackets a path or a sentence has.
"""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ipc.durations import duration
from ipc.sizes import size
from nsu.alarms import NOTE, URGENT, alarms_of
from nsu.confined import as_root

AS_ROOT = "processes that move data run as root: see USER in nsu.conf's MACHINE block"


def show_status(console: Console, found: dict[str, Any]) -> None:
    """Print what is wrong, then sessions, paths, disks, arrays, timers in force."""
    supervisor = found["supervisor"]
    states = ", ".join(process_words(process) for process in supervisor["processes"])
    console.print(Text.assemble("machine ", (supervisor["machine"], "bold"), f", {supervisor['code']}: {states}"))
    show_alarms(console, found)
    if as_root(found.get("processes", ())):
        console.print(Text(AS_ROOT))
    if found["server"]:
        show_server(console, found["server"])
    if found["host"]:
        show_host(console, found["host"])
    show_timers(console, found)


def process_words(process: dict[str, Any]) -> str:
    """Give where a role is: "server ready (pid 7)", "server resting: it failed …"; why, while it is not ready."""
    where = f"{process['name']} {process['state'].replace('_', ' ')}"
    if process["pid"] is not None:
        where += f" (pid {process['pid']})"
    return f"{where}: {process['why']}" if process["why"] and process["state"] != "ready" else where


def show_alarms(console: Console, found: dict[str, Any]) -> None:
    """Print what is wrong and what to do, before everything else."""
    alarms = alarms_of(found)
    for alarm in alarms:
        style = {URGENT: "red", NOTE: "dim"}.get(alarm.severity, "yellow")
        console.print(Text(f"{alarm.severity}: {alarm.about}: {alarm.sentence}", style=style))
        if alarm.to_do:
            console.print(Text(f"  do: {alarm.to_do}"))
    if all(alarm.severity == NOTE for alarm in alarms):
        console.print(Text("nothing is wrong, as far as these processes can tell", style="green"))


def show_server(console: Console, server: dict[str, Any]) -> None:
    console.print(arrays_table(server))
    for drive in (drive for array in server["arrays"] for drive in array["drives"] if drive.get("smart")):
        console.print(Text(f"{drive['name']}: SMART: {drive['smart']}"))
    console.print(partitions_table(server))
    if (done := done_table(server)).row_count:
        console.print(done)
    console.print(sessions_table(server))


def show_host(console: Console, host: dict[str, Any]) -> None:
    console.print(disks_table(host))
    for server in host["servers"]:
        console.print(paths_table(server))


def arrays_table(server: dict[str, Any]) -> Table:
    table = plain_table(f"NSU {server['name']}: arrays", "array", "level", "size", "drives")
    for array in server["arrays"]:
        drives = Text(", ").join(drive_words(drive) for drive in array["drives"])
        add_row(table, array["name"], array["level"], size(array["capacity_bytes"]), drives)
    return table


def drive_words(drive: dict[str, Any]) -> Text:
    style = "" if drive["state"] == "good" else "red"
    percent = drive.get("rebuilt_percent")
    done = "" if percent is None else f" {percent} %"
    return Text(f"{drive['name'].rpartition('/')[2]} {drive['state']}{done}", style=style)


def partitions_table(server: dict[str, Any]) -> Table:
    table = plain_table("partitions", "host", "unit", "name", "size", "access", "LBA")
    for unit in server.get("unassigned", []):
        add_row(table, "(nobody)", "", unit["name"], size(unit["blocks"] * 512), "", unit["lba"])
    for host in server["hosts"]:
        for unit in host["units"]:
            access = "read-only" if unit["read_only"] else "read-write"
            row = (host["name"], str(unit["number"]), unit["name"], size(unit["blocks"] * 512), access, unit["lba"])
            add_row(table, *row)
    return table


def done_table(server: dict[str, Any]) -> Table:
    """What hosts did with their partitions; a host that did nothing with one has no line for it."""
    title = "done with partitions since the server process began"
    table = plain_table(title, "host", "name", "requests", "read", "written", "refused or failed")
    for host in server["hosts"]:
        for unit in host["units"]:
            done = unit["totals"]
            requests = done["reads"] + done["writes"] + done["others"]
            if requests + done["refused"]:
                moved = (size(done["read_bytes"]), size(done["written_bytes"]))
                add_row(table, host["name"], unit["name"], str(requests), *moved, str(done["refused"]))
    return table


def sessions_table(server: dict[str, Any]) -> Table:
    table = plain_table("sessions", "host", "version", "epoch", "from", "SRWs", "read", "written")
    totals = {host["name"]: host.get("totals", {}) for host in server["hosts"]}
    for session in server["sessions"]:
        moved = totals.get(session["host"], {})
        add_row(
            table,
            session["host"],
            f"0x{session['version']:02x}",
            f"{session['epoch']:#x}",
            session["peer"],
            str(len(session["srws"])),
            size(moved.get("read_bytes", 0)),
            size(moved.get("written_bytes", 0)),
        )
    return table


def disks_table(host: dict[str, Any]) -> Table:
    table = plain_table("disks", "disk", "server", "size", "access", "shown at")
    for disk in host["disks"]:
        known = disk["size_bytes"] is not None
        access = ("read-only" if disk["read_only"] else "read-write") if known else ""
        add_row(table, disk["name"], disk["server"], size(disk["size_bytes"]) if known else "", access, place(disk))
    return table


def place(disk: dict[str, Any]) -> str:
    """Say where users find a disk."""
    if not disk["shown"]:
        return "detached" if disk.get("detached") else "not yet shown"
    device = (disk.get("process") or {}).get("device")
    return f"{device}, {disk['at']}" if device else disk["uri"] or disk["at"]


def paths_table(server: dict[str, Any]) -> Table:
    """Build the table that the demo also shows live."""
    title = f"paths to {server['name']}: {server['paths_up']} of {server['connections']} up"
    table = plain_table(title, "path", "network", "state", "since", "agent", "requests", "read", "written")
    for path in server["paths"]:
        add_row(
            table,
            str(path["path"]),
            path["network"],
            Text(path["state"], style="green" if path["state"] == "up" else "yellow"),
            duration(path["since_s"]),
            str(path["pid"] or ""),
            str(path["requests"]),
            size(path["read_bytes"]),
            size(path["written_bytes"]),
        )
    return table


def show_timers(console: Console, found: dict[str, Any]) -> None:
    table = plain_table("timers in force", "role", "timer", "seconds", "set by")
    for role in ("server", "host"):
        for timer in (found[role] or {}).get("timers", []):
            value = "for ever" if timer["value_s"] is None else f"{timer['value_s']:g}"
            add_row(table, role, timer["name"], value, source_words(timer["source"]))
    if table.row_count:
        console.print(table)


def source_words(source: str) -> str:
    """Say who has set a timer; where it stands in the code is in the JSON."""
    return source.partition(",")[0] if source.startswith(("Appendix", "nsu.conf")) else "built in"


def plain_table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def add_row(table: Table, *cells: str | Text) -> None:
    """Add cells as they are: in a plain string rich would look for markup."""
    table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
