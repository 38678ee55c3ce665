"""What redundancy costs: our levels beside our own raid0, on the same four file drives, in turn.

    python -m bench.arrays [--seconds S] [--folder DIR] [--only owner|way]

The first table is the owner alone, in one process: no sockets, no hand-over. raid5 is measured with its journal, and
without (it is never served so: a crash would invent data): the difference is the price of a closed write hole. The
second is the whole way, fio at the NBD door over PATHS paths.

Linux md would be the peer. It is not measured: it is not in every kernel, and not in the one this was written on.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.fio import run_fio
from bench.load import USE_BYTES, Load
from ipc.say import voice
from nsu.arrays import arrays_of, replace
from serverside.arrays.base import Array
from serverside.arrays.open import LAYOUTS, open_array
from serverside.arrays.redundant import Redundant
from serverside.driver.packets import PUT_OUT, SCRUB
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.redundancy.guard import Change, Guard
from serverside.settings import ArraySettings, DriveSettings
from tests.harness import World, spawn_world

DRIVES = 4
DRIVE_BYTES = 128 << 20
STRIPE_BYTES = 65536
ROW_BYTES = (DRIVES - 1) * STRIPE_BYTES
Row = dict[str, float]
PATHS = 4


def made(folder: Path, level: str) -> Array:
    """Make an array of files that are filled, so that nothing measured is the making of blocks."""
    names = [DriveSettings(folder / f"{level}-{n}", DRIVE_BYTES) for n in range(DRIVES + (level in LAYOUTS))]
    health = DriveHealth(len(names))
    drives = [open_drive(name, health, index) for index, name in enumerate(names)]
    settings = ArraySettings("unit0", level, tuple(names[:DRIVES]), tuple(names[DRIVES:]), STRIPE_BYTES)
    array = open_array(settings, drives)
    data = memoryview(os.urandom(ROW_BYTES))
    for at in range(0, array.capacity_bytes - ROW_BYTES, ROW_BYTES):
        array.write_from(data, at)
    array.flush()
    return array


def per_second(act: Callable[[], object], seconds: float) -> float:
    began_s, count = time.perf_counter(), 0
    while time.perf_counter() < began_s + seconds:
        act()
        count += 1
    return count / (time.perf_counter() - began_s)


def measure(array: Array, seconds: float) -> Row:
    """Give MB/s of full rows, thousand/s of 4 KiB writes (alone, eight at once) and reads."""
    luck = random.Random(1)
    row, small = memoryview(os.urandom(ROW_BYTES)), memoryview(os.urandom(4096))
    back = memoryview(bytearray(4096))
    rows, blocks = array.capacity_bytes // ROW_BYTES, array.capacity_bytes // 4096

    def eight() -> None:
        array.write_many([(luck.randrange(blocks) * 4096, small) for _ in range(8)])

    return {
        "full rows MB/s": per_second(lambda: array.write_from(row, luck.randrange(rows) * ROW_BYTES), seconds)
        * ROW_BYTES
        / 1e6,
        "4 KiB writes k/s": per_second(lambda: array.write_from(small, luck.randrange(blocks) * 4096), seconds) / 1e3,
        "by eights k/s": per_second(eight, seconds) * 8 / 1e3,
        "4 KiB reads k/s": per_second(lambda: array.read_into(back, luck.randrange(blocks) * 4096), seconds) / 1e3,
    }


class Unguarded(Guard):
    """Takes the guard's work away."""

    durable = True

    def fits(self, changes: Sequence[Change]) -> bool:
        return len(changes) < 1000

    def prepare(self, changes: Sequence[Change]) -> None:
        pass

    def recover(self) -> int:
        return 0

    def settle(self) -> None:
        pass


def walk_mb_s(array: Redundant, order: int) -> float:
    """Give the speed of a rebuild or a scrub, counted in bytes of one drive."""
    array.obey(order, 0)
    began_s = time.perf_counter()
    while array.tend():
        pass
    return DRIVE_BYTES / (time.perf_counter() - began_s) / 1e6


