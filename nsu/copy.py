"""Copy a file onto a disk by the Python API: `python -m nsu.copy FILE SOCKET`. The demo's client where none is installed."""

import sys
from pathlib import Path

from hostside.client import open_disk

CHUNK_BYTES = 1 << 20


def main() -> None:
    """Copy, then flush."""
    source, at = Path(sys.argv[1]), Path(sys.argv[2])
    with open_disk(at=at) as disk, open(source, "rb") as file:
        offset_bytes = 0
        while chunk := file.read(CHUNK_BYTES):
            disk.pwrite(chunk, offset_bytes)
            offset_bytes += len(chunk)
        disk.flush()


if __name__ == "__main__":
    main()
