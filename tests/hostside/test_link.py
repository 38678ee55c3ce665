"""Proves that one NSU's link holds its order whatever dies, is lost or comes late, in any state: it never raises, LOST
is told when it is true, no process meets what was meant for its predecessor, and when all goes well again, all is well.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from hostside.disks import ENXIO
from hostside.link import V1_BLOCKS_MAX
from hostside.packets import REPORT, Report
from hostside.paths import PathState
from hostside.status import warnings
from ipc.exits import Exit
from ipc.packets import QueueFull
from protocol import events
from protocol.events import Notice
from protocol.records import UnitFlag, UnitRecord
from tests.hostside.link_world import NAMES, PATHS, PORTS, DiskModel, LinkWorld, PathLife


class Trouble(RuleBasedStateMachine):
    """Anything may happen to the link at any time; at last nothing bad happens any more, and all must come back."""

    world: LinkWorld

    @initialize(version=st.sampled_from([1, 2]))
    def begin(self, version: int) -> None:
        self.world = LinkWorld(version)

    def pick_agent(self, data: st.DataObject) -> PathLife:
        return data.draw(st.sampled_from(sorted(self.world.agents)))

    def pick_disk(self, data: st.DataObject) -> DiskModel:
        return data.draw(st.sampled_from([model for model in self.world.disks if model.puppet is not None]))

    # the session

    @precondition(lambda self: not self.world.has_session)
    @rule()
    def session_is_granted(self) -> None:
        self.world.grant()

    @precondition(lambda self: not self.world.has_session)
    @rule()
    def nsu_loses_power(self) -> None:
        self.world.verifier += 1

    @precondition(lambda self: self.world.has_session)
    @rule()
    def session_is_lost(self) -> None:
        self.world.line.lose("the network is down")

    @precondition(lambda self: not self.world.has_session)
    @rule()
    def connecting_fails(self) -> None:
        self.world.line.lose("nobody is there")

    @precondition(lambda self: self.world.line.asked)
    @rule(data=st.data())
    def the_server_answers(self, data: st.DataObject) -> None:
        """0x02 in any order; 0x01 in the order of the questions."""
        asked = self.world.line.asked
        self.world.answer(data.draw(st.sampled_from(asked)) if self.world.version == 2 else asked[0])

    @rule()
    def the_server_answers_all(self) -> None:
        self.world.answer_all()

    @precondition(lambda self: any(isinstance(asked, events.AskPath) for asked in self.world.line.asked))
    @rule()
    def the_server_refuses_a_path(self) -> None:
        self.world.refuse(next(asked for asked in self.world.line.asked if isinstance(asked, events.AskPath)))

    # agents

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data())
    def an_agent_is_ready(self, data: st.DataObject) -> None:
        life = self.pick_agent(data)
        if not self.world.agents[life].is_ready:
            self.world.agent_ready(life)

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data(), status=st.sampled_from([-9, 0, 1, 10, 11]))
    def an_agent_dies(self, data: st.DataObject, status: int) -> None:
        self.world.agent_dies(self.pick_agent(data), status)

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data())
    def an_agent_says_ready_and_dies_at_once(self, data: st.DataObject) -> None:
        life = self.pick_agent(data)
        if not self.world.agents[life].is_ready:
            self.world.agent_says_ready(life)
        self.world.agent_dies(life)

    @rule(fail=st.booleans())
    def forks_fail_or_not(self, fail: bool) -> None:
        self.world.forks_fail = fail

    # disks

    @precondition(lambda self: any(model.puppet is not None for model in self.world.disks))
    @rule(data=st.data())
    def a_disk_is_ready_and_reads(self, data: st.DataObject) -> None:
        model = self.pick_disk(data)
        assert model.puppet is not None
        if not model.puppet.is_ready:
            model.puppet.say_ready()
        self.world.disk_reads(model)

    @precondition(lambda self: any(model.puppet is not None for model in self.world.disks))
    @rule(data=st.data(), status=st.sampled_from([-9, 1]))
    def a_disk_dies(self, data: st.DataObject, status: int) -> None:
        self.world.disk_dies(self.pick_disk(data), status)

    @precondition(lambda self: self.world.agents)
    @rule()
    def every_agent_reports_something_done(self) -> None:
        self.world.all_report_something_done()

    # the rest of the world

    @rule(seconds=st.floats(0, 12))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        self.world.link.reap()

    @precondition(lambda self: self.world.units)
    @rule()
    def the_first_unit_is_taken_away(self) -> None:
        """And so the other gets its number."""
        del self.world.units[next(iter(self.world.units))]
        self.renumber()

    @precondition(lambda self: self.world.units)
    @rule(data=st.data(), blocks=st.integers(1, 5000))
    def a_unit_changes_its_size(self, data: st.DataObject, blocks: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.units)))
        old = self.world.units[name]
        self.world.units[name] = replace(old, blocks=blocks, generation=old.generation + 1)
        self.world.units_changed()

    @rule(data=st.data())
    def a_unit_comes_back(self, data: st.DataObject) -> None:
        """As it was: with the same generation."""
        name = data.draw(st.sampled_from(NAMES))
        if name not in self.world.units:
            uuid = bytes([NAMES.index(name)]) * 16
            self.world.units[name] = UnitRecord(0, 1, 1000, UnitFlag.FLUSH, uuid, name)
            self.renumber()

    def renumber(self) -> None:
        units = self.world.units
        self.world.units = {name: replace(units[name], number=n) for n, name in enumerate(units)}
        self.world.units_changed()

    # always

    @invariant()
    def every_agent_belongs_to_a_path_that_waits_for_its_end(self) -> None:
        with_agents = {life[0] for life in self.world.agents}
        waiting = (PathState.STARTING, PathState.UP, PathState.CLOSING, PathState.DYING, PathState.FENCED_DYING)
        assert with_agents == {path.number for path in self.world.link.paths.paths if path.state in waiting}

    @invariant()
    def without_a_session_no_agent_is_left_in_peace(self) -> None:
        if not self.world.has_session:
            assert all(puppet.signals for puppet in self.world.agents.values())

    def teardown(self) -> None:
        if hasattr(self, "world"):
            try:
                self.world.settle()
            finally:
                self.world.close()


TestTrouble = Trouble.TestCase
TestTrouble.settings = settings(
    max_examples=90, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


# -- single things -----------------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def world(request: pytest.FixtureRequest) -> Iterator[LinkWorld]:
    world = LinkWorld(request.param)
    world.settle()
    yield world
    world.close()


@pytest.fixture
def world2() -> Iterator[LinkWorld]:
    world = LinkWorld(2)
    world.settle()
    yield world
    world.close()


def killed(world: LinkWorld) -> list[PathLife]:
    return [life for life, puppet in world.agents.items() if 9 in puppet.signals]


def test_v2_asks_for_a_fence_before_it_tells_of_a_lost_path(world2: LinkWorld) -> None:
    life = next(iter(world2.agents))
    world2.agent_dies(life)
    assert world2.line.asked == [events.AskFence(life[0])]
    assert world2.told == []
    world2.answer_all()
    assert world2.told == [life]
    for model in world2.disks:
        world2.disk_reads(model)
        assert life not in model.available
    assert killed(world2) == []


def test_v1_fences_one_lost_path_by_a_new_session() -> None:
    world = LinkWorld(1)
    world.settle()
    life, *others = world.agents
    world.agent_dies(life)
    assert not world.has_session
    assert killed(world) == others
    assert world.told == []
    world.settle()
    assert set(world.told) == {life, *others}
    world.close()


def test_v1_needs_no_fence_for_an_agent_that_never_was_up() -> None:
    world = LinkWorld(1)
    world.grant()
    world.answer_all()
    life = next(iter(world.agents))
    world.agent_dies(life)
    assert world.has_session
    assert world.told == [life]
    world.close()


def test_a_path_that_fails_rests_and_is_tried_again_without_being_asked(world2: LinkWorld) -> None:
    life = next(iter(world2.agents))
    world2.agent_dies(life)  # it was up for no time
    world2.answer_all()
    assert world2.link.paths.paths[life[0]].state is PathState.IDLE
    world2.pass_time(0.06)
    assert world2.line.asked == [events.AskPath(life[0])]


def test_a_path_that_lived_is_opened_again_at_once(world2: LinkWorld) -> None:
    world2.pass_time(2.0)
    life = next(iter(world2.agents))
    world2.agent_dies(life)
    world2.answer(world2.line.asked[0])
    assert world2.line.asked == [events.AskPath(life[0])]


def test_agents_killed_with_their_session_do_not_rest(world: LinkWorld) -> None:
    world.line.lose("cut off")
    for life in list(world.agents):
        world.agent_dies(life, -9)
    world.grant()
    world.answer_all()
    assert len(world.agents) == len(PORTS), "one tries each network"
    for life in list(world.agents):
        world.agent_ready(life)
    world.answer_all()
    assert len(world.agents) == PATHS


def test_a_fork_that_fails_costs_a_rest_and_nothing_else(world: LinkWorld) -> None:
    """No process to be had: the host process and its disks live on."""
    world.forks_fail = True
    world.line.lose("cut off")
    for life in list(world.agents):
        world.agent_dies(life, -9)
    world.disk_dies(world.disks[0])
    world.grant()
    world.answer_all()
    world.pass_time(1.0)
    assert world.link.paths.up_count == 0
    assert "can't be forked" in world.link.disks[0].failure
    assert "can't be forked" in world.link.paths.paths[0].reason
    world.settle()


@pytest.mark.parametrize(("at_fault", "stays"), [("127.0.0.1", False), ("127.0.0.2", True)])
def test_v1_begins_its_new_session_where_no_path_was_lost(at_fault: str, stays: bool) -> None:
    world = LinkWorld(1)
    world.settle()
    world.pass_time(2.0)
    world.line.address = "127.0.0.1"
    (path, *_) = [path for path in world.link.paths.paths if path.port and path.port.address == at_fault]
    world.agent_dies((path.number, path.incarnation))
    assert not world.has_session
    assert world.line.stays is stays
    world.close()


def test_a_dead_disks_paths_are_buried_by_a_new_session(world: LinkWorld) -> None:
    before = set(world.agents)
    world.disk_dies(world.disks[0])
    assert not world.has_session
    assert set(killed(world)) == before
    world.pass_time(20)
    world.link.reap()
    assert world.disks[0].puppet is None
    world.settle()
    assert before <= set(world.told)


def test_what_a_dead_disk_had_not_read_is_not_read_by_its_successor(world2: LinkWorld) -> None:
    """All paths were over before: there is no LOST to come behind it."""
    world2.all_report_something_done()
    world2.forks_fail = True
    for life in list(world2.agents):
        world2.agent_dies(life)
    world2.answer_all()
    for model in world2.disks:
        world2.disk_dies(model)
    assert not world2.link.wiring.disks[0].reports.empty()
    world2.settle()


def test_a_disk_that_can_not_be_shown_disturbs_nobody() -> None:
    """It may be wrongly set up, for ever: its sisters and their paths know nothing of it."""
    world = LinkWorld(2)
    world.grant()
    world.answer_all()
    for _ in range(20):
        world.link.wiring.write_reason(world.link.wiring.disk_row(0), "it can't be shown")
        world.disk_dies(world.disks[0])
        assert world.has_session
        assert world.link.disks[0].failure == "it can't be shown; it is tried again"
        world.pass_time(11)
        world.link.reap()
        world.line.heard_s = world.now_s
        assert world.disks[0].puppet is not None
    world.settle()
    world.close()


@pytest.mark.parametrize("status", [Exit.NEVER_AGAIN, Exit.MISUSE])
def test_a_disk_that_cannot_work_here_is_not_started_again(world2: LinkWorld, status: Exit) -> None:
    world2.disk_dies(world2.disks[0], status)
    world2.grant()
    world2.answer_all()
    world2.pass_time(100)
    world2.link.reap()
    assert world2.disks[0].puppet is None
    assert "not started again" in world2.link.disks[0].failure


def test_the_queue_of_a_disk_without_a_process_never_fills(world2: LinkWorld) -> None:
    """Paths come and go for days: each AVAILABLE and LOST would stay; at last the host process would wait for room."""
    del world2.units[NAMES[0]]
    world2.disk_dies(world2.disks[0])
    world2.link.disks[0].start_not_before_s = float("inf")
    world2.units_changed()
    queue = world2.link.wiring.disks[0].reports
    for _ in range(30):
        for _ in range(40):
            if not world2.has_session:
                world2.grant()
            world2.answer_all()
            for life, puppet in list(world2.agents.items()):
                if not puppet.signals and not puppet.is_ready:
                    world2.agent_ready(life)
                world2.agent_dies(life)
            world2.disk_reads(world2.disks[1])
            world2.pass_time(6)
    waiting = queue.get_many()
    assert len(waiting) <= PATHS * REPORT.size


def test_a_disk_that_comes_late_hears_of_the_paths_that_are_there(world2: LinkWorld) -> None:
    """Its partition was missing at first; agents say AVAILABLE once, when they come up."""
    world = LinkWorld(2)
    kept = world.units.pop(NAMES[1])
    world.settle()
    assert world.disks[1].puppet is None
    assert "no partition unit_2" in world.link.disks[1].trouble
    world.units[NAMES[1]] = kept
    world.units_changed()
    world.settle()
    assert world.disks[1].available == set(world.agents)
    assert world.told == []
    world.close()


def test_a_unit_that_comes_back_as_it_was_is_served_again(world2: LinkWorld) -> None:
    model = world2.disks[1]
    kept = world2.units.pop(NAMES[1])
    world2.units_changed()
    world2.answer_all()
    world2.disk_reads(model)
    assert model.errno == ENXIO
    world2.units[NAMES[1]] = kept
    world2.units_changed()
    world2.answer_all()
    world2.disk_reads(model)
    assert model.errno == 0


def test_what_the_disk_knows_already_is_not_told(world2: LinkWorld) -> None:
    world2.units_changed()
    world2.answer_all()
    assert all(disk.reports.empty() for disk in world2.link.wiring.disks)


@pytest.mark.parametrize("change", [{"number": 5}, {"uuid": b"another partition"[:16]}], ids=["number", "uuid"])
def test_another_unit_under_the_same_name_is_another_disk(world2: LinkWorld, change: dict[str, object]) -> None:
    """What is in flight was meant for the former one: it must not be sent again to this one."""
    puppet = world2.disks[0].puppet
    assert puppet is not None
    world2.units[NAMES[0]] = replace(world2.units[NAMES[0]], **change)  # type: ignore[arg-type]
    world2.units_changed()
    world2.answer_all()
    assert puppet.signals == [9]
    world2.settle()
    assert world2.disks[0].unit is not None
    assert world2.disks[0].unit.number == world2.units[NAMES[0]].number


def test_a_disk_that_does_not_read_is_killed_instead_of_waited_for(world2: LinkWorld) -> None:
    queue = world2.link.wiring.disks[0].reports
    packet = REPORT.pack(1, Report.DONE, 0, 0, 0, 0, 0, 0, world2.disks[0].serial, 0)
    with suppress(QueueFull):
        while True:
            queue.put_many(packet)
    world2.agent_dies(next(iter(world2.agents)))
    world2.answer_all()
    puppet = world2.disks[0].puppet
    assert puppet is not None
    assert puppet.signals == [9]
    world2.settle()


def test_v1_never_promises_blocks_it_cannot_name() -> None:
    """Trap 5: a 32-bit block number would wrap around at 2 TiB."""
    world = LinkWorld(1)
    world.units = {name: replace(unit, blocks=(1 << 32) + 8) for name, unit in world.units.items()}
    world.grant()
    world.answer_all()
    assert [disk.unit.blocks for disk in world.link.disks if disk.unit] == [V1_BLOCKS_MAX] * 2
    world.close()


def test_nothing_is_opened_while_it_stops(world2: LinkWorld) -> None:
    world2.link.stopping = True
    world2.agent_dies(next(iter(world2.agents)))
    world2.disk_dies(world2.disks[0])
    assert world2.has_session
    world2.answer_all()
    world2.pass_time(1.0)
    assert world2.line.asked == []
    assert world2.disks[0].puppet is None


@pytest.mark.parametrize(
    ("former", "verifier", "is_told"), [(7, 7, False), (7, 8, True), (7, 6, True), (0, 8, False), (7, 0, False)]
)
def test_a_loss_is_told_before_anything_can_be_sent_again(former: int, verifier: int, is_told: bool) -> None:
    """Another verifier is a loss, also a smaller one: 0 is none."""
    world = LinkWorld(2)
    world.verifier = former
    world.settle()
    world.disk_reads(world.disks[0])
    world.line.lose("power failed")
    for life in list(world.agents):
        world.agent_dies(life, -9)
    world.verifier = verifier
    world.grant()
    kinds = [fields[1] for fields in REPORT.iter_unpack(world.link.wiring.disks[0].reports.get_many())]
    assert kinds.count(Report.FORGOTTEN) == is_told
    assert kinds.count(Report.LOST) == PATHS
    if is_told:
        assert kinds.index(Report.FORGOTTEN) < kinds.index(Report.LOST)
    world.close()


def test_close_leaves_no_child(world: LinkWorld) -> None:
    world.link.close()
    assert all(puppet.status == -9 for puppet in world.puppets)


# -- words -------------------------------------------------------------------------------------------------------


def test_an_evicted_link_waits_and_warns(world2: LinkWorld, capsys: pytest.CaptureFixture[str]) -> None:
    assert world2.line.nsu is not None
    world2.line.nsu.notify(Notice.EVICTED, sentence="another machine logged in as host1 from 10.0.0.9")
    world2.line.deliver()
    assert not world2.has_session
    assert world2.line.timer is not None
    assert world2.line.timer.when_s - world2.now_s >= 5
    assert any("another machine logged in as host1 from 10.0.0.9" in words for words in warnings(world2.link))
    assert "ended: another machine logged in as host1 from 10.0.0.9; this one comes again in" in capsys.readouterr().err
    world2.settle()


def test_a_session_is_worth_keeping_while_its_paths_are_heard_and_none_waits_for_it(
    world2: LinkWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """Asked when the configuration socket is silent though the server's kernel answers."""
    link = world2.link
    assert not link.is_served(), "no path has heard the server lately"
    for number in range(PATHS):
        link.wiring.hearts.row(number).set("heard_ns", time.monotonic_ns())
    assert link.is_served()
    assert link.is_served()
    assert capsys.readouterr().err.count("silent on the configuration socket; its paths go on") == 1
    world2.agent_dies(next(iter(world2.agents)), -9)
    assert any(path.state is PathState.FENCING for path in link.paths.paths)
    assert not link.is_served(), "a fence waits for an answer"


