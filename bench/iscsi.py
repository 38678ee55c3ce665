"""libiscsi's clients, for tgt: the initiator of the kernel is not needed.

fio has no engine for it in Debian. `iscsi-perf` (libiscsi-bin) reads, in order or at random. It can't write: writes are
`qemu-img bench` with the iscsi driver (qemu-block-extra), which goes through the disk in order, 4 KiB too. Neither
tells a latency, so at depth 1 it is the mean, and only that of one connection.
"""

import re
import resource
import subprocess
import time
from collections.abc import Callable, Sequence

from bench.figures import Figure
from bench.load import Load
from bench.processes import cpu_s

PILOT_REQUESTS = 500
RUNS_LEAST_S = 2
"""iscsi-perf takes whole seconds, and its first is short."""


def run_iscsi(
    url: str, load: Load, seconds: float, *, connections: int, servers: Callable[[], Sequence[int]]
) -> Figure:
    """Run so many clients at once, the depth divided among them."""
    run = _read if load.op == "read" else _write
    before_s, children_s = cpu_s(servers()), _children_s()
    per_second, done = run(url, load, seconds, connections)
    used_s = cpu_s(servers()) - before_s + _children_s() - children_s
    mean = {"mean": 1e6 / per_second} if load.depth == 1 else {}
    return Figure(per_second, used_s / done * 1e6, mean)


def _read(url: str, load: Load, seconds: float, connections: int) -> tuple[float, float]:
    whole_s = max(RUNS_LEAST_S, round(seconds))
    order = [] if load.sequential else ["-r"]
    depth, blocks = load.depth_of_each(connections), load.size_bytes // 512
    command = ["iscsi-perf", "-m", str(depth), "-b", str(blocks), "-t", str(whole_s), *order, url]
    told = _run_all(command, connections, whole_s)
    rates = [float(found) for said in told for found in re.findall(r"^iops average (\d+)", said, re.MULTILINE)]
    if len(rates) != connections:
        raise RuntimeError(f"{' '.join(command)}: {told[0]}")
    return sum(rates), sum(rates) * whole_s


def _write(url: str, load: Load, seconds: float, connections: int) -> tuple[float, float]:
    """Write a fixed number: as many as fit into the time, by a short run before."""
    began_s = time.monotonic()
    _write_some(url, load, connections, PILOT_REQUESTS)
    rate = PILOT_REQUESTS / (time.monotonic() - began_s)
    each = max(PILOT_REQUESTS, int(rate * seconds))
    per_second = _write_some(url, load, connections, each)
    return per_second, connections * (each + PILOT_REQUESTS)


def _write_some(url: str, load: Load, connections: int, requests: int) -> float:
    command = [
        "qemu-img", "bench", "-w", "-f", "raw", "-c", str(requests), "-d", str(load.depth_of_each(connections)),
        "-s", str(load.size_bytes), "-t", "none", url,
    ]  # fmt: skip
    told = _run_all(command, connections, 30.0)
    times = [float(found) for said in told for found in re.findall(r"completed in ([\d.]+) seconds", said)]
    if len(times) != connections:
        raise RuntimeError(f"{' '.join(command)}: {told[0]}")
    return sum(requests / each for each in times)


def _run_all(command: Sequence[str], count: int, seconds: float) -> list[str]:
    clients = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(count)
    ]
    return [client.communicate(timeout=seconds + 30)[0].replace("\r", "\n") for client in clients]


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
