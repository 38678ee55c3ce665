"""Proves a disk's process from both its sides: a real process, an NBD client above, and the test below in the place of
an agent: requests become commands and answers, reports are heeded, and it ends in order.
"""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostside.client import Disk, open_disk
from hostside.disk import run_disk, why_not
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.packets import COMMAND, REPORT, Report
from hostside.settings import DiskSettings, ServerEntry
from ipc.child import fork_child
from ipc.control import ControlError, control_call
from ipc.exits import Exit
from protocol.ops import Flag, Op
from tests.hostside.agent_rig import make_wiring
from tests.hostside.frontends.nbd_server import wait_for

BLOCKS = 2048
EIO = 5


class DiskRig:
    """The process, and the test in the place of its one agent and of the host process."""

    def __init__(self, folder: Path) -> None:
        self.at = folder / "made" / "unit_1.sock"  # its folder is made by the process
        self.control = folder / "control.sock"
        self.wiring = make_wiring()
        self.wires = self.wiring.disks[0]
        self.unit = UnitInfo(4, "unit_1", BLOCKS, 9, UnitFlag.CAN_FLUSH | UnitFlag.CAN_FUA, 2)
        settings = DiskSettings("unit_1", 0, "socket", self.at)
        entry = ServerEntry("box1", ("127.0.0.1",), 1, "host1", bytes(32), 1, None, (settings,))
        self.child = fork_child(
            "nsu: disk unit_1",
            lambda life: run_disk(life, self.wiring, 0, self.unit, settings, entry, self.control),
            hearts=self.wiring.hearts,
            heart_row=1,
            keep=self.wiring.descriptors(),
        )
        self.threads: list[threading.Thread] = []
        wait_for(lambda: self.child.is_ready or self.child.poll() is not None)

    def close(self) -> None:
        self.child.kill_and_reap()
        self.child.close()
        for thread in self.threads:
            thread.join(5)

    def report(
        self,
        kind: Report,
        *,
        tag: int = 0,
        incarnation: int = 1,
        status: int = 0,
        credits: int = 0,
        value: int = 0,
        spare: int = 0,
    ) -> None:
        self.wires.reports.put(REPORT.pack(tag, kind, 0, 0, incarnation, 0, status, credits, value, spare))

    def available(self, window: int = 8) -> None:
        self.report(Report.AVAILABLE, credits=window)

    def commands(self, count: int) -> list[tuple[int, ...]]:
        """Give the next `count` commands."""
        found: list[tuple[int, ...]] = []
        until_s = time.monotonic() + 5
        while len(found) < count:
            assert time.monotonic() < until_s, f"only {found} came"
            self.wiring.commands[0].wait(0.1)
            found += COMMAND.iter_unpack(self.wiring.commands[0].get_many())
        assert len(found) == count
        return found

    def as_client(self, use: Callable[[Disk], None]) -> threading.Thread:
        """Use the disk beside the test."""

        def run() -> None:
            with open_disk(at=self.at) as disk:
                use(disk)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        return self.threads[-1]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[DiskRig]:
    rig = DiskRig(tmp_path)
    assert rig.child.is_ready
    yield rig
    rig.close()


def test_a_write_and_a_read_go_down_as_commands_and_come_back(rig: DiskRig) -> None:
    read: list[bytes] = []
    rig.available()

    def use(disk: Disk) -> None:
        disk.pwrite(b"wall" * 1024, 8192, fua=True)
        read.append(disk.pread(131072, 0))

    client = rig.as_client(use)
    ((tag, op, flags, incarnation, disk, unit, slot, length, lba, generation),) = rig.commands(1)
    assert (op, flags, incarnation, disk, unit, length, lba, generation) == (Op.WRITE, Flag.FUA, 1, 0, 4, 4096, 16, 9)
    assert bytes(rig.wires.pool.view(slot, length)) == b"wall" * 1024
    rig.report(Report.DONE, tag=tag)
    for number, (tag, op, _, _, _, _, slot, length, lba, _) in enumerate(rig.commands(2)):
        assert (op, length, lba) == (Op.READ, 65536, number * 128)
        rig.wires.pool.view(slot, length)[:] = b"brick..%d" % number * 8192
        rig.report(Report.DONE, tag=tag)
    client.join(5)
    assert read == [b"brick..0" * 8192 + b"brick..1" * 8192]


def test_it_waits_for_a_path_and_sends_again_what_a_lost_one_had(rig: DiskRig) -> None:
    client = rig.as_client(lambda disk: disk.pwrite(bytes(512), 0))
    time.sleep(0.05)
    assert rig.wiring.commands[0].empty()
    rig.available()
    (first,) = rig.commands(1)
    rig.report(Report.LOST)
    rig.report(Report.AVAILABLE, incarnation=2, credits=8)
    (again,) = rig.commands(1)
    assert again[3] == 2
    assert (again[1], again[8]) == (first[1], first[8])
    assert client.is_alive()
    rig.report(Report.DONE, tag=again[0], incarnation=2)
    client.join(5)
    assert not client.is_alive()


