"""Proved by cutting the power at every point of a run, with each drive lost afterwards: the write hole is closed.

After recovery every block reads as it was promised, or as something newer that was written to it: never older, never
anything else. Where no drive is lost, all groups agree. Without the guard the same search finds broken blocks.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from serverside.redundancy import machine, mending, regions
from serverside.redundancy.head import read_label
from serverside.redundancy.superblock import MemberRecord, State, Superblock
from tests.serverside.redundancy.crashes import Begun, Event, Point, Promised, RecordingDrive, Walk
from tests.serverside.redundancy.rig import BLOCK, STRIPE_BYTES, MakeGuard, NoGuard, Rig, superblock


@dataclass(slots=True)
class Count:
    """What was tried."""

    writes: int = 0
    points: int = 0
    recoveries: int = 0
    blocks: int = 0
    broken: int = 0
    mismatches: int = 0


SHARE_OF_SECOND = 0.1


def block_content(stamp: int, block: int) -> bytes:
    return (stamp << 16 | block).to_bytes(8, "little") * (BLOCK // 8)


def run(
    block: Superblock, writes: int, luck: random.Random, guard: MakeGuard | None
) -> tuple[list[bytes], list[Event]]:
    """Do small and large writes, flushes, and what the array does to itself. Give the drives' start, and the log."""
    log: list[Event] = []
    size = block.data_offset_bytes + block.data_bytes
    pool = [RecordingDrive(bytes(size), number, log) for number in range(len(block.members))]
    array = Rig(block, pool, guard)
    array.members.save()
    array.machine.recover()
    start = [bytes(drive.cached) for drive in pool]
    log.clear()
    blocks = array.layout.capacity_bytes // BLOCK
    for stamp in range(1, writes + 1):
        batch = []
        for _ in range(luck.choice((1, 1, 1, 2, 4))):
            first = luck.randrange(blocks)
            batch.append((first, min(luck.choice((1, 1, 1, 2, 3, blocks)), blocks - first)))
        mine = {n: block_content(stamp, n) for first, count in batch for n in range(first, first + count)}
        log.append(Begun(list(mine.items())))
        data = [(first, b"".join(mine[n] for n in range(first, first + count))) for first, count in batch]
        array.machine.write_many([(first * BLOCK, memoryview(each)) for first, each in data])
        if array.machine.guard.durable:
            log.append(Promised())
        if luck.random() < 0.2:
            array.machine.flush()
            log.append(Promised())
        if luck.random() < 0.1:
            first = luck.randrange(blocks)
            count = luck.randrange(1, blocks - first + 1)
            log.append(Begun([(n, bytes(BLOCK)) for n in range(first, first + count)]))
            array.machine.write_zeroes(first * BLOCK, count * BLOCK)
        array.mending.tend()
    return start, log


def start_again(
    contents: Sequence[bytes], lost: int | None, guard: MakeGuard | None = None
) -> tuple[Rig | None, list[Event]]:
    """Start without one of the drives. None: what is there does not make an array any more. Give the log, too."""
    log: list[Event] = []
    pool = [RecordingDrive(content, number, log) for number, content in enumerate(contents)]
    labels = {number: label for number, drive in enumerate(pool) if number != lost and (label := read_label(drive))}
    newest = max((label.superblock for label in labels.values()), key=lambda found: found.events)
    array = Rig(newest, pool, guard)
    gone = {place for place in array.members.present() if place not in labels}
    if not array.layout.survives(array.members.lost() | gone):
        return None, log
    array.members.begin_without(dict.fromkeys(gone, "it is not there"))
    array.machine.recover()
    return array, log


def judge(array: Rig, point: Point, count: Count) -> None:
    content = array.read()
    for block, versions in point.allowed.items():
        count.blocks += 1
        count.broken += content[block * BLOCK : (block + 1) * BLOCK] not in versions


def crash_everywhere(
    block: Superblock, writes: int, seed: int, *, share: float, guard: MakeGuard | None = None, part: int = 0
) -> Count:
    """Try a share of all crash points, each with every drive lost and with none.

    A share of 1/n takes each n-th of them, from number `part` on: n parts are all.
    """
    luck = random.Random(seed)
    count = Count(writes=writes)
    start, log = run(block, writes, luck, guard)
    every = round(1 / share)
    for number, point in enumerate(Walk(start).points(log)):
        if number % every == part:
            count.points += 1
            for lost in (None, *range(len(block.members))):
                array, _ = start_again([surface.after_a_crash(luck) for surface in point.surfaces], lost, guard)
                if array is not None:
                    count.recoveries += 1
                    judge(array, point, count)
                    if lost is None:
                        count.mismatches += array.scrub()
    return count


