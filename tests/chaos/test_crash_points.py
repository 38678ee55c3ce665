"""The power goes at any moment: from what the drives may hold then, ext4 and xfs come back with all that was synced.

File work goes through the whole chain, and what reaches the drives is put down (recorder.py). Then, for moments of that
log and several fates of what was not flushed then (crashes.py), the array's content is made, mounted (which replays the
journal), compared with what fsync had promised by then, and checked by the file system's own program.
"""

import hashlib
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.chaos import recorder as recorder_module
from tests.chaos.crashes import Fate, Images, Layout, Moment, fates, moments, without_flushes
from tests.chaos.recorder import STATEMENT, Record, Recorder, records
from tests.harness import Machine, spawn_world
from tests.harness.file_systems import check_file_system, mounted
from tests.programs import needs, run

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts and loop devices need root"),
    pytest.mark.skipif(not Path("/dev/fuse").exists(), reason="this kernel has no FUSE"),
    needs("mkfs.ext4"),
    needs("mkfs.xfs"),
]

MIB = 1 << 20
STRIPE_BYTES = 64 << 10


@dataclass(frozen=True)
class Kind:
    """A file system: how it is made and checked, on how large a disk, and how many states a short run looks at."""

    name: str
    size_bytes: int
    make: tuple[str, ...]
    states: int
    seeds: int
    """In a long run, which looks at all states of so many works."""


