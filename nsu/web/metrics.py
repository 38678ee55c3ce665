"""/metrics: the counters of this machine as Prometheus text (prometheus_client's one door).

The numbers are those of `nsu status`, asked for at each scrape: the processes of the data path count in shared memory
anyway, and the parent of each reads there. Names and units follow Prometheus's rules: base units, `_total` for what
only grows. A counter begins at 0 again with its process; those of a host, with the server process.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from ipc.latency import BUCKETS, below_s, middle_us
from nsu import __version__
from nsu.alarms import SEVERITIES, alarms_of
from nsu.processes import ProcessUse

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Found = dict[str, Any]
KINDS = {"reads": "read", "writes": "write", "others": "other", "refused": "refused"}
DIRECTIONS = {"read_bytes": "read", "written_bytes": "written"}
DRIVE_STATES = ("good", "rebuilding", "out", "failed", "spare or not used")


class Families:
    """The metrics of one scrape, each declared where it is first used."""

    def __init__(self) -> None:
        self.found: dict[str, Metric] = {}

    def count(self, name: str, words: str, value: float, **labels: str) -> None:
        """Add a value that only grows."""
        family = self._family(CounterMetricFamily, name, words, labels)
        family.add_metric([*labels.values()], value)

    def gauge(self, name: str, words: str, value: float, **labels: str) -> None:
        """Add a value that comes and goes."""
        family = self._family(GaugeMetricFamily, name, words, labels)
        family.add_metric([*labels.values()], value)

    def latency(self, name: str, words: str, counts: list[int], **labels: str) -> None:
        """Add a histogram of `ipc.latency`."""
        family = self._family(HistogramMetricFamily, name, words, labels)
        padded = [*counts, *([0] * (BUCKETS - len(counts)))]
        sum_s = sum(count * middle_us(index) for index, count in enumerate(padded)) / 1e6
        buckets, so_far = [], 0
        for index, count in enumerate(padded):
            so_far += count
            buckets.append(("+Inf" if index == BUCKETS - 1 else f"{below_s(index):.9g}", so_far))
        family.add_metric([*labels.values()], buckets, sum_s)

    def _family(self, kind: Any, name: str, words: str, labels: Iterable[str]) -> Any:
        if name not in self.found:
            self.found[name] = kind(name, words, labels=list(labels))
        return self.found[name]

    def collect(self) -> Iterator[Metric]:
        """Give them to prometheus_client."""
        yield from self.found.values()


def metrics_text(found: Found, processes: Iterable[ProcessUse] = ()) -> bytes:
    """Give the page."""
    families = Families()
    _machine(families, found)
    for use in processes:
        _process(families, use)
    if found["server"] is not None:
        _server(families, found["server"])
    if found["host"] is not None:
        _host(families, found["host"])
    registry = CollectorRegistry(auto_describe=False)
    registry.register(families)
    return generate_latest(registry)


def _machine(to: Families, found: Found) -> None:
    supervisor = found["supervisor"]
    to.gauge("nsu_info", "The version that runs.", 1, machine=supervisor["machine"], version=__version__)
    to.gauge("nsu_start_time_seconds", "When the supervisor was started.", supervisor["started_at"])
    for process in supervisor["processes"]:
        is_ready = process["state"] == "ready"
        to.gauge("nsu_role_ready", "1 when the role's process is at work.", is_ready, role=process["name"])
        answers = found.get(process["name"]) is not None or process["name"] == "web"
        to.gauge("nsu_role_answers", "1 when the role's process answered this scrape.", answers, role=process["name"])
    alarms = alarms_of(found)
    for severity in SEVERITIES:
        count = sum(alarm.severity == severity for alarm in alarms)
        to.gauge("nsu_alarms", "What is wrong now, by severity; see nsu status.", count, severity=severity)


def _process(to: Families, use: ProcessUse) -> None:
    labels = {"process": use.title}
    to.count("nsu_process_cpu_seconds", "Processor time, user and system.", use.cpu_s, **labels)
    to.gauge(
        "nsu_process_resident_memory_bytes", "Resident memory, shared parts included.", use.resident_bytes, **labels
    )


def _server(to: Families, server: Found) -> None:
    for what, count in server["turned_away"].items():
        to.count("nsu_turned_away", "Logins and data sockets of strangers that were refused.", count, what=what)
    for port in server["data_ports"]:
        labels = {"port": f"{port['address']}:{port['port']}"}
        to.gauge("nsu_data_port_listening", "1 when the port takes connections.", port["listening"], **labels)
    for host in server["hosts"]:
        _srw_counters(to, "nsu_host", "of a host", host["totals"], host=host["name"])
        words = "Reader/writers of a host that have ended and of which nothing can be applied any more (fences)."
        to.count("nsu_host_fenced", words, host["totals"]["fenced"], host=host["name"])
        for unit in host["units"]:
            _partition(to, host["name"], unit)
        sessions = [session for session in server["sessions"] if session["host"] == host["name"]]
        to.gauge("nsu_host_sessions", "Sessions of a host.", len(sessions), host=host["name"])
        paths = sum(len(session["srws"]) for session in sessions)
        to.gauge("nsu_host_paths", "Paths that a host has open.", paths, host=host["name"])
    for session in server["sessions"]:
        for srw in session["srws"]:
            labels = {"host": session["host"], "path": str(srw["path"])}
            _srw_counters(to, "nsu_srw", "of a reader/writer", srw, **labels)
            words = "From the receipt of a batch of requests to its answers being sent."
            to.latency("nsu_srw_latency_seconds", words, srw["latency"], **labels)
    for array in server["arrays"]:
        _array(to, array)
    _discovery(to, server["discovery"])


DISCOVERY_COUNTERS = {
    "questions": "Questions of whoever looks for NSUs.",
    "answers": "Those of them that were answered.",
    "malformed": "Frames and datagrams that were none.",
    "limited": "Questions not answered because there were too many.",
    "unanswered": "Questions whose answer could not be sent.",
}


def _discovery(to: Families, told: Found) -> None:
    for key, words in DISCOVERY_COUNTERS.items():
        to.count(f"nsu_discovery_{key}", words, told[key])


def _srw_counters(to: Families, prefix: str, whose: str, cells: Found, **labels: str) -> None:
    for cell, kind in KINDS.items():
        to.count(f"{prefix}_operations", f"Requests {whose}, by kind.", cells[cell], **labels, kind=kind)
    for cell, direction in DIRECTIONS.items():
        to.count(f"{prefix}_bytes", f"Payload {whose}.", cells[cell], **labels, direction=direction)


def _partition(to: Families, host: str, unit: Found) -> None:
    labels = {"host": host, "partition": unit["name"]}
    _srw_counters(to, "nsu_partition", "of a host to a partition", unit["totals"], **labels)
    to.gauge("nsu_partition_size_bytes", "Size of a partition.", unit["blocks"] * 512, **labels)
    to.gauge("nsu_partition_read_only", "1 when the host may not write.", unit["read_only"], **labels)
    to.gauge(
        "nsu_partition_generation", "Changes when the number means another partition.", unit["generation"], **labels
    )


ARRAY_COUNTERS = {
    "repaired": ("nsu_array_repaired_blocks", "Blocks that were wrong on one drive and written again."),
    "reconstructed": ("nsu_array_reconstructed_reads", "Reads answered from the other drives."),
    "scrubs": ("nsu_array_scrubs", "Comparisons of the whole array that were finished."),
    "replayed": ("nsu_array_replayed", "Changes mended at the start, after a crash."),
}


def _array(to: Families, array: Found) -> None:
    labels = {"array": array["name"]}
    to.gauge("nsu_array_size_bytes", "Size of an array.", array["capacity_bytes"], **labels, level=array["level"])
    redundancy = array.get("redundancy")
    if redundancy is not None:
        for key, (name, words) in ARRAY_COUNTERS.items():
            to.count(name, words, redundancy[key], **labels)
        to.gauge(
            "nsu_array_mismatches",
            "Groups that did not agree at the last comparison.",
            redundancy["mismatches"],
            **labels,
        )
        to.gauge(
            "nsu_array_stopped", "1 when more drives are lost than the level survives.", redundancy["stopped"], **labels
        )
        done = redundancy["scrubbed_percent"]
        to.gauge("nsu_array_scrub_running", "1 while it is compared.", done is not None, **labels)
        to.gauge("nsu_array_scrubbed_ratio", "How much of it is compared, 0 to 1.", (done or 0) / 100, **labels)
    for index, drive in enumerate(array["drives"]):
        # The place too: several that are gone have one name.
        _drive(to, drive, array=array["name"], place=str(index), drive=drive["name"])


def _drive(to: Families, told: Found, **labels: str) -> None:
    for state in DRIVE_STATES:
        words = "1 for the state that a drive is in."
        to.gauge("nsu_drive_state", words, told["state"] == state, **labels, state=state)
    to.gauge("nsu_drive_size_bytes", "Size of a drive.", told["size_bytes"], **labels)
    if told.get("rebuilt_percent") is not None:
        words = "How much of it has its data again, 0 to 1."
        to.gauge("nsu_drive_rebuilt_ratio", words, told["rebuilt_percent"] / 100, **labels)
    if "operations" in told:
        busy_s = told["operations"] * told["mean_us"] / 1e6
        to.count("nsu_drive_operations", "Operations on a drive by its array's owner.", told["operations"], **labels)
        to.count("nsu_drive_busy_seconds", "The time they took together.", busy_s, **labels)
        to.gauge("nsu_drive_slowest_seconds", "The longest of them.", told["slowest_us"] / 1e6, **labels)
        to.count("nsu_drive_repaired_blocks", "Blocks of it that were wrong.", told["repaired_blocks"], **labels)


def _host(to: Families, host: Found) -> None:
    for server in host["servers"]:
        _link(to, server)
    for disk in host["disks"]:
        labels = {"server": disk["server"], "disk": disk["name"]}
        to.gauge("nsu_disk_shown", "1 when users can reach the disk.", disk["shown"], **labels)
        to.gauge("nsu_disk_size_bytes", "Size of a disk; 0 while it is not known.", disk["size_bytes"] or 0, **labels)
        clients = (disk["process"] or {}).get("clients", 0) if "process" in disk else 0
        to.gauge("nsu_disk_clients", "NBD clients of a disk.", clients, **labels)
        words = "Constituents on all paths at once, the most of the last second."
        to.gauge("nsu_disk_queue_depth", words, disk["in_flight_most"], **labels)
        words = "Time in which requests waited for room on a path."
        to.count("nsu_disk_waited_seconds", words, disk["waited_ms"] / 1000, **labels)


def _link(to: Families, server: Found) -> None:
    name = {"server": server["name"]}
    to.gauge("nsu_server_paths_up", "Paths to a server that carry requests.", server["paths_up"], **name)
    to.gauge("nsu_server_paths_wanted", "Paths to a server that are wanted now.", server["connections"], **name)
    to.gauge("nsu_server_session", "1 while the host has a session.", server["session"] is not None, **name)
    for network in server["networks"]:
        words = "1 when the network carries paths."
        to.gauge("nsu_network_up", words, network["state"] == "works", **name, network=network["at"])
    for path in server["paths"]:
        _path(to, path, server=server["name"], path=str(path["path"]))


def _path(to: Families, told: Found, **labels: str) -> None:
    to.gauge("nsu_path_up", "1 when the path carries requests.", told["state"] == "up", **labels)
    to.count("nsu_path_requests", "Constituents answered over a path.", told["requests"], **labels)
    to.count("nsu_path_errors", "Those of them that the server refused or failed.", told["errors"], **labels)
    for cell, direction in DIRECTIONS.items():
        to.count("nsu_path_bytes", "Payload over a path.", told[cell], **labels, direction=direction)
    words = "Agents that have lived in a path's place: one more for each time it was lost and its requests sent again."
    to.count("nsu_path_lives", words, told["incarnation"], **labels)
    to.count(
        "nsu_path_waited_seconds",
        "Time in which requests waited for a path's window.",
        told["waited_ms"] / 1000,
        **labels,
    )
    to.gauge("nsu_path_round_trip_seconds", "Round trip, as TCP measured it.", told["round_trip_us"] / 1e6, **labels)
    to.latency("nsu_path_latency_seconds", "From a request's start to its answer.", told["latency"], **labels)
