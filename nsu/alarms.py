"""What is wrong now, and what has happened: read from the answers of `nsu status`. Pure.

An alarm stands as long as its cause; its sentence is the one `nsu status` shows. An event is a difference between two
looks; what came and went between them is not seen, for that there is the log.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

Found = dict[str, Any]

URGENT, WARNING, NOTE = "urgent", "warning", "note"
SEVERITIES = (URGENT, WARNING, NOTE)


class Alarm(NamedTuple):
    """Something is wrong, or happened."""

    severity: str
    about: str
    """What it is about: `array unit0`, `path box1 3`, `machine` …"""
    sentence: str


def alarms_of(found: Found) -> list[Alarm]:
    """Give all that is wrong, the urgent first, each once."""
    every = dict.fromkeys([*_of_processes(found["supervisor"]), *_of_server(found), *_of_host(found["host"])])
    return sorted(every, key=lambda alarm: SEVERITIES.index(alarm.severity))


def _of_processes(supervisor: Found) -> Iterator[Alarm]:
    for process in supervisor["processes"]:
        if process["state"] != "ready":
            why = f": {process['why']}" if process["why"] else ""
            severity = URGENT if process["state"] in ("resting", "given_up", "dying") else NOTE
            yield Alarm(severity, f"process {process['name']}", f"it is {process['state'].replace('_', ' ')}{why}")
    for sentence in supervisor["warnings"]:
        yield Alarm(WARNING, "nsu.conf", sentence)


def _of_server(found: Found) -> Iterator[Alarm]:
    server = found["server"]
    if server is None:
        return
    for array in server["arrays"]:
        stopped = bool((array.get("redundancy") or {}).get("stopped"))
        if stopped:
            yield Alarm(URGENT, f"array {array['name']}", "it has stopped: more drives are lost than it survives")
        for drive in array["drives"]:
            if drive["state"] not in ("good", "spare or not used"):
                severity = WARNING if drive["state"] == "rebuilding" else URGENT
                why = drive.get("why_out") or "see: nsu array list"
                yield Alarm(severity, f"drive {drive['name']}", f"it is {drive['state']}: {why}")
    refused = server["conf"]["refused"]
    if refused:
        words = f"it can't be used as it is now, the settings before stay in force: {refused}"
        yield Alarm(URGENT, "nsu.conf", words)
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


def _of_host(host: Found | None) -> Iterator[Alarm]:
    if host is None:
        return
    for server in host["servers"]:
        about = f"server {server['name']}"
        if server["trouble"]:
            yield Alarm(URGENT, about, server["trouble"])
        if server["paths_up"] < server["connections"]:
            severity = WARNING if server["paths_up"] else URGENT
            yield Alarm(severity, about, f"{server['paths_up']} of {server['connections']} paths are up")
        for network in server["networks"]:
            if network["trouble"]:
                yield Alarm(WARNING, f"network {network['at']}", f"it is {network['state']}: {network['trouble']}")
    for disk in host["disks"]:
        if disk["trouble"]:
            severity = NOTE if disk["detached"] else URGENT
            yield Alarm(severity, f"disk {disk['name']}", disk["trouble"])
        for notice in (disk.get("process") or {}).get("notices", []):
            yield Alarm(WARNING, f"disk {disk['name']}", notice)
    for sentence in host["warnings"]:
        yield Alarm(WARNING, "host", sentence)


def events_between(before: Found, after: Found) -> list[Alarm]:
    """Give what has happened between two looks."""
    return [
        *_changes(_processes(before), _processes(after), "process"),
        *_changes(_sessions(before), _sessions(after), "session"),
        *_changes(_partitions(before), _partitions(after), "partition"),
        *_changes(_paths(before), _paths(after), "path"),
        *_alarm_changes(alarms_of(before), alarms_of(after)),
    ]


def _changes(before: dict[str, str], after: dict[str, str], kind: str) -> Iterator[Alarm]:
    for name, words in after.items():
        if name not in before:
            yield Alarm(NOTE, f"{kind} {name}", f"it is new: {words}")
        elif before[name] != words:
            yield Alarm(NOTE, f"{kind} {name}", f"it is {words}; it was {before[name]}")
    for name in before.keys() - after.keys():
        yield Alarm(NOTE, f"{kind} {name}", "it is gone")


def _alarm_changes(before: list[Alarm], after: list[Alarm]) -> Iterator[Alarm]:
    abouts = {(alarm.severity, alarm.about) for alarm in before}
    for alarm in after:
        if (alarm.severity, alarm.about) not in abouts:
            yield alarm
    still = {alarm.about for alarm in after}
    for about in dict.fromkeys(alarm.about for alarm in before):
        if about not in still:
            yield Alarm(NOTE, about, "nothing is wrong with it any more")


def _processes(found: Found) -> dict[str, str]:
    rows = found["supervisor"]["processes"]
    return {row["name"]: f"{row['state'].replace('_', ' ')} (pid {row['pid'] or 'none'})" for row in rows}


def _sessions(found: Found) -> dict[str, str]:
    sessions = (found["server"] or {}).get("sessions", [])
    return {
        f"{row['host']} {row['epoch']:#x}": f"from {row['peer']}, version 0x{row['version']:02x}" for row in sessions
    }


def _partitions(found: Found) -> dict[str, str]:
    rows = [(host["name"], unit) for host in (found["server"] or {}).get("hosts", []) for unit in host["units"]]
    access = {True: "read-only", False: "read-write"}
    return {f"{unit['name']} of {name}": f"{unit['lba']} {access[unit['read_only']]}" for name, unit in rows}


def _paths(found: Found) -> dict[str, str]:
    servers = (found["host"] or {}).get("servers", [])
    rows = [(server["name"], path) for server in servers for path in server["paths"]]
    return {f"{name} {path['path']}": f"{path['state']} on {path['network'] or 'no network'}" for name, path in rows}
