"""What has happened: the differences between two looks at a machine. Pure.

What came and went between them is not seen; for that there is the log.
"""

from collections.abc import Iterator

from nsu.alarms import NOTE, Alarm, Found, alarms_of


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
