"""Bugs to plant, one at a time: the test of the tests. Each breaks one promise of the product in the way that the list
of traps (docs/traps.md) warns of, and is to be found by living on.
"""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

import protocol.v2.data
import serverside.partitions.zero_map
from hostside.agent import Agent
from hostside.driver.driver import HostDriver
from hostside.driver.flushes import Flushes
from hostside.driver.ranges import RangeLock
from hostside.driver.request import Request
from hostside.link import ServerLink
from hostside.packets import COMMAND
from hostside.paths import Path, PathEvent, PathState, PathTable
from protocol.data_base import UnitLimits, check_range
from serverside.arrays.base import Array
from serverside.burials import Burials
from serverside.drives.base import Drive
from serverside.drives.health import DriveHealth
from serverside.identity import Identity
from serverside.partitions.zero_file import ZeroImage
from serverside.partitions.zero_map import ZeroMap
from serverside.sessions import Srw
from serverside.srw import ServerReaderWriter
from serverside.srws import Srws
from tests.sim.kernel.files import OpenFile

Plant = Callable[[pytest.MonkeyPatch], None]


def retry_before_the_fence(patch: pytest.MonkeyPatch) -> None:
    """The disks hear LOST as soon as the agent is gone."""
    move = PathTable.move

    def hasty(self: PathTable, path: Path, event: PathEvent, now_s: float) -> None:
        move(self, path, event, now_s)
        if path.state is PathState.FENCING:
            self.told_lost(path.number, path.incarnation)

    patch.setattr(PathTable, "move", hasty)


def retry_while_the_agent_lives(patch: pytest.MonkeyPatch) -> None:
    """A new session is taken for the fence, though our own agent is only killed, not reaped."""
    move = PathTable.move

    def hasty(self: PathTable, path: Path, event: PathEvent, now_s: float) -> None:
        move(self, path, event, now_s)
        if path.state is PathState.FENCED_DYING:
            self.told_lost(path.number, path.incarnation)

    patch.setattr(PathTable, "move", hasty)


def done_before_the_last_constituent(patch: pytest.MonkeyPatch) -> None:
    start = HostDriver._start

    def hasty(self: HostDriver, request: Request) -> None:
        start(self, request)
        request.pending = 1

    patch.setattr(HostDriver, "_start", hasty)


def flush_of_one_drive(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Array, "flush", lambda self: self.drives[0].flush())


def flush_without_drain(patch: pytest.MonkeyPatch) -> None:
    """FLUSH goes out while writes that it covers are on other paths."""

    def hasty(self: Flushes) -> list[Request]:
        if self._wire:
            return []
        for epoch in self._closed:
            self._wire += epoch.flushes
        self._closed.clear()
        return list(self._wire)

    patch.setattr(Flushes, "take_drained", hasty)


def grant_before_the_burial(patch: pytest.MonkeyPatch) -> None:
    """A session is granted while SRWs of the host's former one may live."""
    patch.setattr(Srws, "of_ended", lambda self, host_name: [])


def fence_before_the_reaping(patch: pytest.MonkeyPatch) -> None:
    """A fence is answered as soon as the signal is sent."""
    begin = Burials.begin

    def hasty(self: Burials, srws: Iterable[Srw], done: Callable[[], None]) -> None:
        begin(self, srws, lambda: None)
        done()

    patch.setattr(Burials, "begin", hasty)


def generation_not_checked(patch: pytest.MonkeyPatch) -> None:
    def blind(op: int, limits: UnitLimits | None, generation: int, lba: int, size_bytes: int) -> Any:
        return check_range(op, limits, limits.generation if limits else generation, lba, size_bytes)

    patch.setattr(protocol.v2.data, "check_range", blind)


def no_range_lock(patch: pytest.MonkeyPatch) -> None:
    enter_write = RangeLock.enter_write

    def leave(self: RangeLock, request: Request) -> list[Request]:
        return []

    def enter(self: RangeLock, request: Request) -> bool:
        enter_write(self, request)
        return True

    patch.setattr(RangeLock, "enter_write", lambda self, request: True)
    patch.setattr(RangeLock, "enter_read", lambda self, request: True)
    patch.setattr(RangeLock, "leave", leave)


def zero_map_before_the_drive(patch: pytest.MonkeyPatch) -> None:
    """The map says "ours" on stable storage before the zeroing is there."""

    def hasty(self: ZeroMap) -> None:
        made = self._counters[0]
        sequence = self._counters[2] + 1
        self.file.save(ZeroImage(self.uuid, self.blocks, self.chunk_bytes, sequence, bytes(self._bits)))
        self._counters[2], self._counters[1] = sequence, made

    patch.setattr(ZeroMap, "persist", hasty)


