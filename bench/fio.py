"""fio's nbd engine, the client of all NBD servers here, ours among them."""

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.figures import Figure
from bench.load import USE_BYTES, Load
from bench.processes import cpu_s

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.99)
STUCK_S = 60.0
TRIES = 4


def fio_command(uri: str, load: Load, seconds: float, *, connections: int) -> list[str]:
    """Give the command that puts `load` on `uri` with so many connections, among which the depth is divided.

    Each connection has its own part of the disk, as several readers of one disk would. They are threads, because
    processes begin one after the other.
    """
    kind = load.op if load.sequential else f"rand{load.op}"
    part = USE_BYTES // connections
    return [
        "fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={kind}", f"--bs={load.size_bytes}",
        f"--iodepth={load.depth_of_each(connections)}", f"--numjobs={connections}", f"--size={part}",
        f"--offset_increment={part}", "--time_based", f"--runtime={int(seconds * 1000)}ms", "--randrepeat=1",
        "--lat_percentiles=1", "--clat_percentiles=0",
        f"--percentile_list={':'.join(map(str, PERCENTILES))}", "--output-format=json",
        "--thread",
    ]  # fmt: skip


class ApartError(RuntimeError):
    """The jobs hardly ran at the same time."""


def run_fio(uri: str, load: Load, seconds: float, *, connections: int, servers: Callable[[], Sequence[int]]) -> Figure:
    """Run it, for longer when its jobs hardly ran at the same time: see `run_once`."""
    for _ in range(TRIES - 1):
        try:
            return run_once(uri, load, seconds, connections=connections, servers=servers)
        except ApartError:
            seconds *= 2
    return run_once(uri, load, seconds, connections=connections, servers=servers)


def run_once(uri: str, load: Load, seconds: float, *, connections: int, servers: Callable[[], Sequence[int]]) -> Figure:
    """Run it. Processor time: that of fio's jobs while they work, and all that `servers` (pids) use meanwhile.

    Latency is fio's `lat`, from before the request is handed to the engine. Its `clat` begins when that is over, and by
    then a server that has been woken on the same core may have answered: 8 µs were found where 250 are the truth.
    """
    before_s = cpu_s(servers())
    with tempfile.TemporaryDirectory() as folder:
        log = ["--log_avg_msec=20", "--log_unix_epoch=1", f"--write_iops_log={folder}/log"] if connections > 1 else []
        jobs = jobs_of(run_json([*fio_command(uri, load, seconds, connections=connections), *log], seconds))
        used_s = cpu_s(servers()) - before_s
        rate = rate_together([parsed_log(file.read_text()) for file in Path(folder).iterdir()]) if log else None
    used_s += sum((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000 for job in jobs)
    told = [job[load.op] for job in jobs]
    done = sum(each["total_ios"] for each in told)
    latency = told[0]["lat_ns"].get("percentile", {}) if connections == 1 else {}
    return Figure(
        sum(each["iops"] for each in told) if rate is None else rate,
        used_s / done * 1e6,
        {f"{float(percent):g}": ns / 1000 for percent, ns in latency.items()},
    )


Log = list[tuple[int, int]]
"""(ms since the epoch, requests per second in the stretch that ended then)"""


def parsed_log(text: str) -> Log:
    """Read one job's log of fio: `ms, rate, direction, …`."""
    rows = (line.split(",") for line in text.splitlines())
    return [(int(row[0]), int(row[1])) for row in rows]


def rate_together(logs: Sequence[Log]) -> float:
    """Give requests per second of all jobs in the time in which all of them ran.

    A job that began late ran on alone when the others had ended, and told a rate that it never had beside them.
    """
    if not all(logs):
        raise ApartError("a job of fio was too short to tell its rate: give it more seconds")
    begin_ms, end_ms = max(log[0][0] for log in logs), min(log[-1][0] for log in logs)
    if begin_ms >= end_ms:
        raise ApartError("fio's jobs did not run at the same time: give them more seconds, or a quieter machine")
    total = 0.0
    for log in logs:
        rates = [rate for at_ms, rate in log if begin_ms < at_ms <= end_ms]
        total += sum(rates) / len(rates) if rates else 0.0
    return total


def run_json(command: Sequence[str], seconds: float) -> Any:
    """Run fio to its end; give what it says as JSON, which may have words before it."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + STUCK_S, check=False)
    if done.returncode or "{" not in done.stdout:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return json.loads(done.stdout[done.stdout.index("{") :])


def jobs_of(told: Any) -> list[Any]:
    """Give the jobs; each must have worked: one that could not connect says 0 and is no figure."""
    jobs = list(told["jobs"])
    broken = [job for job in jobs if job["error"] or not job["job_runtime"]]
    if broken:
        raise RuntimeError(f"{len(broken)} of {len(jobs)} jobs of fio did nothing: no connection?")
    return jobs