EXT4 = Kind(
    "ext4",
    32 * MIB,
    ("mkfs.ext4", "-q", "-J", "size=4", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
    50,
    3,
)
XFS = Kind("xfs", 300 * MIB, ("mkfs.xfs", "-q", "-K"), 12, 1)


# -- the work, and what it is promised -------------------------------------------------------------------------------


class Work:
    """File work that syncs, and says in the log what it then relies on: name -> digests of which one must be there."""

    def __init__(self, folder: Path, recorder: Recorder, luck: random.Random) -> None:
        self.folder = folder
        self.recorder = recorder
        self.luck = luck
        self.digests: dict[str, str] = {}

    def do(self, rounds: int) -> None:
        for number in range(rounds):
            self.make_noise(number)
            self.write_file(f"file{number}")
            if number % 2:
                self.replace_file(f"file{self.luck.randrange(number)}")
            else:
                self.overwrite(f"file{self.luck.randrange(number + 1)}")

    def make_noise(self, number: int) -> None:
        """Nobody relies on this: it is written back when the kernel likes."""
        folder = self.folder / f"noise{number}"
        folder.mkdir()
        for name in range(self.luck.randrange(6)):
            (folder / str(name)).write_bytes(self.luck.randbytes(self.luck.randrange(30_000)))
        if number > 2 and self.luck.random() < 0.5:
            subprocess.run(["rm", "-r", self.folder / f"noise{number - 2}"], check=True)

    def write_file(self, name: str) -> None:
        data = self.luck.randbytes(self.luck.choice((10, 4096, 50_000, 200_000)))
        self.write_synced(self.folder / name, data)
        self.sync_folder()
        self.promise(name, data)

    def replace_file(self, name: str) -> None:
        """Write, sync, rename: at each moment the old one or the new one is there."""
        data = self.luck.randbytes(self.luck.randrange(100_000))
        self.write_synced(self.folder / "new", data)
        self.recorder.state({name: [self.digests[name], digest(data)]})
        os.rename(self.folder / "new", self.folder / name)
        self.sync_folder()
        self.promise(name, data)

    def overwrite(self, name: str) -> None:
        """In place: until it is synced, anything between the two may be there."""
        self.recorder.state({name: None})
        with open(self.folder / name, "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(self.luck.randrange(size + 1))
            file.write(self.luck.randbytes(self.luck.randrange(20_000)))
            file.flush()
            os.fdatasync(file.fileno())
        self.promise(name, (self.folder / name).read_bytes())

    def write_synced(self, path: Path, data: bytes) -> None:
        with open(path, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def sync_folder(self) -> None:
        fd = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def promise(self, name: str, data: bytes) -> None:
        self.digests[name] = digest(data)
        self.recorder.state({name: [self.digests[name]]})


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def record(kind: Kind, folder: Path, rounds: int, seed: int) -> tuple[list[Record], Layout]:
    """Do the work on a new file system over the whole chain, on two drives; give what reached them."""
    log = folder / "log"
    drives: list[Path] = []

    def prepare(machine: Machine) -> None:
        machine.program = [str(Path(recorder_module.__file__)), str(log)]
        drives.extend(machine.folder / f"drive{number}.img" for number in range(2))

    units = {"unit_1": kind.size_bytes >> 9}
    with spawn_world(units=units, show="loop", level="raid0", drives=2, prepare=prepare) as world:
        device = world.at("unit_1")
        run(*kind.make, str(device))
        with mounted(device) as at:
            recorder = Recorder(log)
            recorder.state({"": "the file system is there"})
            Work(at, recorder, random.Random(seed)).do(rounds)
            os.sync()
        inodes = [drive.stat().st_ino & 0xFFFFFFFF for drive in drives]
        world.machine.stop()
    return list(records(log)), Layout(inodes, STRIPE_BYTES, kind.size_bytes)


# -- the replay ------------------------------------------------------------------------------------------------------


class BrokenPromiseError(AssertionError):
    """A file system did not come back as it must."""


def states(log: Sequence[Record], luck: random.Random, count: int | None) -> Iterator[tuple[Moment, Fate]]:
    """Give moments from the first statement on with fates of their caches: all, or `count` of them in their order."""
    first = next(index for index, entry in enumerate(log) if entry.kind == STATEMENT)
    # A statement changes what must be there, not what is there: look right behind them too.
    all_of_them = [
        (moment, fate) for moment in moments(log) if moment.at >= first for fate in fates(moment, log, luck, 2)
    ]
    if count is not None and count < len(all_of_them):
        chosen = sorted(luck.sample(range(len(all_of_them)), count))
        all_of_them = [all_of_them[index] for index in chosen]
    return iter(all_of_them)


def replay(
    kind: Kind, log: Sequence[Record], layout: Layout, folder: Path, *, seed: int, count: int | None = None
) -> int:
    """Make the states and check each; give how many. BrokenPromiseError: one is not as it must be."""
    images = Images(folder, log, layout)
    checked = 0
    for moment, fate in states(log, random.Random(seed), count):
        image = images.make(moment, fate)
        try:
            check(kind, image, moment)
        except AssertionError as error:
            kept = f"{len(fate.kept)} of {len(moment.cached)} cached writes"
            raise BrokenPromiseError(f"{kind.name}, record {moment.at} of {len(log)}, {kept}: {error}") from error
        checked += 1
    return checked


def check(kind: Kind, image: Path, moment: Moment) -> None:
    with mounted(image) as folder:
        for name, digests in moment.promises.items():
            if name and not (folder / name).exists():
                raise BrokenPromiseError(f"{name} is gone")
            if name and digests is not None and digest((folder / name).read_bytes()) not in digests:
                raise BrokenPromiseError(f"{name} is not what was synced")
    check_file_system(kind.name, image)


def told(kind: Kind, log: Sequence[Record], checked: int) -> str:
    promises = sum(entry.kind == STATEMENT for entry in log)
    return f"{kind.name}: {checked} crash states of {len(log)} records ({promises} statements) come back whole"


Recorded = tuple[list[Record], Layout]


@pytest.fixture(scope="module")
def ext4_log(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return record(EXT4, tmp_path_factory.mktemp("ext4"), 8, seed=1)


def test_what_was_synced_is_there_after_any_crash_of_ext4(ext4_log: Recorded, tmp_path: Path) -> None:
    log, layout = ext4_log
    print(told(EXT4, log, replay(EXT4, log, layout, tmp_path, seed=1, count=EXT4.states)))


def test_what_was_synced_is_there_after_any_crash_of_xfs(tmp_path: Path) -> None:
    log, layout = record(XFS, tmp_path, 8, seed=1)
    print(told(XFS, log, replay(XFS, log, layout, tmp_path, seed=1, count=XFS.states)))


def test_a_flush_that_does_nothing_is_found(ext4_log: Recorded, tmp_path: Path) -> None:
    """The test of the test: the same work, and a server that answers FLUSH without doing it."""
    log, layout = ext4_log
    with pytest.raises(BrokenPromiseError):
        replay(EXT4, without_flushes(log), layout, tmp_path, seed=1, count=EXT4.states)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", [EXT4, XFS], ids=lambda kind: kind.name)
def test_every_crash_point(kind: Kind, tmp_path: Path) -> None:
    for seed in range(kind.seeds):
        folder = tmp_path / str(seed)
        folder.mkdir()
        log, layout = record(kind, folder, 12, seed)
        print(told(kind, log, replay(kind, log, layout, folder, seed=seed)))
