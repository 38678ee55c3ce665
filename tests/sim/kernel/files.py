"""Files on drives with a volatile cache: what is written is seen by everybody at once, and durable only after a sync.

When the power goes, of each sector one of the versions written since it was last made durable is found, or the durable
one: so writes are lost, come in another order, and are torn at sector borders. A sync makes durable what was written
before it began. A sync that fails has lost for good what it was to write, and says so once (docs: drives/base.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from errno import EIO
from typing import Any

from tests.sim.kernel.kernel import Description, Kernel

SECTOR_BYTES = 512


@dataclass(slots=True)
class Trouble:
    """How a file fails next; each number counts down, and 0 is where it strikes."""

    write_errno: int = 0
    writes_till: int = -1
    read_till: int = -1
    sync_till: int = -1


@dataclass(slots=True, eq=False)
class File:
    """One file. `content` is what a read gives, `durable` what is certain to be found after a loss of power."""

    name: str
    content: bytearray
    durable: bytearray = field(init=False)
    volatile: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    """Sector -> (number of the write, bytes) since it was last made durable."""
    writes: int = 0
    trouble: Trouble = field(default_factory=Trouble)
    lost: set[int] = field(default_factory=set)
    """Sectors that a failed sync has lost, till they are written again."""
    errors: int = 0
    """Failed syncs so far."""
    told: int = 0
    """How many of them some process has been told of."""
    marks: dict[int, int] = field(default_factory=dict)
    """Process -> how many of them it has seen, or that were before its time."""
    on_write: Callable[[int, int], None] = lambda offset_bytes, length_bytes: None
    is_slow: bool = False
    hangs_s: float = 0.0
    """The next call takes so long."""

    def __post_init__(self) -> None:
        self.durable = bytearray(self.content)

    def write(self, data: bytes | memoryview, offset_bytes: int, *, durable: bool) -> None:
        """Write bytes; sectors that are written in part are whole sectors here, with the rest as it was."""
        end = offset_bytes + len(data)
        if end > len(self.content):
            self.grow(end)
        self.on_write(offset_bytes, len(data))
        self.content[offset_bytes:end] = data
        self.writes += 1
        for at in range(offset_bytes // SECTOR_BYTES * SECTOR_BYTES, end, SECTOR_BYTES):
            sector = at // SECTOR_BYTES
            self.lost.discard(sector)
            if durable:
                self.volatile.pop(sector, None)
                self.durable[at : at + SECTOR_BYTES] = self.content[at : at + SECTOR_BYTES]
            else:
                version = (self.writes, bytes(self.content[at : at + SECTOR_BYTES]))
                self.volatile.setdefault(sector, []).append(version)

    def grow(self, size_bytes: int) -> None:
        more = bytes(size_bytes - len(self.content))
        self.content += more
        self.durable += more

    def make_durable(self, number: int) -> None:
        """What was written up to write `number` is on stable storage."""
        for sector in list(self.volatile):
            versions = self.volatile[sector]
            done = [data for write, data in versions if write <= number]
            if done:
                at = sector * SECTOR_BYTES
                self.durable[at : at + SECTOR_BYTES] = done[-1]
                rest = [version for version in versions if version[0] > number]
                if rest:
                    self.volatile[sector] = rest
                else:
                    del self.volatile[sector]

    def lose(self) -> None:
        """A sync failed: the pages are marked clean, and what they held will never be written."""
        self.lost.update(self.volatile)
        self.volatile.clear()
        self.errors += 1

    def lose_power(self, kernel: Kernel) -> None:
        """Only the drive's own content is left."""
        chance = kernel.chance
        luck = chance.choice((0.0, 0.5, 0.9, 1.0))
        for sector, versions in self.volatile.items():
            if chance.random() < luck:
                at = sector * SECTOR_BYTES
                self.durable[at : at + SECTOR_BYTES] = chance.choice(versions)[1]
        self.volatile.clear()
        self.lost.clear()
        self.content = bytearray(self.durable)
        self.errors = self.told = 0
        self.marks.clear()

    # -- what fails ----------------------------------------------------------------------------------------------

    def strikes(self, what: str) -> bool:
        left = getattr(self.trouble, what)
        setattr(self.trouble, what, left - 1)
        return bool(left == 0)

    def unreported(self, pid: int) -> bool:
        """Whether the process has not seen the last failed sync; from now on it has."""
        unseen = self.marks.get(pid, 0) < self.errors
        self.marks[pid] = self.errors
        if unseen:
            self.told = self.errors
        return unseen

    def opened_by(self, pid: int) -> None:
        """A fresh open description knows what nobody was told, and nothing older."""
        self.marks[pid] = self.told


class OpenFile(Description):
    """An open file description. The lock, where it is taken, goes with the last descriptor."""

    def __init__(self, file: File, holders: dict[File, "OpenFile"]) -> None:
        super().__init__()
        self.file = file
        self.holders = holders

    def lock(self) -> bool:
        return self.holders.setdefault(self.file, self) is self

    def released(self) -> None:
        if self.holders.get(self.file) is self:
            del self.holders[self.file]


class Disks:
    """The files of one machine, by path."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.files: dict[str, File] = {}
        self.locks: dict[File, OpenFile] = {}
        self.texts: dict[str, bytes] = {}
        """Small files that are only ever replaced whole, and durably (`write_atomically`)."""

        self.memories: dict[str, tuple[Any, ...]] = {}
        """Mapped files by path: what they belong to, and their bytes."""
        self.boot = 1

    def lose_power(self) -> None:
        self.boot += 1
        self.memories.clear()
        for file in self.files.values():
            file.lose_power(self.kernel)
        self.locks.clear()

    def read(self, file: File, offset_bytes: int, count: int) -> bytes:
        if file.strikes("read_till"):
            raise OSError(EIO, "Input/output error")
        return bytes(file.content[offset_bytes : offset_bytes + count])

    def write(self, file: File, data: bytes | memoryview, offset_bytes: int, *, durable: bool) -> int:
        """pwritev(2): it takes its time, in pieces; who is killed meanwhile dies between two of them, or behind."""
        kernel, chance = self.kernel, self.kernel.chance
        process = kernel.current
        assert process is not None
        if file.strikes("writes_till"):
            raise OSError(file.trouble.write_errno, "planned trouble")
        cut = len(data)
        if cut > SECTOR_BYTES and chance.random() < 0.2:
            cut = chance.randrange(SECTOR_BYTES, cut, SECTOR_BYTES)
        self.work(file, 5000)
        file.write(data[:cut], offset_bytes, durable=durable)
        if cut < len(data) and not process.death_is_due:
            self.work(file, 5000)
            file.write(data[cut:], offset_bytes + cut, durable=durable)
        kernel.leave()
        return len(data)

    def sync(self, file: File) -> None:
        """fdatasync(2)."""
        process = self.kernel.current
        assert process is not None
        number = file.writes
        self.work(file, 1000)
        if file.strikes("sync_till"):
            file.lose()
        else:
            file.make_durable(number)
        self.kernel.leave()
        if file.unreported(process.pid):
            raise OSError(EIO, "Input/output error")

    def work(self, file: File, rate: float) -> None:
        """Time passes at the drive; now and then much of it."""
        chance = self.kernel.chance
        if file.hangs_s:
            hangs_s, file.hangs_s = file.hangs_s, 0.0
            self.kernel.sleep(hangs_s, held=True)
        if file.is_slow or chance.random() < 0.02:
            rate /= chance.choice((10, 100, 1000))
        if file.is_slow or chance.random() < 0.3:
            self.kernel.sleep(chance.expovariate(rate), held=True)