def rows_of(folder: Path, seconds: float) -> dict[str, Row]:
    found = {}
    for level in ("raid0", "raid10", "raid5"):
        array = made(folder, level)
        found[level] = measure(array, seconds)
        if isinstance(array, Redundant):
            found[level] |= {"scrub MB/s": walk_mb_s(array, SCRUB), "rebuild MB/s": walk_mb_s(array, PUT_OUT)}
            array.obey(PUT_OUT, 1)
            found[f"{level}, one out"] = measure(array, seconds)
        array.close()
    (folder / "bare").mkdir()
    array = made(folder / "bare", "raid5")
    assert isinstance(array, Redundant)
    array._owned().guard = Unguarded()
    found["(raid5, no journal)"] = measure(array, seconds)
    array.close()
    return found


LOADS = {
    "4 KiB writes k/s": ("write", 4096, 32, False),
    "64 KiB writes MB/s": ("write", 65536, 16, True),
    "1 MiB writes MB/s": ("write", 1 << 20, 8, True),
    "4 KiB reads k/s": ("read", 4096, 32, False),
    "1 MiB reads MB/s": ("read", 1 << 20, 8, True),
}


def over_the_way(world: World, seconds: float) -> Row:
    """Give what fio gets at the NBD door."""
    found = {}
    for name, (op, size_bytes, depth, sequential) in LOADS.items():
        load = Load(op, size_bytes, depth, sequential)
        per_second_ = run_fio(world.uri("bench"), load, seconds, connections=1, servers=list).per_second
        found[name] = per_second_ / 1e3 if "k/s" in name else per_second_ * size_bytes / 1e6
    return found


def is_degraded(world: World, _: object) -> bool:
    (array,) = arrays_of(world.machine.state)
    return any(drive["state"] == "out" for drive in array["drives"])


def rows_of_the_way(folder: Path, seconds: float) -> dict[str, Row]:
    found = {}
    for level in ("raid0", "raid10", "raid5"):
        place = Path(tempfile.mkdtemp(prefix="nsu-b-", dir=folder))
        units = {"bench": USE_BYTES // 512}
        with spawn_world(units=units, paths=PATHS, level=level, drives=DRIVES, folder=place) as world:
            fill = Load("write", 1 << 20, 8, True)
            run_fio(
                world.uri("bench"), fill, 2, connections=1, servers=list
            )  # so that nothing measured is the making of blocks
            found[level] = over_the_way(world, seconds)
            if level in LAYOUTS:
                replace(world.machine.state, "unit0", "1", None, force=False)
                world.machine.wait_for(partial(is_degraded, world))
                found[f"{level}, one out"] = over_the_way(world, seconds)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each cell")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--only", choices=["owner", "way"])
    arguments = parser.parse_args()
    voice.write = lambda _: None
    console = Console(width=150)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.only != "way":
            found = rows_of(Path(folder), arguments.seconds)
            console.print(table_of(found, f"the owner alone; {DRIVES} file drives in {arguments.folder}"))
        if arguments.only != "owner":
            found = rows_of_the_way(Path(folder), max(1, round(arguments.seconds)))
            console.print(table_of(found, f"the whole way, {PATHS} paths; {DRIVES} file drives in {arguments.folder}"))


def table_of(found: dict[str, Row], title: str) -> Table:
    columns = list(dict.fromkeys(name for row in found.values() for name in row))
    table = Table("level", *columns, title=f"{title}; in brackets: ÷ raid0")
    for level, row in found.items():
        cells = []
        for name in columns:
            base = found["raid0"].get(name)
            ratio = f" ({row[name] / base:.2f})" if base and name in row else ""
            cells.append(f"{row[name]:.1f}{ratio}" if name in row else "")
        table.add_row(level, *cells)
    return table


if __name__ == "__main__":
    main()
