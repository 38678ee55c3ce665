"""One host driver with a real pool and real notes, a clock set by hand, and agents that do as the test says."""

from dataclasses import dataclass

from hostside.driver.driver import HostDriver
from hostside.driver.notes import Notes
from hostside.driver.request import Request
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.packets import COMMAND, REPORT, Report
from ipc.buffers import BufferPool
from protocol.ops import Op

BLOCKS = 1 << 20
ALL_FLAGS = UnitFlag.CAN_FLUSH | UnitFlag.CAN_FUA | UnitFlag.CAN_TRIM | UnitFlag.CAN_WRITE_ZEROES


def make_unit(*, version: int = 2, flags: UnitFlag = ALL_FLAGS, blocks: int = BLOCKS) -> UnitInfo:
    return UnitInfo(number=5, name="unit_1", blocks=blocks, generation=9, flags=flags, version=version)


@dataclass(frozen=True, slots=True)
class Command:
    path: int
    tag: int
    op: int
    flags: int
    incarnation: int
    disk: int
    unit: int
    slot: int
    length_bytes: int
    lba: int
    generation: int


class Rig:
    def __init__(
        self,
        *,
        unit: UnitInfo | None = None,
        slots: int = 16,
        tags_max: int = 8,
        fail_after_s: float | None = None,
    ) -> None:
        self.now_s = 100.0
        self.pool = BufferPool(slots, 65536, holders={"the test": slots})
        self.notes = Notes(tags_max)
        self.done: list[Request] = []
        self.driver = HostDriver(
            unit=unit or make_unit(),
            pool=self.pool,
            notes=self.notes,
            disk_index=2,
            tags_max=tags_max,
            clock=lambda: self.now_s,
            fail_after_s=fail_after_s,
        )

    def available(self, path: int = 0, incarnation: int = 1, window: int = 64, rate: int = 0) -> None:
        self.report(Report.AVAILABLE, path=path, incarnation=incarnation, credits=window, value=rate)

    def lost(self, path: int = 0, incarnation: int = 1) -> None:
        self.report(Report.LOST, path=path, incarnation=incarnation)

    def report(
        self,
        kind: Report,
        *,
        tag: int = 0,
        path: int = 0,
        incarnation: int = 1,
        status: int = 0,
        credits: int = 0,
        value: int = 0,
        spare: int = 0,
    ) -> None:
        self.driver.receive(REPORT.pack(tag, kind, 0, path, incarnation, 2, status, credits, value, spare))

    def unit_changed(self, *, status: int = 0, generation: int = 10, blocks: int = BLOCKS) -> None:
        self.report(Report.UNIT, status=status, value=blocks, spare=generation, credits=ALL_FLAGS)

    def submit(self, op: Op, offset_bytes: int = 0, length_bytes: int = 4096, *, fua: bool = False) -> Request:
        request = self.driver.request(op, offset_bytes, length_bytes, fua=fua, on_done=self.done.append)
        assert request is not None
        self.driver.submit(request)
        return request

    def flush(self) -> Request:
        return self.submit(Op.FLUSH, 0, 0)

    def sent(self) -> list[Command]:
        return [
            Command(path, *fields)
            for path, packets in self.driver.outgoing()
            for fields in COMMAND.iter_unpack(packets)
        ]

    def end(self, command: Command, status: int = 0, sentence: str = "") -> None:
        if sentence:
            self.notes.write(command.tag, sentence)
        self.report(Report.DONE, tag=command.tag, path=command.path, incarnation=command.incarnation, status=status)
