"""What a machine may find on its drives after the power went, computed from what was written and flushed until then.

At a moment (so many records of a log) each drive holds, for certain, what is durable: writes with a flush of that drive
behind them that had ended, and those that were durable by themselves. Of the writes that are not, any may be there and
any not, in any combination, and of one of many sectors any sectors: drives keep caches and write back as they like. Two
writes of one sector stay in their order.
"""

import json
import os
import random
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serverside.drives.fallocate import PUNCH_HOLE, fallocate
from tests.chaos.recorder import BEGIN, END, STATEMENT, WRITE, Record

SECTOR_BYTES = 512


@dataclass(frozen=True)
class Moment:
    """A moment of a log: the writes on stable storage, and those that may be there or not, by their index."""

    at: int
    durable: frozenset[int]
    cached: tuple[int, ...]
    promises: dict[str, Any]
    """The newest STATEMENT about each thing."""


def moments(log: Sequence[Record]) -> Iterator[Moment]:
    """Give the moment after each record."""
    durable: set[int] = set()
    cached: list[int] = []
    begun: dict[tuple[int, int], frozenset[int]] = {}
    promises: dict[str, Any] = {}
    for index, record in enumerate(log):
        flush = (record.process, record.drive)
        if record.kind == WRITE:
            if record.durable:
                durable.add(index)
            else:
                cached.append(index)
        elif record.kind == BEGIN:
            begun[flush] = frozenset(i for i in cached if log[i].drive == record.drive)
        elif record.kind == END:
            covered = begun.pop(flush)
            durable |= covered
            cached = [i for i in cached if i not in covered]
        elif record.kind == STATEMENT:
            promises.update(json.loads(record.data))
        yield Moment(index, frozenset(durable), tuple(cached), dict(promises))


def without_flushes(log: Sequence[Record]) -> list[Record]:
    """Give the log of a server whose flush does nothing, and whose durable writes are like any other."""
    return [record._replace(durable=False) for record in log if record.kind not in (BEGIN, END)]


@dataclass(frozen=True)
class Fate:
    """What became of the cache of a moment: of each cached write the sectors that are there (None: all of them)."""

    kept: tuple[tuple[int, tuple[int, ...] | None], ...]


def fates(moment: Moment, log: Sequence[Record], luck: random.Random, count: int) -> list[Fate]:
    """Give all kept (the prefix), nothing kept, and `count` by chance."""
    all_kept = Fate(tuple((index, None) for index in moment.cached))
    if not moment.cached:
        return [all_kept]
    return [all_kept, Fate(()), *(_by_chance(moment, log, luck) for _ in range(count))]


def _by_chance(moment: Moment, log: Sequence[Record], luck: random.Random) -> Fate:
    """Keep some, tear some, and lose the rest; mostly much of it, or mostly little."""
    keep = luck.random()
    kept: list[tuple[int, tuple[int, ...] | None]] = []
    for index in moment.cached:
        if luck.random() < keep:
            sectors = log[index].length_bytes // SECTOR_BYTES
            torn = luck.random() < 0.2 and sectors > 1
            kept.append((index, tuple(s for s in range(sectors) if luck.random() < 0.5) if torn else None))
    return Fate(tuple(kept))


@dataclass(frozen=True)
class Layout:
    """How the drives of a log make one array: striped, in the order given (one drive is an array of one)."""

    drives: Sequence[int]
    stripe_bytes: int
    size_bytes: int

    def pieces(self, drive: int, offset_bytes: int, length_bytes: int) -> Iterator[tuple[int, int, int]]:
        """Give (offset in the array, offset in the range, length) of a range of a drive."""
        number, done = self.drives.index(drive), 0
        while done < length_bytes:
            stripe, inside = divmod(offset_bytes + done, self.stripe_bytes)
            length = min(self.stripe_bytes - inside, length_bytes - done)
            yield (stripe * len(self.drives) + number) * self.stripe_bytes + inside, done, length
            done += length


class Images:
    """Makes the array's content after a fate, as a file. Moments must come in their order."""

    def __init__(self, folder: Path, log: Sequence[Record], layout: Layout) -> None:
        self.log = log
        self.layout = layout
        self.base = folder / "base.img"
        self.image = folder / "crashed.img"
        self.settled = 0
        """All writes before this record are in `base`, and durable."""
        with open(self.base, "wb") as file:
            file.truncate(layout.size_bytes)

    def make(self, moment: Moment, fate: Fate) -> Path:
        """Give the file; it is the caller's till the next call."""
        self._settle(min(moment.cached, default=moment.at + 1), moment)
        subprocess.run(["cp", "--sparse=always", self.base, self.image], check=True)
        kept = dict(fate.kept) | {index: None for index in moment.durable if index >= self.settled}
        with open(self.image, "r+b") as file:
            for index in sorted(kept):
                self._apply(file.fileno(), self.log[index], kept[index])
        return self.image

    def _settle(self, end: int, moment: Moment) -> None:
        with open(self.base, "r+b") as file:
            for index in range(self.settled, end):
                if self.log[index].kind == WRITE:
                    assert index in moment.durable
                    self._apply(file.fileno(), self.log[index], None)
        self.settled = max(self.settled, end)

    def _apply(self, fd: int, record: Record, sectors: tuple[int, ...] | None) -> None:
        if sectors is None:
            self._put(fd, record, 0, record.length_bytes)
        for sector in sectors or ():
            self._put(fd, record, sector * SECTOR_BYTES, SECTOR_BYTES)

    def _put(self, fd: int, record: Record, start_bytes: int, length_bytes: int) -> None:
        for at, done, length in self.layout.pieces(record.drive, record.offset_bytes + start_bytes, length_bytes):
            inside = min(length, self.layout.size_bytes - at)
            if inside <= 0:
                continue
            first = start_bytes + done
            if record.data:
                os.pwrite(fd, record.data[first : first + inside], at)
            else:
                fallocate(fd, PUNCH_HOLE, at, inside)
