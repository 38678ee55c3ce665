"""One disk's process: the front-end its users see, and the host driver behind it.

A thin edge around two machines. Each turn of the loop: take in what clients and agents have said, let the driver think,
then send each path all its commands in one write and each client all its answers in one send.
"""

import time
from errno import EACCES, EPERM
from pathlib import Path
from typing import Any

from hostside.driver.driver import HostDriver
from hostside.driver.unit import UnitFlag, UnitInfo
from hostside.frontends.open import Showing, open_frontend
from hostside.packets import REPORT, Report
from hostside.settings import DiskSettings, ServerEntry
from hostside.trace import Tracer
from hostside.wiring import TAGS_MAX, Wiring
from ipc.child import Life
from ipc.control import ControlError, ControlServer, Verb
from ipc.exits import Exit
from ipc.loop import Loop
from ipc.memory_pressure import withstand_memory_pressure
from ipc.packets import QueueFull
from ipc.together import Together, here

BEAT_EVERY_S = 1.0
DRAIN_MOST_S = 10.0
FULL_PAUSE_S = 0.01
FORCED_DRAIN_S = 2.5
"""`nsu detach --force` has come back within 10 s, whatever this process does."""


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
        self.is_ready = False
        self.memory_notices: list[str] = []
        if settings.show != "socket":
            wiring.in_write_back[0] = 1
            self.memory_notices = withstand_memory_pressure()
        self.wires = wiring.disks[index]
        self.commands = wiring.commands
        self.load = wiring.loads.row(index)
        self.loop = Loop()
        self.wires.pool.populate()
        self.driver = HostDriver(
            unit=unit,
            pool=self.wires.pool,
            notes=self.wires.notes,
            disk_index=index,
            tags_max=TAGS_MAX,
            clock=time.monotonic,
            fail_after_s=entry.fail_after_s,
        )
        self.together = Together(here)
        self.unsent: dict[int, bytes] = {}
        """Commands by path. A queue is far larger than a path's window, so hardly ever is anything left here."""
        self.loop.watch(self.wires.reports, on_readable=self.take_reports)
        self.loop.after_each(self.send_commands)
        showing = Showing(settings, entry.name, control_at.parent, entry.fail_after_s)
        self.frontend = open_frontend(self.loop, self.driver, showing)
        self.tracer = Tracer(self.driver)
        verbs: dict[str, Verb] = {"status": self.status, "trace": self.tracer.trace, "leave": self.leave}
        self.control = ControlServer(self.loop, control_at, verbs)
        self.stopping = False
        self.leaving = False
        """It ends because somebody has asked for just that disk to be detached."""

    def run(self) -> Exit:
        """Serve until SIGTERM, STOP from the host process or `leave`, and all that is in flight is done."""
        self.loop.on_signal(15, self.stop)
        if self.life.stop_asked:
            self.loop.call_later(0, self.stop)  # SIGTERM came before the loop could hear it
        self.beat()
        self.loop.after_each(self.tell_ready)
        try:
            self.loop.run()
        finally:
            self.control.close()
            self.frontend.close()
        if not self.leaving:
            return Exit.OK
        return Exit.DETACHED if self.driver.idle else Exit.LEFT_BUSY

    def tell_ready(self) -> None:
        """At the end of each turn: a device may need a moment until users can reach it."""
        if not self.is_ready and self.frontend.is_shown:
            self.is_ready = True
            self.life.ready()

    def take_reports(self) -> None:
        packets = self.wires.reports.get_many()
        self.driver.receive(packets)
        if any(kind == Report.STOP for _, kind, *_ in REPORT.iter_unpack(packets)):
            self.stop()

    def send_commands(self) -> None:
        """Hand on what the driver gives; what a full queue does not take is kept, in its order, and tried again."""
        outgoing = self.driver.outgoing()
        if outgoing:
            self.together.turn(self.driver.held)
            self.load.set("together", self.together.at + 1)
        for path, packets in outgoing:
            self.unsent[path] = self.unsent.get(path, b"") + packets
        for path in tuple(self.unsent):
            packets = self.unsent.pop(path)
            try:
                self.commands[path].put_many(packets)
            except QueueFull as full:
                self.unsent[path] = packets[full.put_bytes :]
                self.loop.call_later(FULL_PAUSE_S, lambda: None)  # a turn, at whose end we come here again

    def beat(self) -> None:
        self.life.beat()
        self.driver.tick(self.loop.now())
        self.load.set("waited_ms", int(self.driver.waited.total_s * 1000))
        self.load.set("in_flight_most", self.driver.take_held_most())
        self.loop.call_later(BEAT_EVERY_S, self.beat)

    # -- ending --------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Drain: nothing new, all in flight done and answered, then go."""
        self.drain(DRAIN_MOST_S)

    def drain(self, timeout_s: float, *, forced: bool = False) -> None:
        if not self.stopping:
            self.stopping = True
            self.frontend.drain(self.loop.stop, timeout_s=timeout_s, forced=forced)

    def leave(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Drain for good, as `nsu detach` asks; with `force` also from under those who use the disk."""
        forced = bool(arguments.get("force"))
        users = self.frontend.users()
        if users and not forced:
            raise ControlError("; ".join(users))
        self.leaving = True
        self.drain(FORCED_DRAIN_S if forced else DRAIN_MOST_S, forced=forced)
        return {"users": users}

    # -- telling -------------------------------------------------------------------------------------------------

    def status(self, arguments: dict[str, Any]) -> dict[str, Any]:
        del arguments
        unit, device = self.driver.unit, self.frontend.device
        return {
            "name": unit.name,
            "device": None if device is None else str(device),
            "size_bytes": unit.blocks * 512,
            "read_only": bool(unit.flags & UnitFlag.READ_ONLY),
            "generation": unit.generation,
            "clients": self.frontend.client_count,
            "users": self.frontend.users(),
            "notices": [*self.frontend.notices(), *self.memory_notices],
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
    """Live as the process of disk `index`. What keeps it from being shown is left to the host process.

    FAILED with such words says too that nothing of it is in flight.
    """
    process = None
    try:
        process = DiskProcess(life, wiring, index, unit, settings, entry, control_at)
        return process.run()
    except (OSError, ControlError) as error:
        if process is not None and (process.is_ready or not process.driver.idle):
            raise
        wiring.write_reason(wiring.disk_row(index), f"it can't be shown at {settings.at}: {why_not(error)}")
        return Exit.FAILED


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
