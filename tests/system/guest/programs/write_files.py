"""Write files whose content follows from their names, fsync each fifth, and name those on the console.

python3 -m tests.system.guest.programs.write_files FOLDER      goes on until nobody lets it; says «SYNCED name»
"""

import hashlib
import itertools
import os
import random
import sys
from collections.abc import Iterable
from pathlib import Path

SYNC_EVERY = 5
BYTES_MAX = 40_000


def name_of(number: int) -> str:
    return f"{number % 7}/{number % 3}/{number}"


def content(name: str) -> bytes:
    """Give what the file of that name holds."""
    dice = random.Random(name)
    return dice.randbytes(dice.randint(1, BYTES_MAX))


def sums(names: Iterable[str]) -> str:
    """Give what `sha256sum -c` compares these files with."""
    return "".join(f"{hashlib.sha256(content(name)).hexdigest()}  {name}\n" for name in names)


def write(folder: Path) -> None:
    for number in itertools.count():
        name = name_of(number)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content(name))
            if number % SYNC_EVERY == 0:
                file.flush()
                os.fsync(file.fileno())
                print("SYNCED", name, flush=True)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
