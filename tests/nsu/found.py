"""The answers of a small machine, as `nsu.gather` gives them: one of everything, each test its own copy to change."""

from copy import deepcopy
from typing import Any


def found() -> dict[str, Any]:
    """A machine with both roles and pages, at which nothing is wrong."""
    return deepcopy(_FOUND)


def path(number: int, **changes: Any) -> dict[str, Any]:
    """A path of the host role."""
    return {
        "path": number, "state": "up", "network": "10.1.1.1:10002", "pid": 100 + number, "incarnation": 1,
        "since_s": 12.5, "reason": "", "requests": 0, "errors": 0, "read_bytes": 0, "written_bytes": 0,
        "waited_ms": 0, "round_trip_us": 250, "latency": [], **changes,
    }  # fmt: skip


def drive(place: int, **changes: Any) -> dict[str, Any]:
    """A drive of an array with redundancy."""
    return {
        "name": f"/srv/drive{place}.img", "size_bytes": 1 << 30, "state": "good", "place": place,
        "rebuilt_percent": None, "repaired_blocks": 0, "operations": 0, "mean_us": 0, "slowest_us": 0, "why_out": "",
        "note": None, **changes,
    }  # fmt: skip


def unit(name: str, number: int, first: int, last: int, **changes: Any) -> dict[str, Any]:
    """A unit of a host."""
    return {
        "number": number, "name": name, "blocks": last - first + 1, "read_only": False, "zero": True,
        "written_blocks": None, "generation": 1, "uuid": f"uuid-{name}", "lba": f"unit0({first},{last})",
        "totals": dict(CELLS), **changes,
    }  # fmt: skip


CELLS = {"reads": 0, "writes": 0, "others": 0, "refused": 0, "read_bytes": 0, "written_bytes": 0}
_PROCESSES = [
    {"name": name, "state": "ready", "pid": pid, "why": ""} for pid, name in enumerate(("server", "host"), 11)
]
_SRW = {"path": 0, "pid": 50, "port": "10.1.1.1:10002", "peer": "10.1.1.20", "began_at": 1e9, **CELLS, "latency": []}
_REDUNDANCY = {
    "epoch": 1, "stopped": False, "repaired": 0, "reconstructed": 0, "mismatches": 0, "replayed": 0, "scrubs": 0,
    "scrubbed_percent": None,
}  # fmt: skip
_FOUND: dict[str, Any] = {
    "supervisor": {
        "machine": "box1", "pid": 10, "started_at": 1e9, "warnings": [],
        "processes": [*_PROCESSES, {"name": "web", "state": "ready", "pid": 13, "why": ""}],
    },
    "server": {
        "role": "server", "name": "box1", "started_at": 1e9, "config_port": 10001, "listen": ["10.1.1.1"],
        "data_ports": [{"address": "10.1.1.1", "port": 10002, "listening": True}],
        "sessions": [
            {
                "session": 1, "epoch": 7, "version": 2, "host": "host1", "peer": "10.1.1.20", "began_at": 1e9,
                "srws": [_SRW],
            }
        ],
        "arrays": [
            {
                "name": "unit0", "level": "raid5", "capacity_bytes": 1000 * 512, "driver_pid": 40,
                "drives": [drive(0), drive(1), drive(2)], "redundancy": _REDUNDANCY,
            }
        ],
        "hosts": [
            {
                "name": "host1", "version": 2, "units": [unit("data", 0, 0, 499), unit("logs", 1, 500, 599)],
                "totals": {**CELLS, "fenced": 0},
            }
        ],
        "turned_away": {"logins": 2, "tokens": 5},
        "discovery": {
            "ethernet": [], "udp": [], "questions": 3, "answers": 2, "malformed": 1, "limited": 1, "unanswered": 0,
        },
        "unassigned": [], "warnings": [], "conf": {"path": "/etc/nsu.conf", "digest": "0", "errors": [], "refused": ""},
        "timers": [{"name": "handshake", "value_s": 5.0, "source": "Appendix D, step 4"}],
    },
    "host": {
        "role": "host", "started_at": 1e9, "warnings": [],
        "timers": [{"name": "without a path to box2, most", "value_s": None, "source": "nsu.conf, ON_NO_PATH"}],
        "servers": [
            {
                "name": "box2", "nsu": "box2", "address": "10.1.1.2", "config_port": 10001, "version": 2, "session": 3,
                "epoch": 9, "cookie": 5, "trouble": "", "connections": 2, "connections_max": 4, "paths_up": 2,
                "paths": [path(0), path(1)],
                "totals": {"requests": 0, "errors": 0, "read_bytes": 0, "written_bytes": 0},
                "networks": [{"at": "10.1.1.2:10002", "places": 4, "state": "works", "trouble": ""}],
            }
        ],
        "disks": [
            {
                "name": "mail", "server": "box2", "show": "socket", "at": "/run/nsu/mail.sock", "uri": "nbd+unix:///mail",
                "control": "/x", "pid": 60, "shown": True, "detached": False, "size_bytes": 1 << 20, "read_only": False,
                "trouble": "", "waited_ms": 0, "in_flight_most": 3, "process": {"clients": 1, "notices": []},
            }
        ],
    },
}  # fmt: skip