def test_a_refusal_reaches_the_client(rig: DiskRig) -> None:
    errors: list[int | None] = []

    def use(disk: Disk) -> None:
        try:
            disk.pread(512, 0)
        except OSError as error:
            errors.append(error.errno)

    rig.available()
    client = rig.as_client(use)
    (command,) = rig.commands(1)
    rig.report(Report.DONE, tag=command[0], status=EIO)
    client.join(5)
    assert errors == [EIO]


def test_it_tells_how_it_stands_and_heeds_a_changed_unit(rig: DiskRig) -> None:
    before = control_call(rig.control, "status")
    assert (before["size_bytes"], before["generation"], before["clients"], before["idle"]) == (BLOCKS * 512, 9, 0, True)
    rig.report(Report.UNIT, value=BLOCKS * 2, spare=10, credits=int(UnitFlag.READ_ONLY))
    wait_for(lambda: control_call(rig.control, "status")["generation"] == 10)
    after = control_call(rig.control, "status")
    assert (after["size_bytes"], after["read_only"]) == (BLOCKS * 1024, True)


def test_a_trace_is_answered_when_the_request_has_passed(rig: DiskRig) -> None:
    told: list[dict[str, object]] = []
    asker = threading.Thread(target=lambda: told.append(control_call(rig.control, "trace", op="write")))
    asker.start()
    rig.threads.append(asker)
    time.sleep(0.05)  # it has asked
    rig.available()
    rig.as_client(lambda disk: disk.pwrite(bytes(1024), 1024))
    (command,) = rig.commands(1)
    assert command[2] & Flag.TRACE
    rig.report(Report.DONE, tag=command[0])
    asker.join(5)
    assert [(trace["op"], trace["offset_bytes"], trace["length_bytes"]) for trace in told] == [("write", 1024, 1024)]


@pytest.mark.parametrize("how", ["SIGTERM", "STOP"])
def test_asked_to_stop_it_ends_what_is_in_flight_and_leaves_nothing(rig: DiskRig, how: str) -> None:
    written: list[bool] = []

    def use(disk: Disk) -> None:
        disk.pwrite(bytes(512), 0)
        written.append(True)

    rig.available()
    client = rig.as_client(use)
    (command,) = rig.commands(1)
    if how == "SIGTERM":
        rig.child.signal(15)
    else:
        rig.report(Report.STOP)
    wait_for(lambda: not rig.at.exists())  # nobody new
    assert rig.child.poll() is None
    rig.report(Report.DONE, tag=command[0])
    assert rig.child.wait(5) == Exit.OK
    client.join(5)
    assert written == [True]
    assert not rig.control.exists()


def test_who_may_not_show_it_there_is_told_what_to_do() -> None:
    said = why_not(PermissionError(13, "Permission denied", "/run/nsu"))
    assert said.startswith("/run/nsu: Permission denied; run the host role as root, or name with AT a place")
    assert why_not(OSError(98, "another process serves there")) == "another process serves there"
    assert why_not(ControlError("it answers already")) == "it answers already"


def test_with_its_beat_it_tells_how_long_requests_waited_and_how_many_were_in_flight(rig: DiskRig) -> None:
    """So the host process knows whether more paths would be of use."""
    load = rig.wiring.loads.row(0)
    rig.available(window=1)
    client = rig.as_client(lambda disk: disk.pwrite(bytes(131072), 0))
    (first,) = rig.commands(1)
    time.sleep(0.1)  # the other one waits for the window
    rig.report(Report.DONE, tag=first[0])
    (second,) = rig.commands(1)
    wait_for(lambda: load.get("waited_ms") >= 100)
    assert load.get("in_flight_most") == 1
    rig.report(Report.DONE, tag=second[0])
    client.join(5)
    wait_for(lambda: load.get("in_flight_most") == 0)


def test_its_heart_beats(rig: DiskRig) -> None:
    first = rig.child.last_beat_s
    wait_for(lambda: rig.child.last_beat_s > first)


def test_a_disk_that_cannot_be_shown_says_so_and_was_never_ready(
    tmp_path: Path,
) -> None:
    """So the host process knows that it gave nothing to anybody, and just tries again."""
    (tmp_path / "made").write_text("a file where a folder should be")
    rig = DiskRig(tmp_path)
    assert rig.child.wait(5) == Exit.FAILED
    assert not rig.child.is_ready
    said = rig.wiring.read_reason(rig.wiring.disk_row(0))
    assert said == f"it can't be shown at {rig.at}: {rig.at.parent}: File exists"
    rig.close()
