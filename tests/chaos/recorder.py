"""A machine whose drives are watched: `python recorder.py LOG run -c CONF`.

Below the server, where it calls the kernel, everything that is written to its drives is put down in LOG, in an order in
which it may have happened, together with what users were promised meanwhile:

  * a WRITE is put down when the kernel has taken it, before anybody can be told;
  * a flush twice, when it begins and when it has ended well: what was put down before its BEGIN is durable at its END;
  * a STATEMENT of the test's own, when a promise was made to it (a fsync has returned) or is taken back.

One record is one write to a file opened with O_APPEND, so that the records of several processes are whole.

RECORD: OFFSET SIZE MEANING
  0  1  kind
  1  1  WRITE: 1 if durable by itself (RWF_DSYNC)
  2  2  0
  4  4  drive: its inode's number
  8  4  process
 12  4  bytes behind the header
 16  8  offset on the drive
 24  8  bytes written, or zeroed where there are none behind the header
native byte order
"""

import json
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Any, NamedTuple

WRITE, BEGIN, END, STATEMENT = range(1, 5)
_HEAD = Struct("=BBHIIIQQ")


class Record(NamedTuple):
    """One record."""

    kind: int
    durable: bool
    drive: int
    process: int
    offset_bytes: int
    length_bytes: int
    data: bytes
    """Of a WRITE: what was written, empty for zeros. Of a STATEMENT: JSON."""


class Recorder:
    """The file, opened for appending."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = -1
        self.pid = 0

    def put(
        self, kind: int, *, fd: int = -1, offset: int = 0, length: int = 0, data: bytes = b"", durable: bool = False
    ) -> None:
        """Put it down, unless `fd` is no drive: drives are the regular files named *.img."""
        drive = self.drive_of(fd) if fd >= 0 else 0
        if drive is not None:
            head = _HEAD.pack(kind, durable, 0, drive, os.getpid(), len(data), offset, length)
            os.write(self.descriptor(), head + data)

    def state(self, what: object) -> None:
        """Put a STATEMENT down."""
        self.put(STATEMENT, data=json.dumps(what).encode())

    def drive_of(self, fd: int) -> int | None:
        found = os.fstat(fd)
        path = os.readlink(f"/proc/self/fd/{fd}")
        is_drive = stat.S_ISREG(found.st_mode) and path.endswith(".img")
        return found.st_ino & 0xFFFFFFFF if is_drive else None

    def descriptor(self) -> int:
        """Give this process's own: those that were inherited are closed at the fork."""
        if self.pid != os.getpid():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self.fd, self.pid = os.open(self.path, flags, 0o600), os.getpid()
        return self.fd


def records(path: Path) -> Iterator[Record]:
    """Give what was put down, in its order."""
    whole = path.read_bytes()
    at = 0
    while at < len(whole):
        kind, durable, _, drive, process, data_bytes, offset, length = _HEAD.unpack_from(whole, at)
        at += _HEAD.size
        yield Record(kind, bool(durable), drive, process, offset, length, whole[at : at + data_bytes])
        at += data_bytes


def install(recorder: Recorder) -> None:
    """Watch the doors by which drives are written: pwritev, fdatasync and fallocate."""
    from serverside.drives import fallocate as door

    real_pwritev, real_fdatasync, real_fallocate = os.pwritev, os.fdatasync, door._fallocate

    def pwritev(fd: int, views: list[memoryview], offset: int, flags: int = 0) -> int:
        count = real_pwritev(fd, views, offset, flags)
        data = b"".join(bytes(view) for view in views)[:count]
        recorder.put(WRITE, fd=fd, offset=offset, length=count, data=data, durable=bool(flags & os.RWF_DSYNC))
        return count

    def fdatasync(fd: int) -> None:
        recorder.put(BEGIN, fd=fd)
        real_fdatasync(fd)
        recorder.put(END, fd=fd)

    def fallocate(fd: int, mode: int, offset: int, length: int) -> int:
        status = int(real_fallocate(fd, mode, offset, length))
        if status == 0:
            recorder.put(WRITE, fd=fd, offset=offset, length=length)
        return status

    doors: dict[Any, dict[str, Any]] = {
        os: {"pwritev": pwritev, "fdatasync": fdatasync},
        door: {"_fallocate": fallocate},
    }
    for room, names in doors.items():
        for name, function in names.items():
            setattr(room, name, function)


def main() -> None:
    recorder = Recorder(Path(sys.argv.pop(1)))
    sys.path[0] = str(Path(__file__).parents[2])
    install(recorder)
    from nsu.cli import main as nsu

    nsu()


if __name__ == "__main__":
    main()
