"""A drive that hangs, is slow, or is gone when it is told to: a file in a FUSE file system of the test's own.

    with SlowDrive(folder) as drive:
        ...                         # drive.path is the drive
        drive.hang()                # whoever reads, writes or syncs it waits from now on, in the kernel
        drive.slow_down(0.3)        # everything takes so many seconds
        drive.pull()                # it is pulled out: errors
        drive.go_on()

To whoever uses it this is what a disk that repairs itself, a RAID controller's reset or a lost NFS server is: a system
call that returns late. The file system is a process of its own (this module, run), for the test must not wait with it.
"""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAME = "drive.img"
UP_MOST_S = 10.0
LOOK_EVERY_S = 0.02


class SlowDrive:
    """`size_bytes` of zeros in `folder`, mounted there."""

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self.mount = folder / "slow"
        self.mount.mkdir()
        self.path = self.mount / NAME
        self.backing = folder / "backing.img"
        self.backing.touch()
        os.truncate(self.backing, size_bytes)
        self.switch = folder / "order"
        command = [sys.executable, "-m", "tests.harness.slow_drive", *map(str, (self.mount, self.backing, self.switch))]
        self.process = subprocess.Popen(command)
        until_s = time.monotonic() + UP_MOST_S
        while not self.path.exists():
            assert time.monotonic() < until_s, "the file system does not come up"
            time.sleep(LOOK_EVERY_S)

    def hang(self) -> None:
        self._order("hang")

    def slow_down(self, seconds: float) -> None:
        self._order(f"slow {seconds}")

    def pull(self) -> None:
        self._order("pulled")

    def _order(self, words: str) -> None:
        fresh = self.switch.with_suffix(".new")
        fresh.write_text(words)
        fresh.rename(self.switch)

    def go_on(self) -> None:
        self.switch.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.go_on()
        subprocess.run(["fusermount3", "-u", "-z", str(self.mount)], check=True)
        self.process.wait(10)


class File:
    """The file system: one file, whose every operation obeys the order in the switch. The methods are mfusepy's."""

    use_ns = True

    def __init__(self, backing: str, switch: str) -> None:
        self.fd = os.open(backing, os.O_RDWR)
        self.switch = switch

    def wait(self) -> None:
        while (order := self.order()) == "hang":
            time.sleep(LOOK_EVERY_S)
        if order == "pulled":
            raise OSError(errno.EIO, "it is not there")
        if order.startswith("slow"):
            time.sleep(float(order.split()[1]))

    def order(self) -> str:
        try:
            with open(self.switch) as switch:
                return switch.read()
        except FileNotFoundError:
            return ""

    def getattr(self, path: str, _handle: Any = None) -> dict[str, int]:
        if path == "/":
            return {"st_mode": 0o040700, "st_nlink": 2}
        if path != f"/{NAME}":
            raise FileNotFoundError(2, "there is one file")
        return {"st_mode": 0o100600, "st_nlink": 1, "st_size": os.fstat(self.fd).st_size}

    def open(self, _path: str, _flags: int) -> int:
        return 0

    def read(self, _path: str, size: int, offset: int, _handle: int) -> bytes:
        self.wait()
        return os.pread(self.fd, size, offset)

    def write(self, _path: str, data: bytes, offset: int, _handle: int) -> int:
        self.wait()
        return os.pwrite(self.fd, data, offset)

    def fsync(self, _path: str, _datasync: int, _handle: int) -> int:
        self.wait()
        return 0


def main() -> None:
    """Serve `mount` until it is unmounted."""
    import mfusepy  # where there is no libfuse the tests that need this are skipped

    mount, backing, switch = sys.argv[1:]
    mfusepy.FUSE(File(backing, switch), mount, foreground=True, direct_io=True, nothreads=True)


if __name__ == "__main__":
    main()
