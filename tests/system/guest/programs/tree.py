"""Files whose content follows from their names: written, some of them fsynced and named on the console, and compared.

python3 -m tests.system.guest.programs.tree write FOLDER COUNT     COUNT files; says «SYNCED name» after each fsync
python3 -m tests.system.guest.programs.tree check FOLDER LIST      the files that the file LIST names are there, whole
"""

import os
import random
import sys
from pathlib import Path

SYNC_EVERY = 5
BYTES_MAX = 40_000


def name_of(number: int) -> str:
    return f"{number % 7}/{number % 3}/{number}"


def content(name: str) -> bytes:
    """Give what the file of that name holds."""
    dice = random.Random(name)
    return dice.randbytes(dice.randint(1, BYTES_MAX))


def write(folder: Path, count: int) -> None:
    for number in range(count):
        name = name_of(number)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content(name))
            if number % SYNC_EVERY == 0:
                file.flush()
                os.fsync(file.fileno())
                print("SYNCED", name, flush=True)


def check(folder: Path, listed: Path) -> None:
    names = listed.read_text().split()
    bad = [name for name in names if not _is_whole(folder / name, name)]
    print(f"CHECKED {len(names)} files, bad: {' '.join(bad) or 'none'}", flush=True)


def _is_whole(path: Path, name: str) -> bool:
    return path.is_file() and path.read_bytes() == content(name)


if __name__ == "__main__":
    verb, folder, last = sys.argv[1:]
    if verb == "write":
        write(Path(folder), int(last))
    else:
        check(Path(folder), Path(last))
