"""One disk's process: the front-end its users see, and the host driver behind it.

A thin edge around two machines. Each turn of the loop: take in what clients and agents have said, let the driver think,
then send each path all its commands in one write and each client all its answers in one send.
"""

import time
from errno import EACCES, EPERM
from pathlib import Path

from hostside.driver.driver import HostDriver
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.frontends.open import open_frontend
from hostside.packets import REPORT, Report
from hostside.settings import DiskSettings, ServerEntry
from hostside.trace import Tracer
from hostside.wiring import TAGS_MAX, Wiring
from ipc.child import Life
from ipc.control import ControlError, ControlServer
from ipc.exits import Exit
from ipc.loop import Loop

BEAT_EVERY_S = 1.0
DRAIN_MOST_S = 10.0


class DiskProcess:
    """The loop of one disk."""

    def __init__(
        self,
        life: Life,
        wiring: Wiring,
        index: int,
        unit: UnitInfo,
        settings: DiskSettings,
        entry: ServerEntry,
        control_at: Path,
    ) -> None:
        self.life = life
        self.wires = wiring.disks[index]
        self.commands = wiring.commands
        self.loop = Loop()
        self.driver = HostDriver(
            unit=unit,
            pool=self.wires.pool,
            notes=self.wires.notes,
            disk_index=index,
            tags_max=TAGS_MAX,
            clock=time.monotonic,
            fail_after_s=entry.fail_after_s,
        )
        self.loop.watch(self.wires.reports, on_readable=self.take_reports)
        self.loop.after_each(self.send_commands)
        self.frontend = open_frontend(settings.show, self.loop, self.driver, settings.at, settings.name)
        self.tracer = Tracer(self.driver)
        self.control = ControlServer(self.loop, control_at, {"status": self.status, "trace": self.tracer.trace})
        self.stopping = False

    def run(self) -> Exit:
        """Serve until SIGTERM, or STOP from the host process, and all that is in flight is done."""
        self.loop.on_signal(15, self.stop)
        if self.life.stop_asked:
            self.loop.call_later(0, self.stop)  # SIGTERM came before the loop could hear it
        self.beat()
        self.life.ready()
        self.loop.run()
        self.control.close()
        self.frontend.close()
        return Exit.OK

    def take_reports(self) -> None:
        packets = self.wires.reports.get_many()
        self.driver.receive(packets)
        if any(kind == Report.STOP for _, kind, *_ in REPORT.iter_unpack(packets)):
            self.stop()

    def send_commands(self) -> None:
        for path, packets in self.driver.outgoing():
            self.commands[path].put_many(packets)

    def beat(self) -> None:
        self.life.beat()
        self.driver.tick(self.loop.now())
        self.loop.call_later(BEAT_EVERY_S, self.beat)

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain: nothing new, all in flight done and answered, then go."""
        if self.stopping:
            return
        self.stopping = True
        self.frontend.drain(self.loop.stop, timeout_s=DRAIN_MOST_S)

    # -- telling -------------------------------------------------------------------------------------------------

    def status(self, arguments: dict[str, object]) -> dict[str, object]:
        del arguments
        unit = self.driver.unit
        return {
            "name": unit.name,
            "size_bytes": unit.blocks * 512,
            "read_only": bool(unit.flags & UnitFlag.READ_ONLY),
            "generation": unit.generation,
            "clients": self.frontend.client_count,
            "idle": self.driver.idle,
        }


def run_disk(
    life: Life,
    wiring: Wiring,
    index: int,
    unit: UnitInfo,
    settings: DiskSettings,
    entry: ServerEntry,
    control_at: Path,
) -> int:
    """Live as the process of disk `index`. What keeps it from being shown is left to the host process."""
    try:
        process = DiskProcess(life, wiring, index, unit, settings, entry, control_at)
    except (OSError, ControlError) as error:
        wiring.write_reason(wiring.disk_row(index), f"it can't be shown at {settings.at}: {why_not(error)}")
        return Exit.FAILED
    return process.run()


def why_not(error: OSError | ControlError) -> str:
    """Give the reason in words, and for the commonest one what to do."""
    if not isinstance(error, OSError):
        return str(error)
    why = error.strerror or str(error)
    if error.filename is not None:
        why = f"{error.filename}: {why}"
    if error.errno in (EACCES, EPERM):
        why += "; run the host role as root, or name with AT a place where its user may write"
    return why
