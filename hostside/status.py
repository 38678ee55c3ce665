"""What the host process tells about itself: plain values, ready for JSON. No thinking here."""

from typing import TYPE_CHECKING, Any

from hostside.agent import KEEPALIVE_S, PING_AFTER_S, USER_TIMEOUT_MS
from hostside.config_client import PING_EVERY_S, RECONNECT_MOST_S, SILENCE_MAX_S
from hostside.driver.unit import UnitFlag
from hostside.link import DiskState, ServerLink
from hostside.paths import Path
from hostside.settings import DiskSettings

if TYPE_CHECKING:
    from hostside.host import HostProcess


def describe_host(host: "HostProcess") -> dict[str, Any]:
    """Give sessions, paths, disks, timers and warnings."""
    return {
        "role": "host",
        "started_at": host.started_s,
        "servers": [describe_link(link) for link in host.links],
        "disks": describe_disks(host)["disks"],
        "timers": TIMERS,
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
        "session": granted.session if granted else None,
        "epoch": granted.epoch if granted else None,
        "cookie": link.cookie,
        "trouble": link.client.trouble,
        "connections": link.entry.connections,
        "paths_up": link.paths.up_count,
        "paths": [describe_path(link, path) for path in link.paths.paths],
    }


def describe_path(link: ServerLink, path: Path) -> dict[str, Any]:
    child = link.agents.get(path.number)
    return {
        "path": path.number,
        "state": path.state.name.lower(),
        "network": f"{path.port.address}:{path.port.port}" if path.port else "",
        "pid": child.pid if child else None,
        "incarnation": path.incarnation,
        "since_s": round(link.loop.now() - path.since_s, 3),
        "reason": path.reason,
        **link.wiring.counters.row(path.number).as_dict(),
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
        "size_bytes": unit.blocks * 512 if unit else None,
        "read_only": bool(unit.flags & UnitFlag.READ_ONLY) if unit else None,
        "trouble": disk.trouble or ("" if is_shown else disk.failure),
    }


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
    places = sum(port.connections_max for port in link.paths.ports)
    if link.granted is not None and 0 < places < link.entry.connections:
        found.append(
            f"SERVER {link.entry.name}: CONNECTIONS = {link.entry.connections}, but its data ports give this host "
            f"{places} places; {places} paths are kept"
        )
    return found


TIMERS = [
    {"name": "config ping", "value_s": PING_EVERY_S, "source": "hostside/config_client.py PING_EVERY_S"},
    {"name": "config silence", "value_s": SILENCE_MAX_S, "source": "hostside/config_client.py SILENCE_MAX_S"},
    {"name": "config reconnect, most", "value_s": RECONNECT_MOST_S, "source": "RECONNECT_MOST_S"},
    {"name": "path ping when idle", "value_s": PING_AFTER_S, "source": "hostside/agent.py PING_AFTER_S"},
    {"name": "path TCP_USER_TIMEOUT", "value_s": USER_TIMEOUT_MS / 1000, "source": "hostside/agent.py"},
    {"name": "path keepalive", "value_s": KEEPALIVE_S, "source": "hostside/agent.py KEEPALIVE_S"},
]
