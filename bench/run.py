"""`make bench`: this project beside nbdkit, on the same file, machine and minute, in turn.

    python -m bench.run [--seconds S] [--paths 1,2,4,8] [--folder DIR]

Two doors, as in bench/README.md: «NBD» is the same fio with its nbd engine for nbdkit and for us, over a Unix socket
(for us there are a disk process, agents, TCP and SRWs behind it); «own» is a load generator right at our host driver.
Thousand I/O per second at 4 KiB, MB/s otherwise; µs of processor time per I/O, all processes of both sides together.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.first_door import Load, cpu_seconds, run_at_our_door
from hostside.settings import DiskSettings, ServerEntry
from tests.harness import World, spawn_world

USE_BYTES = 256 << 20
SIZES = ((65536, 16), (131072, 16), (1 << 20, 8))


@dataclass(frozen=True)
class Figure:
    """What one run of one workload gave."""

    per_second: float
    cpu_us: float
    p50_us: float


def workloads(seconds: float) -> list[Load]:
    """Give the workloads, in the order of the table."""
    loads = [Load(op, 4096, depth, False, seconds) for depth in (1, 32) for op in ("read", "write")]
    loads += [Load(op, size, depth, True, seconds) for size, depth in SIZES for op in ("read", "write")]
    return loads


def run_fio(uri: str, load: Load, pids: list[int]) -> Figure:
    """Run fio's nbd engine against `uri`; processor time is that of fio and of `pids`."""
    kind = load.op if load.sequential else f"rand{load.op}"
    command = [
        "fio", "--name=bench", "--ioengine=nbd", f"--uri={uri}", f"--rw={kind}", f"--bs={load.size_bytes}",
        f"--iodepth={load.depth}", f"--size={USE_BYTES}", "--time_based", f"--runtime={load.seconds}",
        "--randrepeat=1", "--output-format=json",
    ]  # fmt: skip
    before_s = cpu_seconds(pids)
    children_s = os.times().children_user + os.times().children_system
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used_s = cpu_seconds(pids) - before_s + os.times().children_user + os.times().children_system - children_s
    job = json.loads(told[told.index("{") :])["jobs"][0][load.op]
    return Figure(job["iops"], used_s / job["total_ios"] * 1e6, job["clat_ns"]["percentile"]["50.000000"] / 1000)


def run_own(world: World, entry: ServerEntry, load: Load) -> Figure:
    """Run the generator at our own door, against the same server."""
    pids = world.machine.pids("nsu: s") + world.machine.pids("nsu: driver")
    before_s = cpu_seconds([*pids, os.getpid()])
    figures = run_at_our_door(entry, load, USE_BYTES)
    deadline_s = time.monotonic() + 2
    while time.monotonic() < deadline_s and world.machine.pids("nsu: srw"):
        time.sleep(0.02)  # their processor time is the server's once they are reaped
    used_s = cpu_seconds([*pids, os.getpid()]) - before_s
    return Figure(figures["done"] / load.seconds, used_s / figures["done"] * 1e6, figures["p50_us"])


@contextmanager
def nbdkit(file: Path) -> Iterator[tuple[str, list[int]]]:
    """Serve `file` with nbdkit's file plugin on a Unix socket."""
    at = file.with_suffix(".nbdkit")
    process = subprocess.Popen(["nbdkit", "-f", "-U", str(at), "file", f"file={file}"])
    while not at.exists():
        time.sleep(0.01)
    try:
        yield f"nbd+unix:///?socket={at}", [process.pid]
    finally:
        process.terminate()
        process.wait()


def shown(figure: Figure, load: Load) -> str:
    if load.depth == 1:
        return f"{figure.per_second / 1000:.1f} k ({figure.p50_us:.0f} µs)"
    if load.size_bytes == 4096:
        return f"{figure.per_second / 1000:.1f} k, {figure.cpu_us:.0f} µs"
    return f"{figure.per_second * load.size_bytes / 1e6:.0f} MB/s, {figure.cpu_us:.0f} µs"


def measure(folder: Path, paths: list[int], seconds: float) -> dict[str, dict[str, Figure]]:
    """Run everything in turn: for each workload the peer first, then us, so that both see the same minute."""
    found: dict[str, dict[str, Figure]] = {load.name: {} for load in workloads(seconds)}
    for count in paths:
        place = Path(tempfile.mkdtemp(prefix="nsu-b-", dir=folder))
        with spawn_world(units={"bench": USE_BYTES // 512}, paths=count, folder=place) as world:
            drive = place / "drive0.img"
            fill(drive)
            with nbdkit(drive) as (uri, pids):
                for load in workloads(seconds):
                    row = found[load.name]
                    row.setdefault("nbdkit", run_fio(uri, load, pids))
                    row[f"NBD {count}"] = run_fio(world.uri("bench"), load, list(world.machine.processes()))
        own_door(folder, count, seconds, found)
    return found


def own_door(folder: Path, count: int, seconds: float, found: dict[str, dict[str, Figure]]) -> None:
    """A server alone; the generator logs in as its host, with as many paths."""
    place = Path(tempfile.mkdtemp(prefix="nsu-b-", dir=folder))
    with spawn_world(units={"bench": USE_BYTES // 512}, paths=count, folder=place, host_role=False) as world:
        fill(place / "drive0.img")
        secret = bytes.fromhex((place / "host1.key").read_text())
        disk = DiskSettings("bench", 0, "socket", world.at("bench"))
        addresses, port = tuple(world.server.addresses), world.server.config_port
        entry = ServerEntry("box1", addresses, port, "host1", secret, count, None, (disk,))
        for load in workloads(seconds):
            found[load.name][f"own {count}"] = run_own(world, entry, load)


def fill(file: Path) -> None:
    """Write every block once: reads of holes are no reads."""
    with open(file, "r+b") as drive:
        for _ in range(USE_BYTES >> 20):
            drive.write(os.urandom(1 << 20))


def table_of(found: dict[str, dict[str, Figure]], seconds: float) -> list[Table]:
    tables = []
    for door in ("NBD", "own"):
        columns = [name for name in next(iter(found.values())) if name.startswith(door)]
        table = Table(title=f"{door} door", title_justify="left")
        for column in ("workload", "nbdkit", *columns, "best ÷ nbdkit"):
            table.add_column(column)
        for load in workloads(seconds):
            row = found[load.name]
            best = max(row[column].per_second for column in columns) / row["nbdkit"].per_second
            cells = [shown(row[column], load) for column in ("nbdkit", *columns)]
            table.add_row(load.name, *cells, f"{best:.2f}")
        tables.append(table)
    return tables


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--seconds", type=int, default=2, help="of each cell, whole ones: fio takes no parts of a second"
    )
    parser.add_argument("--paths", default="1,2,4,8")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    arguments = parser.parse_args()
    for program in ("fio", "nbdkit"):
        if shutil.which(program) is None:
            raise SystemExit(f"{program} is not installed: apt-get install fio nbdkit")
    paths = [int(count) for count in arguments.paths.split(",")]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False).stdout
    console = Console(width=150)
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release()}, Python "
        f"{platform.python_version()}, commit {commit.strip()}, {time.strftime('%Y-%m-%d %H:%M')}"
    )
    for table in table_of(measure(arguments.folder, paths, arguments.seconds), arguments.seconds):
        console.print(table)


if __name__ == "__main__":
    main()