def crash_again(block: Superblock, writes: int, seed: int, *, share: float, power_stays: bool) -> Count:
    """Cut the power a second time, during the recovery: from a crash, or from the death of the owner alone."""
    luck = random.Random(seed)
    count = Count(writes=writes)
    start, log = run(block, writes, luck, None)
    losses = (None, *range(len(block.members)))
    for point in Walk(start).points(log):
        # Of deaths of the owner alone those count that leave a write in the kernel's memory, not yet on the drive.
        if luck.random() >= share or (power_stays and not point.torn):
            continue
        if power_stays:
            walk = Walk(start)
            walk.surfaces, walk.allowed = [surface.copy() for surface in point.surfaces], point.allowed
        else:
            walk = Walk([surface.after_a_crash(luck) for surface in point.surfaces], point.allowed)
        _, again = start_again(walk.contents_now(), luck.choice(losses))
        for second in walk.points(again):
            if luck.random() < SHARE_OF_SECOND:
                count.points += 1
                contents = [surface.after_a_crash(luck) for surface in second.surfaces]
                array, _ = start_again(contents, luck.choice(losses))
                if array is not None:
                    count.recoveries += 1
                    judge(array, second, count)
    return count


def one_out(block: Superblock, place: int) -> Superblock:
    members = list(block.members)
    members[place] = replace(members[place], state=State.OUT)
    return replace(block, members=tuple(members))


def one_rebuilding(block: Superblock, place: int) -> Superblock:
    members = list(block.members)
    members[place] = MemberRecord(members[place].drive, State.REBUILDING)
    return replace(block, members=tuple(members))


def small(level: str, places: int) -> Superblock:
    return superblock(level, places, 4, journal_bytes=12288)


def worlds() -> Iterator[tuple[str, Superblock]]:
    yield "raid5", small("raid5", 4)
    yield "raid10", small("raid10", 4)
    yield "raid5, one out", one_out(small("raid5", 4), 1)
    yield "raid10, one out", one_out(small("raid10", 4), 1)
    yield "raid5, one rebuilding", one_rebuilding(superblock("raid5", 4, 16, journal_bytes=12288), 2)
    yield "raid10, one rebuilding", one_rebuilding(superblock("raid10", 4, 10), 2)


WORLDS = dict(worlds())


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rebuild takes many steps, and is remembered now and then; whole rows are made zero as such."""
    monkeypatch.setattr(machine, "ZERO_BYTES_MIN", 1)
    monkeypatch.setattr(regions, "REGION_BYTES", 2 * STRIPE_BYTES)
    monkeypatch.setattr(mending, "STEP_BYTES", 1)
    monkeypatch.setattr(mending, "SAVE_BYTES", 3 * STRIPE_BYTES)


@pytest.mark.parametrize("name", WORLDS)
def test_no_crash_breaks_a_promise(name: str) -> None:
    count = crash_everywhere(WORLDS[name], 40, 1, share=0.05)
    print(f"{name}: {count}")
    assert count.recoveries > 20
    assert count.broken == count.mismatches == 0


@pytest.mark.parametrize("power_stays", [False, True])
@pytest.mark.parametrize("name", [name for name in WORLDS if "out" not in name])
def test_no_crash_during_a_recovery_does(name: str, power_stays: bool) -> None:
    count = crash_again(WORLDS[name], 30, 2, share=0.12 if power_stays else 0.04, power_stays=power_stays)
    print(f"{name}, {'owner' if power_stays else 'power'} first: {count}")
    assert count.recoveries > 20
    assert count.broken == 0


def test_without_the_journal_blocks_are_invented() -> None:
    assert crash_everywhere(WORLDS["raid5"], 30, 1, share=0.05, guard=NoGuard).broken > 0


def test_without_its_regions_the_copies_of_raid10_differ() -> None:
    count = crash_everywhere(WORLDS["raid10"], 30, 1, share=0.08, guard=NoGuard)
    assert count.mismatches > 0


PARTS = 8


@pytest.mark.soak
@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("name", WORLDS)
def test_no_crash_breaks_a_promise_in_a_long_run(name: str, part: int) -> None:
    """All points of a run of 2,000 batches, in parts, so that several machines or evenings may share them."""
    count = crash_everywhere(WORLDS[name], 2000, 3, share=1 / PARTS, part=part)
    print(f"{name}, part {part} of {PARTS}: {count}")
    assert count.broken == count.mismatches == 0


@pytest.mark.soak
@pytest.mark.parametrize("power_stays", [False, True])
@pytest.mark.parametrize("name", WORLDS)
def test_no_crash_during_a_recovery_does_in_a_long_run(name: str, power_stays: bool) -> None:
    count = crash_again(WORLDS[name], 300, 4, share=0.5, power_stays=power_stays)
    print(f"{name}, {'owner' if power_stays else 'power'} first: {count}")
    assert count.broken == 0
