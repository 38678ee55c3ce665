"""What the machine can do without anybody's protocol: the file itself, and loopback TCP's delay and width."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import which

from bench.fio import jobs_of, run_json
from bench.load import USE_BYTES
from tests.harness import free_ports


@dataclass(frozen=True)
class Limit:
    """One figure."""

    title: str
    value: float
    unit: str


def limits(folder: Path, seconds: float) -> Iterator[Limit]:
    """Measure all, in `folder`, which is in tmpfs as the drives are."""
    file = folder / "limits.img"
    file.write_bytes(bytes(USE_BYTES))
    for op in ("read", "write"):
        rate = local(file, f"rand{op}", 4096, seconds)
        yield Limit(f"the file itself, p{op} of 4 KiB at random", rate / 1e3, "thousand/s")
        rate = local(file, op, 131072, seconds)
        yield Limit(f"the file itself, p{op} of 128 KiB in order", rate * 131072 / 1e6, "MB/s")
    file.unlink()
    trip_us, rate = ping_pong(seconds)
    yield Limit("loopback TCP, 4 KiB there and 4 KiB back, one at a time", rate / 1e3, "thousand/s")
    yield Limit("the same, one round trip", trip_us, "µs")
    if which("iperf3"):
        yield Limit("loopback TCP, iperf3, one connection", iperf3(seconds), "MB/s")


def local(file: Path, kind: str, size_bytes: int, seconds: float) -> float:
    command = [
        "fio", "--name=local", "--ioengine=psync", f"--filename={file}", f"--rw={kind}", f"--bs={size_bytes}",
        f"--size={USE_BYTES}", "--time_based", f"--runtime={int(seconds * 1000)}ms", "--output-format=json",
    ]  # fmt: skip
    (job,) = jobs_of(run_json(command, seconds))
    return float(job[kind.removeprefix("rand")]["iops"])


def ping_pong(seconds: float) -> tuple[float, float]:
    """Give (µs of a round trip, round trips per second) of fio's net engine, which is C."""
    (port,) = free_ports(1)
    common = ["--ioengine=net", "--protocol=tcp", f"--port={port}", "--pingpong=1", "--bs=4096", "--size=100G"]
    wait_ms, run_ms = 300, int(seconds * 1000)
    command = [
        "fio", "--output-format=json", "--time_based",
        "--name=server", *common, "--listen", "--rw=read", f"--runtime={wait_ms + run_ms}ms",
        "--name=client", *common, "--hostname=127.0.0.1", "--rw=write", f"--startdelay={wait_ms}ms",
        f"--runtime={run_ms}ms",
    ]  # fmt: skip
    told = run_json(command, seconds)["jobs"]
    (client,) = [job["write"] for job in told if job["jobname"] == "client"]
    return client["lat_ns"]["mean"] / 1000, client["iops"]


def iperf3(seconds: float) -> float:
    """Give MB/s."""
    (port,) = free_ports(1)
    with subprocess.Popen(
        ["iperf3", "-s", "-1", "--forceflush", "-p", str(port)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        server.stdout.readline()  # it says that it listens
        client = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(max(1, round(seconds))), "-J"]
        told = json.loads(subprocess.run(client, capture_output=True, text=True, check=True, timeout=30).stdout)
    return float(told["end"]["sum_received"]["bits_per_second"]) / 8e6
