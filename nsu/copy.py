"""Copy a file onto a disk by the Python API: `python -m nsu.copy FILE SOCKET`. The demo's client where nbdcopy is not.

Nothing is written unless all of it can be: the file must fit, and be whole blocks. What was copied is durable.
"""

import sys
from pathlib import Path

from hostside.client import open_disk
from ipc.exits import Exit

CHUNK_BYTES = 4 << 20


def copy(source: Path, at: Path) -> None:
    """Copy, then flush. Raises OSError; ValueError for a file that does not fit."""
    with open(source, "rb") as file, open_disk(at=at) as disk:
        length_bytes = source.stat().st_size
        if length_bytes > disk.size_bytes or length_bytes % disk.block_bytes:
            raise ValueError(
                f"{source} has {length_bytes} bytes; a multiple of {disk.block_bytes}, {disk.size_bytes} at most, fits"
            )
        offset_bytes = 0
        while chunk := file.read(CHUNK_BYTES):
            disk.pwrite(chunk, offset_bytes)
            offset_bytes += len(chunk)
        disk.flush()


def main(arguments: list[str]) -> Exit:
    """Copy, or say why not; give the exit status."""
    if len(arguments) != 2:
        print("usage: python -m nsu.copy FILE SOCKET", file=sys.stderr)
        return Exit.MISUSE
    try:
        copy(Path(arguments[0]), Path(arguments[1]))
    except (OSError, ValueError) as error:
        print(f"nsu.copy: {error}", file=sys.stderr)
        return Exit.FAILED
    return Exit.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
