"""Small redundant arrays in memory, for the tests of this folder."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from serverside.arrays.groups import Layout
from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10
from serverside.drives.base import Drive, DriveError
from serverside.redundancy.board import Board
from serverside.redundancy.guard import Change, Guard
from serverside.redundancy.journal import Journal
from serverside.redundancy.machine import Machine
from serverside.redundancy.members import Member, Members, Spare
from serverside.redundancy.mending import Mending
from serverside.redundancy.regions import Regions
from serverside.redundancy.superblock import JOURNAL_AT_BYTES, MemberRecord, State, Superblock
from tests.serverside.faults import MemoryDrive

STRIPE_BYTES = 1024
BLOCK = 512
LAYOUTS: dict[str, type[Layout]] = {"raid5": Raid5, "raid10": Raid10}
MakeGuard = Callable[[Members], Guard]
GUARDS: dict[str, MakeGuard] = {"raid5": Journal, "raid10": Regions}


class NoGuard(Guard):
    """A guard that guards nothing: what the tests must find."""

    durable = False

    def __init__(self, members: Members) -> None:
        self.members = members

    def fits(self, changes: Sequence[Change]) -> bool:
        del changes
        return True

    def prepare(self, changes: Sequence[Change]) -> None:
        del changes

    def recover(self) -> int:
        return 0

    def settle(self) -> None:
        self.members.flush()


class FaultyDrive(MemoryDrive):
    """A drive with blocks that can't be read until they are written again, and that can stop writing."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.bad: set[int] = set()
        self.dead = False
        self.reads = 0
        self.operations = 0
        self.dies_at: int | None = None
        """The operation at which it dies."""

    def operate(self, what: str) -> None:
        self.operations += 1
        self.dead = self.dead or self.operations == self.dies_at
        if self.dead:
            raise DriveError(5, f"{self.name} can't {what}: it is dead")

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        self.reads += 1
        self.operate("read")
        if self.bad & blocks_of(offset_bytes, len(view)):
            raise DriveError(5, f"{self.name} can't read")
        super().read_into(view, offset_bytes)

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        self.operate("write")
        self.bad -= blocks_of(offset_bytes, len(view))
        super().write_from(view, offset_bytes, durable)

    def flush(self) -> None:
        self.operate("sync")
        super().flush()


def blocks_of(offset_bytes: int, length_bytes: int) -> set[int]:
    return set(range(offset_bytes // BLOCK, -(-(offset_bytes + length_bytes) // BLOCK)))


def superblock(
    level: str, places: int, rows: int, *, journal_bytes: int = 16384, stripe: int = STRIPE_BYTES
) -> Superblock:
    members = tuple(MemberRecord(UUID(int=100 + place), State.IN) for place in range(places))
    offset = JOURNAL_AT_BYTES + journal_bytes
    return Superblock(UUID(int=1), "unit0", level, stripe, offset, rows * stripe, members)


class Rig:
    """An array over `pool`, of which the first drives have the places and the others are spares."""

    def __init__(self, block: Superblock, pool: Sequence[Drive], guard: MakeGuard | None = None) -> None:
        self.said: list[str] = []
        self.pool = pool
        self.layout = LAYOUTS[block.level](len(block.members), block.stripe_bytes, block.data_bytes)
        members = [Member(p, m.drive, m.state, m.rows_done, m.rows_done) for p, m in enumerate(block.members)]
        spares = [Spare(index, UUID(int=200 + index)) for index in range(len(members), len(pool))]
        self.board = Board(len(members))
        self.members = Members(self.layout, block, pool, members, spares, self.board, self.said.append)
        self.machine = Machine(self.members, (guard or GUARDS[block.level])(self.members))
        self.mending = Mending(self.machine)
        self.members.open_to_readers()

    def read(self, offset_bytes: int = 0, length_bytes: int | None = None) -> bytes:
        content = bytearray(self.layout.capacity_bytes if length_bytes is None else length_bytes)
        self.machine.read_into(memoryview(content), offset_bytes)
        return bytes(content)

    def write(self, offset_bytes: int, data: bytes) -> None:
        self.machine.write_many([(offset_bytes, memoryview(data))])

    def tend_all(self) -> None:
        while self.mending.tend():
            pass

    def scrub(self) -> int:
        """Give how many groups did not agree."""
        self.mending.begin_scrub()
        self.tend_all()
        return self.board.totals.get("mismatches")


def rig(
    level: str,
    places: int = 4,
    *,
    rows: int = 6,
    spares: int = 0,
    out: Sequence[int] = (),
    rebuilding: dict[int, int] | None = None,
    journal_bytes: int = 16384,
) -> Rig:
    """An array of drives that are all zero; some places out, or rebuilt so far."""
    block = superblock(level, places, rows, journal_bytes=journal_bytes)
    members = list(block.members)
    for place in out:
        members[place] = replace(members[place], state=State.OUT)
    for place, done in (rebuilding or {}).items():
        members[place] = replace(members[place], state=State.REBUILDING, rows_done=done)
    block = replace(block, members=tuple(members))
    size = block.data_offset_bytes + block.data_bytes
    return Rig(block, [FaultyDrive(bytes(size)) for _ in range(places + spares)])


def faulty(drive: Drive) -> FaultyDrive:
    assert isinstance(drive, FaultyDrive)
    return drive


def patterned(length_bytes: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(length_bytes)
