"""What is wrong now, and what to do: read from the answers of all processes, for everybody who shows it. Pure.

An alarm stands as long as its cause. `nsu status`, `nsu top`, the pages, REST and /metrics tell these and no others.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

Found = dict[str, Any]

URGENT, WARNING, NOTE = "urgent", "warning", "note"
SEVERITIES = (URGENT, WARNING, NOTE)


class Alarm(NamedTuple):
    """Something is wrong, or happened (`nsu/events.py`)."""

    severity: str
    about: str
    """What it is about: `array unit0`, `path box1 3`, `machine` …"""
    sentence: str
    to_do: str = ""
    """Empty: it mends itself, or the sentence says it."""


def alarms_of(found: Found) -> list[Alarm]:
    """Give all that is wrong, the urgent first, each once."""
    every = dict.fromkeys([*_of_processes(found["supervisor"]), *_of_server(found), *_of_host(found)])
    return sorted(every, key=lambda alarm: SEVERITIES.index(alarm.severity))


def _of_processes(supervisor: Found) -> Iterator[Alarm]:
    for process in supervisor["processes"]:
        if process["state"] != "ready":
            why = f": {process['why']}" if process["why"] else ""
            severity = URGENT if process["state"] in ("resting", "given_up", "dying") else NOTE
            to_do = "do what its last words ask for, then start nsu run again" if process["state"] == "given_up" else ""
            yield Alarm(
                severity, f"process {process['name']}", f"it is {process['state'].replace('_', ' ')}{why}", to_do
            )
    for sentence in supervisor["warnings"]:
        yield Alarm(WARNING, "nsu.conf", sentence)


def _of_server(found: Found) -> Iterator[Alarm]:
    server = found["server"]
    if server is None:
        return
    for array in server["arrays"]:
        yield from _of_array(array)
    refused = server["conf"]["refused"]
    if refused:
        words = f"it can't be used as it is now, the settings before stay in force: {refused}"
        yield Alarm(URGENT, "nsu.conf", words, "mend it, or go back: nsu rollback")
    for port in server["data_ports"]:
        if not port["listening"]:
            yield Alarm(
                NOTE, f"port {port['address']}:{port['port']}", "it takes no connection now: all its places are taken"
            )
    known = set(found["supervisor"]["warnings"])
    names = [array["name"] for array in server["arrays"]]
    # What is told above of drives and arrays stands among the server's warnings too.
    twice = tuple(start for name in names for start in (f"array {name}: place ", f"array {name} has stopped"))
    for sentence in server["warnings"]:
        if sentence not in known and not sentence.startswith(twice):
            yield Alarm(WARNING, "server", sentence)


def _of_array(array: Found) -> Iterator[Alarm]:
    name = array["name"]
    if (array.get("redundancy") or {}).get("stopped"):
        to_do = "bring a drive back before anything else"
        yield Alarm(URGENT, f"array {name}", "it has stopped: more drives are lost than it survives", to_do)
    for drive in array["drives"]:
        if drive["state"] not in ("good", "spare or not used"):
            severity = WARNING if drive["state"] == "rebuilding" else URGENT
            why = f": {drive['why_out']}" if drive.get("why_out") else ""
            yield Alarm(severity, f"drive {drive['name']}", f"it is {drive['state']}{why}", _mending(name, drive))


def _mending(array: str, drive: Found) -> str:
    if drive.get("note"):
        return f"when it is good again, or another, remove {drive['note']} and start nsu again"
    if drive["state"] == "rebuilding":
        return ""
    if drive.get("place") is not None:
        return f"give the array another: nsu array replace {array} {drive['place']} NEW"
    return "see: nsu array list"


def _of_host(found: Found) -> Iterator[Alarm]:
    host = found["host"]
    if host is None:
        return
    limits = {timer["name"]: timer["value_s"] for timer in host["timers"]}
    for server in host["servers"]:
        yield from _of_link(server, limits.get(no_path_timer(server["name"])))
    for disk in host["disks"]:
        if disk["trouble"]:
            severity = NOTE if disk["detached"] else URGENT
            yield Alarm(severity, f"disk {disk['name']}", disk["trouble"])
        for notice in (disk.get("process") or {}).get("notices", []):
            yield Alarm(WARNING, f"disk {disk['name']}", notice)
    for sentence in host["warnings"]:
        if sentence not in found["supervisor"]["warnings"]:
            yield Alarm(WARNING, "host", sentence)


def no_path_timer(server: str) -> str:
    """Give the name of the timer that says how long requests wait without a path."""
    return f"without a path to {server}, most"


def _of_link(server: Found, limit_s: float | None) -> Iterator[Alarm]:
    about, waiting = f"server {server['name']}", _waiting(server, limit_s)
    if server["trouble"]:
        to_do = f"see that nsu run runs there, and that nothing stands between; {waiting}"
        yield Alarm(URGENT, about, server["trouble"], to_do)
    if server["paths_up"] < server["connections"]:
        severity = WARNING if server["paths_up"] else URGENT
        yield Alarm(severity, about, f"{server['paths_up']} of {server['connections']} paths are up", waiting)
    for network in server["networks"]:
        if network["trouble"]:
            others = "its paths go over other networks meanwhile" if server["paths_up"] else waiting
            to_do = f"look at its cables, addresses and firewalls; {others}"
            yield Alarm(WARNING, f"network {network['at']}", f"it is {network['state']}: {network['trouble']}", to_do)
    for path in server["paths"]:
        if path["state"] != "up" and path["reason"]:
            yield Alarm(NOTE, f"path {server['name']} {path['path']}", f"it is {path['state']}: {path['reason']}")


def _waiting(server: Found, limit_s: float | None) -> str:
    if server["paths_up"]:
        return "the paths that are up go on"
    if limit_s is None:
        return "requests wait, and go on by themselves (ON_NO_PATH = queue)"
    return f"requests fail when that lasts {limit_s:g} s (ON_NO_PATH)"
