"""What redundancy costs: our levels beside our own raid0, in one process, on the same drives, in turn.

    python -m bench.arrays [--seconds S] [--folder DIR]

Four file drives. Figures are those of the owner alone: no sockets, no hand-over. raid5 is measured with its journal,
and without (it is never served so: a crash would invent data): the difference is the price of a closed write hole.
Linux md is not measured: it is not in every kernel, and not in the one this was written on.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ipc.say import voice
from serverside.arrays.base import Array
from serverside.arrays.open import LAYOUTS, open_array
from serverside.arrays.redundant import Redundant
from serverside.driver.packets import PUT_OUT, SCRUB
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.redundancy.guard import Change, Guard
from serverside.settings import ArraySettings, DriveSettings

DRIVES = 4
DRIVE_BYTES = 128 << 20
STRIPE_BYTES = 65536
ROW_BYTES = (DRIVES - 1) * STRIPE_BYTES
Row = dict[str, float]


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each cell")
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    arguments = parser.parse_args()
    voice.write = lambda _: None
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        found = rows_of(Path(folder), arguments.seconds)
    columns = list(found["raid5"])
    table = Table("level", *columns, title=f"{DRIVES} file drives in {arguments.folder}; in brackets: ÷ raid0")
    for level, row in found.items():
        cells = []
        for name in columns:
            base = found["raid0"].get(name)
            ratio = f" ({row[name] / base:.2f})" if base and name in row else ""
            cells.append(f"{row[name]:.1f}{ratio}" if name in row else "")
        table.add_row(level, *cells)
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
