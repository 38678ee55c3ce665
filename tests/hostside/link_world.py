"""One ServerLink with all that surrounds it moved by hand: the clock, the server's answers, and processes that are
puppets. The link, the path table, the queues, the loop and the dialogues of both ends are the real ones.

What is watched while it moves
  * LOST comes once for each life of a path, after its agent is reaped and after the server has buried it.
  * A disk's process starts only when nothing that its predecessor gave to an agent can still happen.
  * A disk's process hears FORGOTTEN once for each loss in its time, and before it hears of a path of a later session.
  * No process reads a DONE that was meant for its predecessor, whose tags it uses again.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

import hostside.link
from hostside.config_client import ConfigClient
from hostside.disks import DiskState
from hostside.driver.unit import UnitInfo
from hostside.link import SIGKILL, SIGTERM, ServerLink
from hostside.packets import REPORT, Report
from hostside.paths import PathState
from hostside.settings import DiskSettings, ServerEntry
from hostside.wiring import SPARE_PATHS
from ipc.child import Child, Life
from ipc.counters import CounterTable
from ipc.exits import Exit
from ipc.loop import Loop
from protocol import events
from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.events import Event, Notice
from protocol.records import DataPort, UnitFlag, UnitRecord
from protocol.status import Detail
from tests.hostside.agent_rig import make_wiring

SECRET = bytes(range(32))
NAMES = ("unit_1", "unit_2")
PORTS = (DataPort("127.0.0.1", 10002, 2), DataPort("127.0.0.2", 10002, 2))
PATHS = 3

PathLife = tuple[int, int]
"""(path, incarnation)."""


class Puppet(Child):
    """A child without a process: it is ready, and dies, when the test says so."""

    def __init__(self, title: str) -> None:
        reader, self.writer = os.pipe2(os.O_NONBLOCK)
        super().__init__(title, -1, reader, CounterTable(1, ("beat",)).row(0).cells)
        self.signals: list[int] = []

    def signal(self, number: int) -> None:
        if self.status is None:
            self.signals.append(number)

    def poll(self) -> int | None:
        return self.status

    def kill_and_reap(self, timeout_s: float = 10.0) -> int:
        self.die(-9)
        return -9

    def say_ready(self) -> None:
        os.write(self.writer, b"\1")

    def die(self, status: int) -> None:
        """End; from now on `poll` says so, as after SIGCHLD."""
        if self.status is None:
            self.status = status
            os.close(self.writer)


class Line(ConfigClient):
    """The configuration socket as a pair of dialogues; the NSU's answers wait until `deliver`."""

    nsu: ServerDialogue | None = None
    asked: list[Event]
    """Questions the NSU has not answered."""

    def connect(self) -> None:
        """Nothing: the test calls `open`."""

    def open(self, version: int, session: int, verifier: int, before_grant: Callable[[], None]) -> None:
        self.asked = []
        self.nsu = ServerDialogue(version, 99, b"s" * 32, "box1", lambda _: SECRET)
        self.dialogue = HostDialogue(version, "host1", SECRET if version == 2 else None, b"h" * 32)
        self.deliver()
        before_grant()
        self.nsu.grant(session, session, verifier)
        self.deliver()

    def send(self) -> None:
        if self.dialogue is not None:
            assert self.nsu is not None
            told = self.nsu.receive(self.dialogue.data_to_send())
            self.asked += [event for event in told if not isinstance(event, events.LoginProven)]

    def deliver(self) -> None:
        """Let all that the NSU has said arrive."""
        while self.nsu is not None and (data := self.nsu.data_to_send()):
            self.heard_s = self.loop.now()
            self.take(data)

    def look(self) -> None:
        """Nothing: nobody is silent here."""

    def disconnect(self) -> None:
        self.nsu = self.dialogue = None
        self.asked = []


