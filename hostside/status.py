"""What the host process tells about itself: plain values, ready for JSON. No thinking here."""

from typing import TYPE_CHECKING, Any

from hostside.config_client import RECONNECT_MOST_S
from hostside.disks import DiskState
from hostside.driver.unit import UnitFlag
from hostside.link import ServerLink
from hostside.networks import REST_MOST_S, STEADY_FIRST_S, STEADY_MOST_S, Network
from hostside.paths import Path
from hostside.settings import DiskSettings
from ipc.endpoints import endpoint
from ipc.latency import trimmed
from protocol.timers import in_force

SUMS = ("requests", "errors", "read_bytes", "written_bytes")
"""Of all paths, those too that are not needed now and so not listed."""

if TYPE_CHECKING:
    from hostside.host import HostProcess


def describe_host(host: "HostProcess") -> dict[str, Any]:
    """Give sessions, paths, disks, timers and warnings."""
    return {
        "role": "host",
        "started_at": host.started_s,
        "servers": [describe_link(link) for link in host.links],
        "disks": describe_disks(host)["disks"],
        "timers": [*TIMERS, *no_path_timers(host)],
        "warnings": [words for link in host.links for words in warnings(link)],
    }


def describe_link(link: ServerLink) -> dict[str, Any]:
    granted = link.granted
    return {
        "name": link.entry.name,
        "nsu": link.nsu_name,
        "address": link.client.address,
        "config_port": link.entry.config_port,
        "version": link.version,
        "key": link.client.key or None,
        "tls": link.entry.tls is not None,
        "session": granted.session if granted else None,
        "epoch": granted.epoch if granted else None,
        "cookie": link.cookie,
        "trouble": link.client.trouble,
        "connections": link.paths.wanted,
        "connections_max": link.entry.connections + link.entry.extra_connections,
        "paths_up": link.paths.up_count,
        "paths": [describe_path(link, path) for path in link.paths.in_use()],
        "totals": {name: link.wiring.counters.total(name) for name in SUMS},
        "networks": [describe_network(network) for network in link.paths.networks],
    }


def describe_path(link: ServerLink, path: Path) -> dict[str, Any]:
    child = link.agents.get(path.number)
    return {
        "path": path.number,
        "state": path.state.name.lower(),
        "network": endpoint(path.port.address, path.port.port) if path.port else "",
        "pid": child.pid if child else None,
        "incarnation": path.incarnation,
        "since_s": round(link.loop.now() - path.since_s, 3),
        "reason": path.reason,
        **link.wiring.counters.row(path.number).as_dict(),
        "latency": trimmed(link.wiring.latencies.row(path.number).cells),
    }


def describe_network(network: Network) -> dict[str, Any]:
    return {
        "at": endpoint(network.port.address, network.port.port),
        "places": network.port.connections_max,
        "state": "works" if not network.in_doubt else "down" if network.is_down else "being tried",
        "trouble": network.trouble if network.is_down else "",
    }


def describe_disks(host: "HostProcess") -> dict[str, Any]:
    """Give every disk, whether it is shown yet or not; `hostside.open_disk` asks for this."""
    return {"disks": [describe_disk(host, link, disk) for link in host.links for disk in link.disks]}


def describe_disk(host: "HostProcess", link: ServerLink, disk: DiskState) -> dict[str, Any]:
    unit = disk.unit
    is_shown = bool(disk.child and disk.child.is_ready)
    return {
        "name": disk.settings.name,
        "server": link.entry.name,
        "show": disk.settings.show,
        "at": str(disk.settings.at),
        "uri": uri_of(disk.settings) if disk.settings.show == "socket" else None,
        "control": str(host.disk_control(disk.settings.name)),
        "pid": disk.child.pid if disk.child else None,
        "shown": is_shown,
        "detached": not disk.wanted,
        "size_bytes": unit.blocks * 512 if unit else None,
        "read_only": bool(unit.flags & UnitFlag.READ_ONLY) if unit else None,
        "trouble": disk_trouble(disk, is_shown=is_shown),
        **link.wiring.loads.row(disk.index).as_dict(),
    }


def disk_trouble(disk: DiskState, *, is_shown: bool) -> str:
    """Say why the disk cannot be used; empty: it can."""
    if not disk.wanted:
        return f"detached; attach it again with: nsu attach {disk.settings.name}"
    return disk.trouble or ("" if is_shown else disk.failure)


def uri_of(settings: DiskSettings) -> str:
    """Give what NBD clients call it."""
    return f"nbd+unix:///{settings.name}?socket={settings.at}"


def warnings(link: ServerLink) -> list[str]:
    """Give what a person should know, in plain words; where `nsu check` says the same, in the same words."""
    found = []
    if link.version == 1:
        found.append(
            f"SERVER {link.entry.name} has no SECRET_FILE: it speaks version 0x01, which is not protected: "
            f"anybody on the network can read and change what travels"
        )
    if link.client.evicted:
        found.append(f"SERVER {link.entry.name}: {link.client.evicted}; each machine needs a HOST of its own there")
    if link.client.is_silent:
        found.append(
            f"SERVER {link.entry.name} is silent on the configuration socket: its process stands still, while its "
            f"reader/writers answer; a path that is lost now can't be replaced"
        )
    places = link.paths.places
    if link.granted is not None and 0 < places < link.entry.connections:
        found.append(
            f"SERVER {link.entry.name}: CONNECTIONS = {link.entry.connections}, but its data ports give this host "
            f"{places} places; {places} paths are kept"
        )
    return found


def no_path_timers(host: "HostProcess") -> list[dict[str, Any]]:
    """Give how long requests wait without a path to each server; None: for ever."""
    return [
        {
            "name": f"without a path to {entry.name}, most",
            "value_s": entry.fail_after_s,
            "source": "nsu.conf, ON_NO_PATH",
        }
        for entry in host.settings.servers
    ]


TIMERS: list[dict[str, Any]] = [
    *in_force(
        FOUND_WITHIN_S="a path is given up within",
        PING_EVERY_S="ping, of an idle path and of the session",
        ANSWER_WITHIN_S="a path's ping unanswered, most",
        UNANSWERED_MOST_S="nothing acknowledged, most",
        ANSWER_MOST_S="acknowledged and not answered, most",
        CONFIG_ANSWER_WITHIN_S="session silent, most",
        KEEPALIVE_IDLE_S="keepalive after",
        KEEPALIVE_EVERY_S="keepalive every",
        USER_TIMEOUT_S="TCP_USER_TIMEOUT of the session",
        CONNECT_WITHIN_S="connecting, most",
        STOPPED_MOST_S="agent or disk stopped, most",
        SPINNING_MOST_S="agent or disk turning in a circle, most",
        CHILD_SILENT_MOST_S="agent or disk silent, most",
    ),
    {"name": "rest before a network that is down is tried", "value_s": REST_MOST_S, "source": "REST_MOST_S"},
    {"name": "steady before paths move to it, first", "value_s": STEADY_FIRST_S, "source": "STEADY_FIRST_S"},
    {"name": "steady before paths move to it, most", "value_s": STEADY_MOST_S, "source": "STEADY_MOST_S"},
    {"name": "reconnect, most", "value_s": RECONNECT_MOST_S, "source": "hostside/config_client.py RECONNECT_MOST_S"},
]