def chunk_ours_before_it_is_zeroed(patch: pytest.MonkeyPatch) -> None:
    def hasty(self: ZeroMap, offset_bytes: int, length_bytes: int) -> None:
        first, last = self._chunks(offset_bytes, length_bytes)
        for chunk in range(first, last + 1):
            if not self._bits[chunk // 8] >> chunk % 8 & 1:
                self._counters[0] += 1
                self._bits[chunk // 8] |= 1 << chunk % 8
                self._zero(chunk * self.chunk_bytes, min(self.chunk_bytes, self._end_bytes - chunk * self.chunk_bytes))

    patch.setattr(ZeroMap, "claim", hasty)


def zero_map_gone_with_its_processes(patch: pytest.MonkeyPatch) -> None:
    """Killed all at once, the server forgets what it has acknowledged: seen in the product, and mended there."""
    patch.setattr(serverside.partitions.zero_map, "surviving_bits", lambda file, image, boot: image.bits)


def failed_sync_forgotten(patch: pytest.MonkeyPatch) -> None:
    """The next sync says "good" about data that is lost."""
    patch.setattr(DriveHealth, "fail", lambda self, index, errno: None)


def fua_forgotten(patch: pytest.MonkeyPatch) -> None:
    write_from = Drive.write_from
    patch.setattr(
        Drive, "write_from", lambda self, view, offset_bytes, durable=False: write_from(self, view, offset_bytes)
    )


def predecessors_commands_done(patch: pytest.MonkeyPatch) -> None:
    """An agent does what was meant for the former one on its path, and has been sent again elsewhere."""

    def greedy(self: Agent) -> None:
        self.backlog.extend(COMMAND.iter_unpack(self.commands.get_many()))

    patch.setattr(Agent, "fetch_commands", greedy)


def written_after_the_answer(patch: pytest.MonkeyPatch) -> None:
    """The answer goes out, and then the drive is asked."""
    write = ServerReaderWriter.write

    def hasty(self: ServerReaderWriter, request: Any, payload: memoryview) -> None:
        answer = self.answer
        self.answer(request)
        self.send_answers()
        try:
            self.answer = lambda *_, **__: None  # type: ignore[method-assign]
            write(self, request, payload)
        finally:
            self.answer = answer  # type: ignore[method-assign]

    patch.setattr(ServerReaderWriter, "write", hasty)


def version_1_not_written_through(patch: pytest.MonkeyPatch) -> None:
    write = ServerReaderWriter.write

    def lazy(self: ServerReaderWriter, request: Any, payload: memoryview) -> None:
        self.writes_through = False
        write(self, request, payload)

    patch.setattr(ServerReaderWriter, "write", lazy)


def next_server_beside_the_former(patch: pytest.MonkeyPatch) -> None:
    """A server starts while SRWs of the one before hold the drives."""
    patch.setattr(OpenFile, "lock", lambda self: True)


def loss_not_told(patch: pytest.MonkeyPatch) -> None:
    """The NSU comes back without what it had in memory, and the next FLUSH succeeds."""
    patch.setattr(ServerLink, "compare_verifier", lambda self, verifier: None)


def loss_told_for_nothing(patch: pytest.MonkeyPatch) -> None:
    """Killed on a machine that stays up, the server says that it has lost something."""
    judge = Identity._judge_former_run
    patch.setattr(Identity, "_judge_former_run", lambda self, machine_boot: judge(self, b""))


def clean_for_ever(patch: pytest.MonkeyPatch) -> None:
    """The mark of an orderly end stands while the next run writes."""
    judge = Identity._judge_former_run

    def lazy(self: Identity, machine_boot: bytes) -> bool:
        was_clean = self._state.is_clean
        has_lost = judge(self, machine_boot)
        self._state.is_clean = was_clean
        return has_lost

    patch.setattr(Identity, "_judge_former_run", lazy)


QUICKLY_FOUND: tuple[Plant, ...] = (
    retry_before_the_fence,
    done_before_the_last_constituent,
    flush_of_one_drive,
    flush_without_drain,
    grant_before_the_burial,
    fence_before_the_reaping,
    no_range_lock,
    zero_map_before_the_drive,
    fua_forgotten,
    written_after_the_answer,
    version_1_not_written_through,
    loss_not_told,
    loss_told_for_nothing,
)
"""Within a hundred lives or so: `make test` looks for them."""

SLOWLY_FOUND: tuple[Plant, ...] = (
    retry_while_the_agent_lives,
    generation_not_checked,
    chunk_ours_before_it_is_zeroed,
    zero_map_gone_with_its_processes,
    failed_sync_forgotten,
    predecessors_commands_done,
    next_server_beside_the_former,
    clean_for_ever,
)
"""They need two or three things to go wrong together: `make soak` looks for them."""

PLANTS = QUICKLY_FOUND + SLOWLY_FOUND
