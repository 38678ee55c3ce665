"""What the pages and REST show of a machine: the answers of `nsu status`, put together for people. Pure."""

from typing import Any

from nsu import __version__
from nsu.alarms import alarms_of
from nsu.web.drawing import Piece, pieces_in

Found = dict[str, Any]


def overview(found: Found) -> Found:
    """Give the machine at a glance: an Overview."""
    supervisor, server = found["supervisor"], found["server"] or {"arrays": [], "sessions": []}
    rows = arrays(found)
    return {
        "machine": supervisor["machine"],
        "version": __version__,
        "started_at": supervisor["started_at"],
        "processes": supervisor["processes"],
        "alarms": [alarm._asdict() for alarm in alarms_of(found)],
        "size_bytes": sum(row["capacity_bytes"] for row in rows),
        "free_bytes": sum(row["free_bytes"] for row in rows),
        "sessions": len(server["sessions"]),
        "paths": sum(len(session["srws"]) for session in server["sessions"]),
        "disks": len((found["host"] or {"disks": []})["disks"]),
    }


def arrays(found: Found) -> list[Found]:
    """Give the arrays, each with its pieces: Arrays."""
    pieces = pieces_of_arrays(found)
    return [
        {
            **array,
            "free_bytes": sum(piece.blocks * 512 for piece in pieces[array["name"]] if piece.is_free),
            "pieces": pieces[array["name"]],
        }
        for array in (found["server"] or {"arrays": []})["arrays"]
    ]


def pieces_of_arrays(found: Found) -> dict[str, list[Piece]]:
    """Give array -> its pieces, those of nobody too."""
    server = found["server"]
    nobodys = [] if server is None else [(unit["name"], unit["lba"]) for unit in server["unassigned"]]
    return pieces_in(server, nobodys)


def hosts(found: Found) -> list[Found]:
    """Give the hosts of this NSU: Hosts."""
    server = found["server"] or {"hosts": [], "sessions": []}
    return [
        {
            **host,
            "partitions": len(host["units"]),
            "sessions": sum(session["host"] == host["name"] for session in server["sessions"]),
        }
        for host in server["hosts"]
    ]


def with_totals(partitions: list[Found], found: Found) -> list[Found]:
    """Give each use of each partition what was done for that host with it; None: the server does not know it."""
    hosts_known = (found["server"] or {"hosts": []})["hosts"]
    totals = {(host["name"], unit["name"]): unit["totals"] for host in hosts_known for unit in host["units"]}
    return [
        {**one, "uses": [{**use, "totals": totals.get((use["host"], use["unit"]))} for use in one["uses"]]}
        for one in partitions
    ]


def timers(found: Found) -> list[Found]:
    """Give the times in force: Timers."""
    roles = [(role, found[role]) for role in ("server", "host") if found[role]]
    return [{"role": role, **timer} for role, told in roles for timer in told["timers"]]