def test_what_we_kill_is_told_by_its_reason_and_what_dies_by_its_signal(
    world2: LinkWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = list(world2.agents)
    world2.agent_dies(first, -11)
    said = capsys.readouterr().err
    died = f"the agent of path {first[0]} to box1 (pid -1): it was killed by signal 11"
    assert f"nsu: host: {died}; the path is opened again" in said
    world2.line.lose("cut off")
    for life in others:
        world2.agent_dies(life, -9)
        assert world2.link.paths.paths[life[0]].reason == "its session ended"
    said = capsys.readouterr().err
    assert "the session with box1 has ended: cut off" in said
    assert "signal" not in said


def test_that_all_paths_are_down_and_that_one_is_back_is_said_once(
    world2: LinkWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    world2.line.lose("cut off")
    world2.pass_time(2.5)
    world2.settle()
    said = capsys.readouterr().err
    assert said.count("all paths to box1 are down: requests wait for one") == 1
    assert said.count("a path to box1 is up again, after ") == 1


def test_why_there_is_no_session_is_said_once(world2: LinkWorld, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        world2.line.lose("connecting: Connection refused")
        world2.line.lose("connecting: No route to host")
    said = capsys.readouterr().err
    assert said.count("Connection refused") == said.count("No route to host") == 1


def test_a_disk_that_fails_all_the_time_in_one_way_says_so_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = LinkWorld(2)
    world.grant()
    world.answer_all()
    for _ in range(5):
        world.link.wiring.write_reason(world.link.wiring.disk_row(0), "it can't be shown at /x: Permission denied")
        world.disk_dies(world.disks[0])
        assert world.link.disks[0].failure == "it can't be shown at /x: Permission denied; it is tried again"
        world.pass_time(11)
        world.link.reap()
        world.line.heard_s = world.now_s
    said = capsys.readouterr().err
    assert said.count("nsu: host: disk unit_1: it can't be shown at /x: Permission denied; it is tried again") == 1
    world.settle()
    world.close()
