"""A recorder of drives, and the crash points of what it recorded.

Drives write into one common log. A crash point is a prefix of it. What a drive then holds: every block has its last
stable content or any that was written to it since, each block for itself, by luck: so writes between two syncs come out
in any order, torn at any block. A sync makes stable what the drive was given before, a durable write itself only.
"""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.serverside.faults import MemoryDrive
from tests.serverside.redundancy.rig import BLOCK


@dataclass(frozen=True, slots=True)
class DriveWrite:
    """A drive was given bytes."""

    drive: int
    offset_bytes: int
    data: bytes
    durable: bool


@dataclass(frozen=True, slots=True)
class DriveSync:
    """A drive was synced."""

    drive: int


@dataclass(frozen=True, slots=True)
class Begun:
    """The array was given blocks to write: (block of the array, its content)."""

    blocks: Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Promised:
    """The array acknowledged what makes all that it acknowledged before durable."""


Event = DriveWrite | DriveSync | Begun | Promised


class RecordingDrive(MemoryDrive):
    """A drive in memory that logs what changes it."""

    def __init__(self, content: bytes, number: int, log: list[Event]) -> None:
        super().__init__(content)
        self.number = number
        self.log = log

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        self.log.append(DriveWrite(self.number, offset_bytes, bytes(view), durable))
        self.cached[offset_bytes : offset_bytes + len(view)] = view

    def flush(self) -> None:
        self.log.append(DriveSync(self.number))


class Surface:
    """What may be on a drive."""

    def __init__(self, content: bytes | bytearray) -> None:
        self.stable = bytearray(content)
        self.waiting: dict[int, list[bytes]] = {}
        """Block -> what was written to it since it was stable."""

    def write(self, event: DriveWrite) -> None:
        for at in range(0, len(event.data), BLOCK):
            block, data = (event.offset_bytes + at) // BLOCK, event.data[at : at + BLOCK]
            if event.durable:
                self.waiting.pop(block, None)
                self.stable[block * BLOCK : (block + 1) * BLOCK] = data
            else:
                self.waiting.setdefault(block, []).append(data)

    def sync(self) -> None:
        for block, versions in self.waiting.items():
            self.stable[block * BLOCK : (block + 1) * BLOCK] = versions[-1]
        self.waiting.clear()

    def after_a_crash(self, luck: random.Random) -> bytes:
        content = bytearray(self.stable)
        kept = luck.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        for block, versions in self.waiting.items():
            if luck.random() < kept:
                content[block * BLOCK : (block + 1) * BLOCK] = luck.choice(versions)
        return bytes(content)

    def now(self) -> bytes:
        content = bytearray(self.stable)
        for block, versions in self.waiting.items():
            content[block * BLOCK : (block + 1) * BLOCK] = versions[-1]
        return bytes(content)

    def copy(self) -> "Surface":
        same = Surface(self.stable)
        same.waiting = {block: list(versions) for block, versions in self.waiting.items()}
        return same

    def torn(self, event: DriveWrite) -> "Surface":
        """Give a copy in which the power went in the middle of this write, durable or not."""
        torn = self.copy()
        torn.write(DriveWrite(event.drive, event.offset_bytes, event.data, durable=False))
        return torn


@dataclass(slots=True)
class Point:
    """A crash point: what the drives may hold, and what each block of the array may read as."""

    surfaces: list[Surface]
    allowed: dict[int, list[bytes]]
    torn: bool = False
    """In the middle of a write."""


class Walk:
    """Goes through a log, from what the drives held before it."""

    def __init__(self, contents: Sequence[bytes], allowed: Mapping[int, Sequence[bytes]] | None = None) -> None:
        self.surfaces = [Surface(content) for content in contents]
        self.allowed = {block: list(versions) for block, versions in (allowed or {}).items()}

    def go(self, events: Iterable[Event]) -> None:
        """Go on."""
        for event in events:
            if isinstance(event, DriveWrite):
                self.surfaces[event.drive].write(event)
            elif isinstance(event, DriveSync):
                self.surfaces[event.drive].sync()
            elif isinstance(event, Begun):
                for block, content in event.blocks:
                    self.allowed.setdefault(block, [bytes(BLOCK)]).append(content)
            else:
                for versions in self.allowed.values():
                    del versions[:-1]

    def points(self, events: Iterable[Event]) -> Iterator[Point]:
        """Give the point before each event, one in the middle of each write, and the end; each to be used at once."""
        for event in events:
            yield Point(self.surfaces, self.allowed)
            if isinstance(event, DriveWrite):
                torn = list(self.surfaces)
                torn[event.drive] = torn[event.drive].torn(event)
                yield Point(torn, self.allowed, torn=True)
            self.go([event])
        yield Point(self.surfaces, self.allowed)

    def contents_now(self) -> list[bytes]:
        """Give what reads as long as the power stays on."""
        return [surface.now() for surface in self.surfaces]
