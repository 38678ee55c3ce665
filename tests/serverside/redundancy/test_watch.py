"""Proved: real counters are judged, and a slow drive's place is withheld, put out with its reason, or kept."""

import pytest

from serverside.redundancy import mending
from serverside.redundancy.slowness import WINDOW_S, Judge
from serverside.redundancy.superblock import State
from serverside.redundancy.watch import Watch
from tests.serverside.redundancy.rig import BLOCK, FaultyDrive, Rig, patterned, superblock

MS = 10**6


class Clock:
    """Goes on when a drive works, and when told to."""

    def __init__(self) -> None:
        self.ns = 0

    def __call__(self) -> int:
        return self.ns


class TimedDrive(FaultyDrive):
    """Takes `ms` for each read, durable write and sync; a write into memory costs nothing."""

    def __init__(self, content: bytes, clock: Clock) -> None:
        super().__init__(content)
        self.clock = clock
        self.ms = 1.0

    def read_into(self, view: memoryview, offset_bytes: int) -> None:
        self.clock.ns += round(self.ms * MS)
        super().read_into(view, offset_bytes)

    def write_from(self, view: memoryview, offset_bytes: int, durable: bool = False) -> None:
        self.clock.ns += round(self.ms * MS) if durable else 0
        super().write_from(view, offset_bytes, durable)


class Scene:
    """A raid5 in use; a spare, perhaps."""

    def __init__(self, spares: int) -> None:
        self.clock = Clock()
        block = superblock("raid5", 4, 12)
        size = block.data_offset_bytes + block.data_bytes
        self.drives = [TimedDrive(bytes(size), self.clock) for _ in range(4 + spares)]
        self.array = Rig(block, self.drives)
        self.array.members.clock_ns = self.clock
        self.watch = Watch(self.array.members, Judge())
        self.blocks = self.array.layout.capacity_bytes // BLOCK

    def windows(self, count: int) -> None:
        """Small writes all over the array, with a look after each, for so many windows."""
        until_ns = self.clock.ns + count * WINDOW_S * 10**9
        number = 0
        while self.clock.ns < until_ns:
            number += 7
            self.array.write(number % self.blocks * BLOCK, patterned(BLOCK, number))
            self.clock.ns += 20 * MS
            self.watch.look()

    def until_withheld(self) -> None:
        for _ in range(8):
            if self.array.members.withheld is None:
                self.windows(1)
        assert self.array.members.withheld is not None

    @property
    def withheld(self) -> bool:
        return self.array.members.withheld is not None

    @property
    def states(self) -> list[State]:
        return [member.state for member in self.array.members.members]


@pytest.mark.parametrize(("ms", "spares"), [(250, 1), (2000, 0)])
def test_a_slow_drive_goes_on_trial_and_is_put_out_with_its_reason(ms: float, spares: int) -> None:
    scene = Scene(spares)
    board = scene.array.board
    scene.windows(2)
    scene.drives[2].ms = ms
    assert board.readable(2) == 2
    scene.until_withheld()
    assert scene.array.members.withheld == 2
    assert board.readable(2) is None  # only the owner reads it now
    assert board.readable(1) == 1
    assert board.rows[2].get("slow_s") >= 30
    assert "place 2 is slow" in scene.array.said[-1]
    scene.windows(9)
    assert [place for place, state in enumerate(scene.states) if state == State.OUT] == [2]
    assert board.why(2).startswith(f"it is slow: {ms} ms for a read, the others 1.0 ms, for ")
    assert int(board.why(2).split()[-2]) >= 60
    scene.watch.look()
    assert not scene.withheld
    scene.array.tend_all()
    assert scene.states == [State.IN] * 4 if spares else scene.states[2] == State.OUT


def test_a_drive_that_is_quick_when_the_owner_alone_reads_it_stays() -> None:
    scene = Scene(1)
    scene.drives[1].ms = 250
    scene.until_withheld()
    scene.drives[1].ms = 1  # what made it slow was the queue of the others' reads
    scene.windows(2)
    assert scene.array.members.withheld is None
    assert scene.array.board.readable(1) == 1
    assert scene.array.board.rows[1].get("slow_s") == 0
    assert "place 1 is not slow any more, and stays" in scene.array.said[-1]
    scene.windows(3)
    assert scene.states == [State.IN] * 4


def test_all_slow_together_is_nobodys_fault() -> None:
    scene = Scene(1)
    for drive in scene.drives:
        drive.ms = 300
    scene.windows(20)
    assert scene.states == [State.IN] * 4
    assert scene.array.members.withheld is None


def test_nobody_is_judged_while_a_place_is_rebuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mending, "STEP_BYTES", 1)
    scene = Scene(2)
    scene.drives[1].ms = 250
    scene.until_withheld()
    scene.array.members.put_out(3, "test")
    for _ in range(11):  # of 12 rows: it has its part of the load
        scene.array.mending.tend()
    scene.windows(10)
    assert scene.states == [State.IN, State.IN, State.IN, State.REBUILDING]
    assert scene.array.members.withheld is None
    assert scene.array.board.rows[1].get("slow_s") == 0
