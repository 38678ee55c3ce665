"""fio's nbd engine, the client of all NBD servers here, ours among them."""

import json
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from bench.figures import Figure
from bench.load import USE_BYTES, Load
from bench.processes import cpu_s

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.99)
STUCK_S = 60.0


def fio_command(uri: str, load: Load, seconds: float, *, connections: int) -> list[str]:
    """Give the command that puts `load` on `uri` with so many connections, among which the depth is divided.

    Each connection has its own part of the disk, as several readers of one disk would.
    """
    kind = load.op if load.sequential else f"rand{load.op}"
    part = USE_BYTES // connections
    return [
        "fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={kind}", f"--bs={load.size_bytes}",
        f"--iodepth={load.depth_of_each(connections)}", f"--numjobs={connections}", f"--size={part}",
        f"--offset_increment={part}", "--time_based", f"--runtime={int(seconds * 1000)}ms", "--randrepeat=1",
        f"--percentile_list={':'.join(map(str, PERCENTILES))}", "--output-format=json",
    ]  # fmt: skip


def run_fio(uri: str, load: Load, seconds: float, *, connections: int, servers: Callable[[], Sequence[int]]) -> Figure:
    """Run it. Processor time: that of fio's jobs while they work, and all that `servers` (pids) use meanwhile."""
    before_s = cpu_s(servers())
    command = fio_command(uri, load, seconds, connections=connections)
    jobs = jobs_of(run_json(command, seconds))
    used_s = cpu_s(servers()) - before_s
    used_s += sum((job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1000 for job in jobs)
    told = [job[load.op] for job in jobs]
    done = sum(each["total_ios"] for each in told)
    latency = told[0]["clat_ns"].get("percentile", {}) if connections == 1 else {}
    return Figure(
        sum(each["iops"] for each in told),
        used_s / done * 1e6,
        {f"{float(percent):g}": ns / 1000 for percent, ns in latency.items()},
    )


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
