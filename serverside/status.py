"""What the server process tells about itself: plain values, ready for JSON. No thinking here."""

from statistics import median
from typing import TYPE_CHECKING, Any

from ipc.endpoints import endpoint
from ipc.latency import trimmed
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.timers import in_force
from serverside.sessions import Session, Srw

if TYPE_CHECKING:
    from serverside.server import Server


def describe_server(server: "Server") -> dict[str, Any]:
    """Give sessions, SRWs, arrays, partitions, timers and warnings."""
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
        "hosts": [{**host, "totals": server.srws.totals_of(host["name"])} for host in server.storage.describe_hosts()],
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
            *unprotected(server),
        ],
    }


def describe_session(server: "Server", session: Session) -> dict[str, Any]:
    return {
        "session": session.number,
        "epoch": session.epoch,
        "version": session.version,
        "host": session.host.name,
        "peer": session.peer_address,
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
        **server.srws.counters.row(srw.seat).as_dict(),
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