class DiskModel:
    """What one disk's process, if there is one, has read from its queue."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.puppet: Puppet | None = None
        self.serial = 0
        """Counts the processes."""
        self.unit: UnitInfo | None = None
        self.errno = 0
        self.available: set[PathLife] = set()
        self.given: set[tuple[int, PathLife]] = set()
        """(process, life): the one may have given something to the other."""
        self.losses = 0
        """Of which it knows, or which were before its time."""
        self.must_be_over: set[PathLife] = set()
        """Lives to which a predecessor may have given something."""


class LinkWorld:
    """The link and its surroundings."""

    def __init__(self, version: int = 2) -> None:
        self.version = version
        self.now_s = 1000.0
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(hostside.link, "make_wiring", lambda _: make_wiring(len(NAMES), PATHS + SPARE_PATHS))
        self.patch.setattr(hostside.link, "fork_child", self.fork_agent)
        self.loop = Loop(clock=lambda: self.now_s)
        disks = tuple(DiskSettings(name, n, "socket", Path("/nowhere")) for n, name in enumerate(NAMES))
        self.entry = ServerEntry(
            "box1", ("127.0.0.1",), 10001, "host1", SECRET if version == 2 else None, PATHS, None, disks
        )
        self.link = ServerLink(self.loop, self.entry, self.fork_disk)
        self.line = Line(self.loop, self.entry, on_event=self.link.on_event, on_lost=self.link.on_lost)
        self.line.asked = []
        self.link.client = self.line
        self.link.paths.told_lost = self.told_lost
        self.units: dict[str, UnitRecord] = {
            name: UnitRecord(n, 1, 1000, UnitFlag.FLUSH, bytes([n]) * 16, name) for n, name in enumerate(NAMES)
        }
        self.sessions = 0
        self.verifier = 7
        self.losses = [0]
        """Losses till the session of that number."""
        self.forks_fail = False
        self.agents: dict[PathLife, Puppet] = {}
        """Those that are not reaped."""
        self.may_be_applied: set[PathLife] = set()
        """Those that came up and so may have sent something, until the server has buried them."""
        self.session_of: dict[PathLife, int] = {}
        self.told: list[PathLife] = []
        self.disks = [DiskModel(index) for index in range(len(NAMES))]
        self.puppets: list[Puppet] = []

    def close(self) -> None:
        for puppet in self.puppets:
            puppet.die(-9)
            puppet.close()
        self.loop.close()
        for queue in [*self.link.wiring.commands, *(disk.reports for disk in self.link.wiring.disks)]:
            queue.close()
        self.patch.undo()

    # -- the link's verbs ----------------------------------------------------------------------------------------

    def fork_agent(
        self, title: str, main: Callable[[Life], int], *, hearts: CounterTable, heart_row: int, keep: Iterable[int]
    ) -> Child:
        del main, hearts, keep
        if self.forks_fail:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        life = heart_row, self.link.paths.paths[heart_row].incarnation
        assert all(number != heart_row for number, _ in self.agents), "two agents of one path"
        self.agents[life] = self.puppet(title)
        self.session_of[life] = self.sessions
        return self.agents[life]

    def fork_disk(self, link: ServerLink, disk: DiskState) -> Child:
        assert link is self.link
        if self.forks_fail:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        model = self.disks[disk.index]
        assert model.puppet is None or model.puppet.status is not None, "two processes of one disk"
        assert model.must_be_over <= set(self.told), "what its predecessor gave may still happen"
        model.puppet = self.puppet(disk.settings.name)
        model.serial += 1
        model.unit, model.errno, model.available = disk.unit, 0, set()
        model.losses = self.losses[-1]
        return model.puppet

    def puppet(self, title: str) -> Puppet:
        self.puppets.append(Puppet(title))
        return self.puppets[-1]

    def told_lost(self, path: int, incarnation: int) -> None:
        life = path, incarnation
        assert life not in self.agents, "its agent may still write into a slot"
        assert life not in self.may_be_applied, "the server may still apply something of it"
        assert life not in self.told, "told twice"
        self.told.append(life)
        self.link.disks.tell_lost(path, incarnation)

    # -- what happens --------------------------------------------------------------------------------------------

    def turn(self) -> None:
        """One turn of the loop, without waiting."""
        self.loop.enqueue(self.loop.stop)
        self.loop.run()

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        self.turn()

    @property
    def has_session(self) -> bool:
        return self.link.granted is not None

    def grant(self) -> None:
        """A session is granted when the server has buried all former ones."""
        self.sessions += 1
        is_lost = self.version == 2 and self.sessions > 1 and self.verifier != self.link.verifier
        self.losses.append(self.losses[-1] + is_lost)
        self.line.open(self.version, self.sessions, self.verifier, self.may_be_applied.clear)

    def answer(self, question: Event) -> None:
        """Answer one question the way a server in order would; the answer arrives at once."""
        nsu = self.line.nsu
        assert nsu is not None
        self.line.asked.remove(question)
        match question:
            case events.AskStartTime():
                nsu.answer_starttime(7)
            case events.AskUnits():
                nsu.answer_units(list(self.units.values()))
            case events.AskCapacities():
                nsu.answer_capacities([unit.blocks * 512 for unit in self.units.values()])
            case events.AskDataPorts():
                nsu.answer_dataports(PORTS)
            case events.AskPath(path):
                nsu.answer_path(path, b"n" * 32)
            case events.AskFence(path):
                self.may_be_applied = {life for life in self.may_be_applied if life[0] != path}
                nsu.answer_fence(path)
            case _:
                raise AssertionError(question)
        self.line.deliver()

    def refuse(self, question: events.AskPath) -> None:
        assert self.line.nsu is not None
        self.line.asked.remove(question)
        self.line.nsu.refuse_path(question.path, Detail.PATH_LIMIT)
        self.line.deliver()

    def answer_all(self) -> None:
        while self.line.asked:
            self.answer(self.line.asked[0])

    def agent_says_ready(self, life: PathLife) -> None:
        self.agents[life].say_ready()
        if self.session_of[life] == self.sessions:  # to nobody of a former session does the server listen
            self.may_be_applied.add(life)

    def agent_ready(self, life: PathLife) -> None:
        """It says ready, then AVAILABLE to every disk."""
        self.agent_says_ready(life)
        for disk in self.link.wiring.disks:
            disk.reports.put_many(REPORT.pack(0, Report.AVAILABLE, 0, *life, disk.index, 0, 8, 0, 0))
        self.turn()

    def agent_dies(self, life: PathLife, status: int = 10) -> None:
        """It ends and is reaped in one go; a signal sent to it ends it too, but when the test says so.

        One that was told to close and ends well has had an answer to all that it had sent.
        """
        puppet = self.agents.pop(life)
        if status == Exit.OK and SIGTERM in puppet.signals:
            self.may_be_applied.discard(life)
        puppet.die(status)
        self.link.reap()

    def disk_dies(self, model: DiskModel, status: int = 1) -> None:
        puppet = model.puppet
        assert puppet is not None
        words = self.link.wiring.read_reason(self.link.wiring.disk_row(model.index))
        if not (status == Exit.DETACHED or (status == Exit.FAILED and words)):  # else nothing of it is in flight
            model.must_be_over = set(model.available) | model.must_be_over
        puppet.die(status)
        self.link.reap()
        model.puppet = None

    def disk_reads(self, model: DiskModel) -> None:
        """Its loop takes in what lies in its queue."""
        queue = self.link.wiring.disks[model.index].reports
        while packets := queue.get_many():
            for fields in REPORT.iter_unpack(packets):
                self.disk_takes(model, *fields)

    def disk_takes(self, model: DiskModel, *fields: int) -> None:
        _, kind, _, path, incarnation, disk, status, credits, value, spare = fields
        assert disk == model.index
        life = path, incarnation
        if kind == Report.AVAILABLE:
            if credits:  # else it is gone, or never was
                assert model.losses >= self.losses[self.session_of[life]], "it may flush, and knows nothing of a loss"
            model.available.add(life)
            model.given.add((model.serial, life))
        elif kind == Report.LOST:
            assert life in self.told
            model.available.discard(life)
        elif kind == Report.DONE:
            assert value == model.serial, "this was for its predecessor"
        elif kind == Report.FORGOTTEN:
            model.losses += 1
            assert model.losses <= self.losses[-1], "nothing was lost"
        else:
            assert kind == Report.UNIT
            assert model.unit is not None
            model.errno = status
            if not status:
                model.unit = model.unit.changed(blocks=value, generation=spare, flags=credits)

    def all_report_something_done(self) -> None:
        """Every agent that is not reaped: to the disk's process that gave it, be that dead or not."""
        for model in self.disks:
            for serial, life in model.given:
                if life in self.agents:
                    packet = REPORT.pack(1, Report.DONE, 0, *life, model.index, 0, 0, serial, 0)
                    self.link.wiring.disks[model.index].reports.put_many(packet)

    def units_changed(self) -> None:
        """The server tells 0x02, and cuts 0x01 off (note 3)."""
        if not self.has_session:
            return
        if self.version == 1:
            self.line.lose("cut off")
        else:
            assert self.line.nsu is not None
            self.line.nsu.notify(Notice.UNITS_CHANGED)
            self.line.deliver()

    # -- the end of all trouble ----------------------------------------------------------------------------------

    def settle(self) -> None:
        """From now on all goes well."""
        self.forks_fail = False
        for _ in range(200):
            if not self.has_session:
                self.grant()
            self.answer_all()
            for life, puppet in list(self.agents.items()):
                if SIGKILL in puppet.signals:
                    self.agent_dies(life, -9)
                elif SIGTERM in puppet.signals:
                    self.agent_dies(life, Exit.OK)
                elif not puppet.is_ready:
                    self.agent_ready(life)
            for model in self.disks:
                if model.puppet is not None and model.puppet.signals:
                    self.disk_dies(model, -9)
                elif model.puppet is not None and model.puppet.status is None:
                    if not model.puppet.is_ready:
                        model.puppet.say_ready()
                    self.disk_reads(model)
            self.link.reap()
            if self.is_well():
                return
            self.pass_time(0.5)
        raise AssertionError(f"it does not come back: {self.describe()}")

    def is_well(self) -> bool:
        return self.link.paths.up_count == PATHS and all(self.disk_is_well(model) for model in self.disks)

    def disk_is_well(self, model: DiskModel) -> bool:
        if any(disk.index == model.index and not disk.wanted for disk in self.link.disks):
            return model.puppet is None
        record = self.units.get(NAMES[model.index]) if self.version == 2 else self.v1_record(model.index)
        if record is None:
            return model.puppet is None or model.errno != 0
        up = {(path.number, path.incarnation) for path in self.link.paths.paths if path.state is PathState.UP}
        return (
            model.puppet is not None
            and model.unit is not None
            and (model.unit.number, model.unit.blocks) == (record.number, record.blocks)
            and (self.version == 1 or model.unit.generation == record.generation)
            and model.errno == 0
            and model.available == up
        )

    def v1_record(self, number: int) -> UnitRecord | None:
        records = list(self.units.values())
        if number >= len(records):
            return None
        record = records[number]
        return UnitRecord(number, 0, record.blocks, record.flags, record.uuid, record.name)

    def describe(self) -> str:
        paths = [(path.state.name, path.incarnation) for path in self.link.paths.paths]
        disks = [(m.puppet and m.puppet.signals, m.unit, m.errno, m.available) for m in self.disks]
        return f"paths {paths}, disks {disks}, units {self.units}, told {self.link.disks}"
