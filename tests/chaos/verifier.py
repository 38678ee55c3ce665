"""A load that knows what each sector must hold, and comes back when its disk's process dies under it.

Each of some threads has a connection and a range of its own. Every 512-byte sector carries, 32 times over, the version
of the write that made it and its own number, so that a byte that is wrong, old or from elsewhere is seen as such.

What a write without an answer (its connection was lost) has done is not known: until one read has told, its sectors
may hold either version; from then on they must hold what was seen. That is what a fence is worth: nothing of a lost
writer comes later. Any other error of a request ends the load.
"""

import random
import threading
import time
from collections.abc import Callable
from errno import EBADF
from pathlib import Path
from struct import Struct
from types import TracebackType
from typing import Self

from hostside import open_disk
from hostside.client import Disk

SECTOR_BYTES = 512
SECTORS_MAX = 1024
"""Of one request: 512 KiB, eight constituents."""
COMES_BACK_S = 30.0
"""Longer than this no disk may stay away."""

_STAMP = Struct("<QQ")
_COPIES = SECTOR_BYTES // _STAMP.size


def sector(version: int, number: int) -> bytes:
    """Give a sector's content. Version 0: nothing was written yet."""
    return _STAMP.pack(version, number) * _COPIES if version else bytes(SECTOR_BYTES)


class WrongDataError(AssertionError):
    """The disk gave what nobody wrote there, or what was written before something that was acknowledged."""


class Range:
    """What is known of one thread's sectors."""

    def __init__(self, first: int, sectors: int) -> None:
        self.first = first
        self.versions = [0] * sectors
        self.doubtful: dict[int, set[int]] = {}
        """Sector -> versions whose writes had no answer."""
        self.last_version = 0

    def content(self, first: int, sectors: int, version: int | None = None) -> bytes:
        """Give what sectors hold, or would with `version`."""
        at = first - self.first
        versions = self.versions[at : at + sectors] if version is None else [version] * sectors
        return b"".join(map(sector, versions, range(first, first + sectors)))

    def written(self, first: int, sectors: int, version: int) -> None:
        at = first - self.first
        self.versions[at : at + sectors] = [version] * sectors
        for number in range(first, first + sectors) if self.doubtful else ():
            self.doubtful.pop(number, None)

    def doubt(self, first: int, sectors: int, version: int) -> None:
        for number in range(first, first + sectors):
            self.doubtful.setdefault(number, set()).add(version)

    def check(self, first: int, data: bytes) -> None:
        """Compare; settle what was doubtful."""
        sectors = len(data) // SECTOR_BYTES
        if data == self.content(first, sectors) and not self.doubtful:
            return
        for number in range(first, first + sectors):
            self._check_sector(number, data[(number - first) * SECTOR_BYTES :][:SECTOR_BYTES])

    def _check_sector(self, number: int, found: bytes) -> None:
        at = number - self.first
        for version in (self.versions[at], *self.doubtful.pop(number, ())):
            if found == sector(version, number):
                self.versions[at] = version
                return
        says = [_STAMP.unpack_from(found, offset) for offset in (0, SECTOR_BYTES - _STAMP.size)]
        raise WrongDataError(
            f"sector {number} begins and ends with (version, sector) {says}; version {self.versions[at]} is due"
        )


class Worker(threading.Thread):
    """One thread of the load."""

    def __init__(self, verifier: "Verifier", number: int, first: int, sectors: int) -> None:
        super().__init__(name=f"verifier {number}", daemon=True)
        self.verifier = verifier
        self.range = Range(first, sectors)
        self.sectors = sectors
        self.random = random.Random(f"{verifier.seed} {number}")
        self.disk: Disk | None = None
        self.requests = 0
        self.reconnects = 0
        self.longest_s = 0.0
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.verifier.stopping.is_set():
                self.one()
            self.check_all()
        except BaseException as error:  # noqa: BLE001 - the outermost line of a thread: `Verifier.stop` raises it
            self.error = error
        finally:
            if self.disk is not None:
                self.disk.close()

    def one(self) -> None:
        """Do a random request."""
        sectors = min(self.sectors, self.random.choice((1, 8, 8, 8, 128, 200, SECTORS_MAX)))
        first = self.range.first + self.random.randrange(self.sectors - sectors + 1)
        what = self.random.random()
        if what < 0.5:
            self.write(first, sectors, fua=what < 0.05)
        elif what < 0.95:
            self.read(first, sectors)
        else:
            self.until_answered(lambda disk: disk.flush())

    def write(self, first: int, sectors: int, *, fua: bool) -> None:
        def write(disk: Disk) -> None:
            self.range.last_version += 1
            version = self.range.last_version
            data = self.range.content(first, sectors, version)
            try:
                disk.pwrite(data, first * SECTOR_BYTES, fua)
            except OSError:
                self.range.doubt(first, sectors, version)
                raise
            self.range.written(first, sectors, version)

        self.until_answered(write)

    def read(self, first: int, sectors: int) -> None:
        self.until_answered(
            lambda disk: self.range.check(first, disk.pread(sectors * SECTOR_BYTES, first * SECTOR_BYTES))
        )

    def check_all(self) -> None:
        end = self.range.first + self.sectors
        for first in range(self.range.first, end, SECTORS_MAX):
            self.read(first, min(SECTORS_MAX, end - first))

    def until_answered(self, act: Callable[[Disk], None]) -> None:
        """Do it; when the connection is lost meanwhile, connect and do it again."""
        began_s = time.monotonic()
        while True:
            try:
                if self.disk is None:
                    self.disk = open_disk(at=self.verifier.at)
                act(self.disk)
                break
            except OSError as error:
                if not self.may_come_back(error) or time.monotonic() - began_s > COMES_BACK_S:
                    raise
            self.hang_up()
        self.requests += 1
        self.longest_s = max(self.longest_s, time.monotonic() - began_s)

    def may_come_back(self, error: OSError) -> bool:
        """Say whether the disk's process is gone, or not yet there: anything else is an answer."""
        if self.disk is None:
            return isinstance(error, ConnectionError | FileNotFoundError | TimeoutError)
        return isinstance(error, ConnectionError) or error.errno == EBADF

    def hang_up(self) -> None:
        if self.disk is not None:
            self.reconnects += 1
            self.disk.close()
        self.disk = None
        time.sleep(0.01)


class Verifier:
    """The load on the disk whose socket is `at`: from `with` on till the end of its block, which raises what it found.

    `first_sector` and `sectors`: the part of the disk that is its own.
    """

    def __init__(self, at: Path, sectors: int, *, threads: int = 4, seed: object = 0, first_sector: int = 0) -> None:
        self.at = at
        self.seed = seed
        self.stopping = threading.Event()
        each = sectors // threads
        self.workers = [Worker(self, number, first_sector + number * each, each) for number in range(threads)]

    def __enter__(self) -> Self:
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        for worker in self.workers:
            worker.join(2 * COMES_BACK_S)
        if error is None:
            self.check()
            hung = [worker.name for worker in self.workers if worker.is_alive()]
            assert not hung, f"no answer, and no error: {hung}"

    def check(self) -> None:
        """Raise what was found so far."""
        for worker in self.workers:
            if worker.error is not None:
                raise worker.error

    @property
    def requests(self) -> int:
        return sum(worker.requests for worker in self.workers)

    @property
    def reconnects(self) -> int:
        return sum(worker.reconnects for worker in self.workers)

    @property
    def longest_s(self) -> float:
        """The longest that one request took."""
        return max(worker.longest_s for worker in self.workers)
