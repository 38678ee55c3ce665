"""What is wrong with a running machine, and what to do: from what its processes tell, for `nsu status` and the pages.

Pure. Warnings are apart: they tell what a person has chosen or has to know, not what fails now.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

UP = "up"


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong now."""

    what: str
    to_do: str
    """Empty: it mends itself, or `what` says it."""


def troubles(found: dict[str, Any]) -> list[Trouble]:
    """Give what is wrong in the answer of `gather`, what concerns most first."""
    wrong = list(_of_processes(found["supervisor"]))
    if found["server"]:
        wrong += _of_server(found["server"])
    if found["host"]:
        wrong += _of_host(found["host"])
    return wrong


def process_words(process: dict[str, Any]) -> str:
    """Give where a role is: "server ready (pid 7)", "server resting: it failed …"; why, while it is not ready."""
    where = f"{process['name']} {process['state'].replace('_', ' ')}"
    if process["pid"] is not None:
        where += f" (pid {process['pid']})"
    return f"{where}: {process['why']}" if process["why"] and process["state"] != "ready" else where


def _of_processes(supervisor: dict[str, Any]) -> Iterator[Trouble]:
    for process in supervisor["processes"]:
        if process["state"] == "given_up":
            to_do = "do what its last words ask for, then start nsu run again"
            yield Trouble(f"{process['name']} is not started again: {process['why']}", to_do)


def _of_server(server: dict[str, Any]) -> Iterator[Trouble]:
    refused = server.get("conf", {}).get("refused")
    if refused:
        to_do = "mend nsu.conf, or go back: nsu rollback"
        yield Trouble(f"nsu.conf can't be used as it is now, the settings before stay in force: {refused}", to_do)
    for drive in (drive for array in server["arrays"] for drive in array["drives"] if drive.get("note")):
        to_do = f"when it is good again, or another, remove {drive['note']} and start nsu again"
        yield Trouble(f"{drive['name']} failed", to_do)


def _of_host(host: dict[str, Any]) -> Iterator[Trouble]:
    limits = {timer["name"]: timer["value_s"] for timer in host["timers"]}
    for server in host["servers"]:
        yield from _of_link(server, limits.get(no_path_timer(server["name"])))
    for disk in host["disks"]:
        if disk["trouble"]:
            yield Trouble(f"{disk['name']}: {disk['trouble']}", "")
        for notice in (disk.get("process") or {}).get("notices", []):
            yield Trouble(f"{disk['name']}: {notice}", "")


def no_path_timer(server: str) -> str:
    """Give the name of the timer that says how long requests wait without a path."""
    return f"without a path to {server}, most"


def _of_link(server: dict[str, Any], limit_s: float | None) -> Iterator[Trouble]:
    name = server["name"]
    if server["trouble"]:
        to_do = f"see that nsu run runs there, and that nothing stands between; {_waiting(server, limit_s)}"
        yield Trouble(f"{name}: {server['trouble']}", to_do)
    elif not server["paths_up"]:
        yield Trouble(f"no path to {name} is up", _waiting(server, limit_s))
    for network in server["networks"]:
        if network["trouble"]:
            words = f"network {network['at']} is {network['state']}: {network['trouble']}"
            others = "its paths go over other networks meanwhile" if server["paths_up"] else _waiting(server, limit_s)
            yield Trouble(words, f"look at its cables, addresses and firewalls; {others}")
    for path in server["paths"]:
        if path["state"] != UP and path["reason"]:
            yield Trouble(f"path {path['path']}: {path['reason']}", "")


def _waiting(server: dict[str, Any], limit_s: float | None) -> str:
    if server["paths_up"]:
        return "the paths that are up go on"
    if limit_s is None:
        return "requests wait, and go on by themselves (ON_NO_PATH = queue)"
    return f"requests fail when that lasts {limit_s:g} s (ON_NO_PATH)"
