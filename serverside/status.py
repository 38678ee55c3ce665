"""What the server process tells about itself: plain values, ready for JSON. No thinking here."""

from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from ipc.endpoints import endpoint
from ipc.latency import trimmed
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.timers import in_force
from protocol.v2.login import fingerprint
from serverside.sessions import Session, Srw
from serverside.settings import HostSettings

if TYPE_CHECKING:
    from serverside.server import Server


def describe_server(server: "Server") -> dict[str, Any]:
    """Give sessions, SRWs, arrays, partitions, timers and warnings."""
    keys = {host.name: describe_keys(host) for host in server.settings.hosts}
    return {
        "role": "server",
        "name": server.settings.name,
        "started_at": server.started_s,
        "config_port": server.settings.config_port,
        "listen": list(server.settings.listen),
        "conf": server.told_of_conf(),
        "cookie": server.storage.cookie,
        "data_ports": [
            {"address": port.key[0], "port": port.key[1], "listening": port.listening} for port in server.data_ports
        ],
        "sessions": [describe_session(server, session) for session in server.sessions.values()],
        "arrays": server.storage.describe_arrays(),
        "hosts": [
            {**describe_host(server, host), "keys": keys.get(host["name"])} for host in server.storage.describe_hosts()
        ],
        "turned_away": dict(server.turned_away),
        "unassigned": server.storage.describe_unassigned(),
        "timers": [
            {"name": "handshake", "value_s": HANDSHAKE_TIMEOUT_S, "source": "Appendix D, step 4"},
            *in_force(
                KEEPALIVE_IDLE_S="keepalive after",
                KEEPALIVE_EVERY_S="keepalive every",
                USER_TIMEOUT_S="TCP_USER_TIMEOUT",
                STOPPED_MOST_S="SRW or driver stopped, most",
                SPINNING_MOST_S="SRW or driver turning in a circle, most",
            ),
        ],
        "discovery": server.discovery.status(),
        "warnings": [
            *server.warnings,
            *not_whole(server.storage.describe_arrays()),
            *server.addresses.warnings(),
            *server.evictions.warnings(server.loop.now()),
            *open_rotations(server),
            *unprotected(server),
        ],
    }


def describe_host(server: "Server", host: dict[str, Any]) -> dict[str, Any]:
    name, srws = host["name"], server.srws
    units = [{**unit, "totals": srws.tallies.of_partition(name, unit["uuid"])} for unit in host["units"]]
    return {**host, "units": units, "totals": srws.totals_of(name)}


def describe_session(server: "Server", session: Session) -> dict[str, Any]:
    return {
        "session": session.number,
        "epoch": session.epoch,
        "version": session.version,
        "host": session.host.name,
        "key": session.key or None,
        "peer": session.peer_address,
        "tls": session.over_tls,
        "began_at": session.began_s,
        "attached": server.units_used(session),
        "srws": [describe_srw(server, srw) for srw in session.srws.values()],
    }


def describe_srw(server: "Server", srw: Srw) -> dict[str, Any]:
    return {
        "path": srw.path,
        "pid": srw.child.pid,
        "port": endpoint(*srw.port),
        "peer": srw.peer,
        "began_at": srw.began_s,
        **server.srws.tallies.of_seat(srw.seat),
        "latency": trimmed(server.srws.latencies.row(srw.seat).cells),
    }


def not_whole(arrays: list[dict[str, Any]]) -> list[str]:
    """Give, for each place of an array with redundancy that is not good, what it means and why."""
    sentences = []
    for array in arrays:
        for drive in array["drives"]:
            if drive["state"] == "out":
                sentences.append(f"array {array['name']}: place {drive['place']} is out: {drive['why_out']}")
            elif drive["state"] == "rebuilding":
                percent = f"{drive['rebuilt_percent']} %"
                why = f": {drive['why_out']}" if drive.get("why_out") else ""
                sentences.append(
                    f"array {array['name']}: place {drive['place']} is being rebuilt, {percent} are done{why}"
                )
        sentences += slow_ones(array)
        if array.get("redundancy", {}).get("stopped"):
            sentences.append(f"array {array['name']} has stopped: more drives are lost than {array['level']} survives")
    return sentences


SLOW_OPERATIONS_MIN = 100
SLOW_MEAN_US_MIN = 10_000
SLOW_TIMES = 5


def slow_ones(array: dict[str, Any]) -> list[str]:
    """Give a sentence for each place whose drive takes several times as long as the others' (decision 0013)."""
    timed = [each for each in array["drives"] if each.get("operations", 0) >= SLOW_OPERATIONS_MIN]
    sentences = []
    for drive in timed:
        others = [each["mean_us"] for each in timed if each is not drive]
        usual_us = median(others) if others else drive["mean_us"]
        if drive["mean_us"] >= max(SLOW_MEAN_US_MIN, SLOW_TIMES * usual_us):
            sentences.append(
                f"array {array['name']}: the drive at place {drive['place']} is slow: {drive['mean_us'] / 1000:.0f} ms"
                f" for an operation, the others {usual_us / 1000:.0f} ms; nsu array replace takes it out"
            )
    return sentences


def describe_keys(host: HostSettings) -> dict[str, Any] | None:
    """Give the fingerprints of a host's keys; None: it has none."""
    if host.secret is None:
        return None
    follows = host.secret_next
    return {
        "current": fingerprint(host.secret),
        "next": None if follows is None else fingerprint(follows),
        "rotation_since": None if follows is None else host.rotation_since_s,
    }


def open_rotations(server: "Server") -> list[str]:
    """Give, for each HOST of which two keys hold, since when, which its session has proven, and what is next."""
    used = {session.host.name: session.key for session in server.sessions.values()}
    return [
        rotation_words(host, used.get(host.name, ""), fingerprint(host.secret_next))
        for host in server.settings.hosts
        if host.secret_next is not None
    ]


def rotation_words(host: HostSettings, used: str, follows: str) -> str:
    """Say how far a rotation is. `used`: the key of its session, empty without one; `follows`: the new one."""
    since = datetime.fromtimestamp(host.rotation_since_s, UTC).strftime("%Y-%m-%d %H:%M UTC")
    if used == follows:
        rest = f"its session has proven the new one: nsu key rotate {host.name} --finish"
    else:
        whose = f"its session has proven the old one ({used})" if used else "it has no session"
        rest = f"{whose}: give it the new one by nsu key install, it is proven at the next login"
    return f"HOST {host.name}: a new key ({follows}) holds beside the old one since {since}; {rest}"


def unprotected(server: "Server") -> list[str]:
    """Give, for each HOST without a secret, the plain words that it is not protected (trap 26).

    They are those of `nsu check`, so that a status that shows both shows them once.
    """
    return [
        f"HOST {host.name} has no SECRET_FILE: it speaks version 0x01, which is not protected: whoever can send from "
        f"its address can read and write its partitions"
        for host in server.settings.hosts
        if host.secret is None
    ]
