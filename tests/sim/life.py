"""One life of a host and an NSU, lived from a seed: the same seed, the same life. A failing seed is the bug report."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from protocol.dialogue import ServerDialogue
from serverside.storage import Storage
from tests.sim.applications import Plan
from tests.sim.blocks import Blocks, BrokenWordError
from tests.sim.kernel.install import under
from tests.sim.kernel.kernel import SECOND, Kernel, Process
from tests.sim.kernel.modules import System
from tests.sim.kernel.tcp import Net
from tests.sim.luck import Luck
from tests.sim.machines import SECRET, Box, HostBox, NsuBox, networks, wire

FAULTS_MOST_S = 60
"""Bad luck lasts so long at most."""
QUIET_MOST_S = 240
"""Virtual seconds after which, without faults, everything must have ended: two rests of a minute, and then some."""
SETTLED_MOST_S = 30
LINES_TOLD = 60


class LifeOfBoth:
    """`live` it; then look at what it did."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.lines: list[str] = []
        self.kernel = Kernel(seed, hesitation=0.0)
        chance = self.kernel.chance
        self.kernel.hesitation = chance.choice((0.0, 0.01, 0.1))
        self.kernel.slow_memory = chance.choice((0.0, 0.0, 0.0, 0.2))
        self.version = 1 if chance.random() < 0.2 else 2
        self.may_fail = chance.random() < 0.15
        self.may_change = self.version == 2 and chance.random() < 0.2
        self.net = Net(self.kernel, networks(self.kernel))
        self.system = System(self.kernel, self.net)
        secret = SECRET if self.version == 2 else None
        self.nsu = NsuBox(self.system, secret)
        if self.may_change:
            self.nsu.zero = False
            self.nsu.files = [self.nsu.new_drive(file.name) for file in self.nsu.files]
        self.units = [
            Blocks(region, 96, lambda block, region=region: self.nsu.durable(region, block))  # type: ignore[misc]
            for region in (0, 1)
        ]
        self.plan = Plan(self.kernel, chance.choice((15, 30, 45)))
        self.host = HostBox(self.system, secret, self.blocks_of, self.plan)
        self.plan.errors_are_fine = self.may_fail or self.may_change or self.host.fail_after_s is not None
        self.plan.drives_may_fail = self.may_fail
        wire(self.net, self.nsu.machine, self.host.machine)
        self.nsu.watch_writes()
        self.luck = Luck(self)
        self.kernel.on_exit = self.on_exit
        self.kernel.on_birth = self.luck.born

    def blocks_of(self, generation: int) -> Blocks:
        return self.units[self.nsu.region_of_generation.get(generation, 0)]

    def log(self, line: str) -> None:
        self.lines.append(f"{self.kernel.now_s - 1000:9.4f} {line}")

    # -- the course of it ----------------------------------------------------------------------------------------

    def live(self) -> None:
        try:
            with under(self.system, self.host.open_frontend, self.lines), self.watched():
                try:
                    self._live()
                finally:
                    self.kernel.power_off(self.nsu.machine)
                    self.kernel.power_off(self.host.machine)
        except AssertionError as error:
            told = "\n".join(self.lines[-LINES_TOLD:])
            raise AssertionError(f"seed {self.seed}: {error}\n{told}") from error

    def _live(self) -> None:
        self.nsu.start()
        self.host.start()
        self.kernel.later(self.kernel.chance.choice((0.0, 0.05, 0.3)), self.luck.begin)
        self.run(FAULTS_MOST_S, lambda: self.plan.is_quiet)
        self.luck.heal()
        self.log("*** healed")
        self.run_till_quiet()
        self.read_all()
        if self.kernel.chance.random() < 0.4:
            self.power_off(self.nsu)
            self.plan.flush_first = True
            self.read_all()
        self.run(SETTLED_MOST_S, lambda: not self.what_is_left())
        self.check_end()

    def run(self, seconds: float, is_over: object) -> None:
        self.kernel.run(self.kernel.now_ns + int(seconds * SECOND), is_over)  # type: ignore[arg-type]

    def run_till_quiet(self) -> None:
        self.run(QUIET_MOST_S, lambda: self.plan.is_quiet)
        if not self.plan.is_quiet:
            frontend = self.plan.frontend
            left = "no disk" if frontend is None else f"{frontend.in_flight} requests in flight"
            raise BrokenWordError(f"not quiet {QUIET_MOST_S} s after the last fault: {left}, {self.plan.left} to make")

    def read_all(self) -> None:
        self.plan.reading_all, self.plan.all_read = True, False
        frontend = self.plan.frontend
        assert frontend is not None
        frontend.to_read = None
        frontend.rest()
        self.run(QUIET_MOST_S, lambda: self.plan.all_read)
        self.plan.reading_all = False
        if not self.plan.all_read:
            raise BrokenWordError(f"the unit could not be read within {QUIET_MOST_S} s after the last fault")

    def check_end(self) -> None:
        """All is given back."""
        if left := self.what_is_left():
            raise BrokenWordError(f"{SETTLED_MOST_S} s after the last request {left}")
        assert self.plan.blocks is not None
        self.plan.blocks.over()

    def what_is_left(self) -> str:
        """Say what is not given back yet; empty: nothing."""
        frontend, server = self.plan.frontend, self.nsu.server
        assert frontend is not None
        assert server is not None
        if not frontend.driver.idle or frontend.driver._intake._pool.free_count != frontend.slots:
            return "slots are missing"
        srws = server.srws
        if srws.burials.open or srws.drains or len(srws.admission.free) + len(srws.seated) != srws.seats:
            return "places are missing"
        if len(server.sessions) != 1 or server.config_port.half_open:
            return f"there are {len(server.sessions)} sessions, and {len(server.config_port.half_open)} that began"
        return ""

    # -- accidents -----------------------------------------------------------------------------------------------

    def power_off(self, box: Box) -> None:
        if not box.machine.is_up:
            return
        self.kernel.power_off(box.machine)
        box.process = None
        self.net.power_changed(box.machine)
        if box is self.nsu:
            self.nsu.disks.lose_power()
            for blocks in self.units:
                blocks.power_failed()
        self.kernel.later(self.kernel.chance.choice((0.3, 1.0, 6.0)), lambda: self.power_on(box))

    def power_on(self, box: Box) -> None:
        if box.machine.is_up:
            return
        box.machine.is_up = True
        self.net.power_changed(box.machine)
        box.start()

    def on_exit(self, process: Process) -> None:
        self.log(f"    {process.title} (pid {process.pid}) ended: {process.status}")
        if process is self.nsu.process and self.nsu.has_failed_drive:
            for blocks in self.units:
                if self.nsu.zero:
                    blocks.power_failed()  # the bits of the map are believed no more: drives/health.py
                blocks.drive_failed()
        for box in (self.nsu, self.host):
            box.ended(process)

    # -- what is watched -----------------------------------------------------------------------------------------

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Look over the server's shoulder when it makes a promise."""
        answer_fence, grant, unit_records = ServerDialogue.answer_fence, ServerDialogue.grant, Storage.unit_records

        def watched_fence(dialogue: ServerDialogue, path: int) -> None:
            self.nobody_left(f"#{path}", f"the fence of path {path} was answered")
            answer_fence(dialogue, path)

        def watched_grant(dialogue: ServerDialogue, session: int, epoch: int, verifier: int) -> None:
            self.nobody_left("", "a session was granted")
            grant(dialogue, session, epoch, verifier)

        def watched_records(storage: Storage, host: object) -> list[object]:
            for partition in storage.table.units("host1"):
                self.nsu.region_of_generation[partition.generation] = int(partition.settings.first_lba > 0)
            return unit_records(storage, host)  # type: ignore[arg-type, return-value]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ServerDialogue, "answer_fence", watched_fence)
            patch.setattr(ServerDialogue, "grant", watched_grant)
            patch.setattr(Storage, "unit_records", watched_records)
            yield

    def nobody_left(self, end: str, when: str) -> None:
        for process in self.nsu.machine.processes.values():
            if process.is_alive and process.title.startswith("nsu: srw") and process.title.endswith(end):
                raise BrokenWordError(f"{when} while {process.title} (pid {process.pid}) lived")
