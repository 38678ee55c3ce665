"""The plan never has two of a name, kills the silent, rests after failures, brings up what is wanted."""

import dataclasses
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ipc.backoff import Backoff
from ipc.exits import Exit
from ipc.supervision import GiveUp, Kill, Plan, Policy, Spawn, State, Stop

FIRST_S, MOST_S, SILENT_AFTER_S, STOP_WITHIN_S, STEADY_AFTER_S = 0.1, 2.0, 5.0, 3.0, 10.0


def policy(**changes: object) -> Policy:
    base = Policy(
        Backoff(FIRST_S, MOST_S, random=lambda: 0.999),
        silent_after_s=SILENT_AFTER_S,
        stop_within_s=STOP_WITHIN_S,
        steady_after_s=STEADY_AFTER_S,
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def running(**changes: object) -> Plan:
    """A plan whose "web" was forked at 0 and is ready."""
    plan = Plan()
    plan.want("web", policy(**changes))
    assert plan.verbs(0) == [Spawn("web")]
    plan.spawned("web", 0)
    plan.ready("web", 0)
    return plan


def test_what_is_wanted_is_forked_until_it_is_reported() -> None:
    plan = Plan()
    plan.want("a", policy())
    plan.want("b", policy())
    assert plan.verbs(0) == plan.verbs(0) == [Spawn("a"), Spawn("b")]
    plan.spawned("a", 0)
    assert plan.verbs(0) == [Spawn("b")]
    assert (plan.state("a"), plan.state("b"), plan.running) == (State.STARTING, State.WANTED, ("a",))


def test_ready_is_seen() -> None:
    plan = running()
    assert plan.state("web") is State.READY
    assert plan.verbs(0) == []


def test_failures_are_followed_by_growing_rests() -> None:
    plan = running()
    now, rests = 0.0, []
    for _ in range(7):
        plan.exited("web", Exit.FAILED, now)
        assert plan.state("web") is State.RESTING
        due_s = plan.next_at()
        assert due_s is not None
        assert plan.verbs(due_s - 0.001) == []
        rests.append(due_s - now)
        now = due_s
        assert plan.verbs(now) == [Spawn("web")]
        plan.spawned("web", now)
    assert rests == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0], rel=0.01)


@pytest.mark.parametrize(("ready_for_s", "rest_s"), [(STEADY_AFTER_S, 0.1), (STEADY_AFTER_S - 0.1, 0.2)])
def test_a_steady_child_begins_again_at_the_first_rest(ready_for_s: float, rest_s: float) -> None:
    plan = running(silent_after_s=None)
    plan.exited("web", Exit.FAILED, 0)
    plan.verbs(1)
    plan.spawned("web", 1)
    plan.ready("web", 2)
    plan.exited("web", Exit.FAILED, 2 + ready_for_s)
    assert plan.next_at() == pytest.approx(2 + ready_for_s + rest_s, abs=0.01)


def test_a_child_that_lived_long_but_was_never_ready_is_not_steady() -> None:
    plan = running(silent_after_s=None)
    plan.exited("web", Exit.FAILED, 100)
    plan.verbs(101)
    plan.spawned("web", 101)
    plan.exited("web", Exit.FAILED, 201)
    assert plan.next_at() == pytest.approx(201.2, abs=0.01)


@pytest.mark.parametrize("is_ready", [False, True])
def test_the_silent_are_killed_once_and_forked_again_when_reaped(is_ready: bool) -> None:
    plan = Plan()
    plan.want("web", policy())
    plan.verbs(0)
    plan.spawned("web", 0)
    if is_ready:
        plan.ready("web", 0)
    assert plan.next_at() == SILENT_AFTER_S
    assert plan.verbs(SILENT_AFTER_S - 0.001) == []
    assert plan.verbs(SILENT_AFTER_S) == [Kill("web", "it was silent for 5.0 s")]
    assert plan.verbs(100) == [], "said once"
    assert plan.state("web") is State.DYING
    plan.exited("web", -9, 100)
    assert plan.why("web") == "it was silent for 5.0 s"
    assert plan.verbs(101) == [Spawn("web")]


def test_a_beat_puts_the_kill_off_and_old_news_does_not_bring_it_back() -> None:
    plan = running()
    plan.beat("web", 4)
    plan.beat("web", 2)
    assert plan.next_at() == 4 + SILENT_AFTER_S
    assert plan.verbs(4 + SILENT_AFTER_S - 0.001) == []
    assert isinstance(plan.verbs(4 + SILENT_AFTER_S)[0], Kill)


def test_who_may_be_silent_is_never_killed() -> None:
    plan = running(silent_after_s=None)
    plan.beat("web", 1)
    assert plan.next_at() is None
    assert plan.verbs(1e9) == []


@pytest.mark.parametrize("status", [Exit.NEVER_AGAIN, Exit.MISUSE])
def test_a_status_that_says_never_again_is_final_and_said_once(status: Exit) -> None:
    plan = running()
    plan.exited("web", status, 1)
    assert plan.state("web") is State.GIVEN_UP
    (verb,) = plan.verbs(1)
    assert isinstance(verb, GiveUp)
    assert status.sentence in verb.why
    assert plan.verbs(1e9) == []
    assert plan.next_at() is None


@pytest.mark.parametrize("status", [Exit.OK, Exit.FAILED, -9, Exit.PATH_LOST, Exit.PATH_REFUSED, 77])
def test_every_other_end_is_followed_by_a_new_start(status: int) -> None:
    plan = running()
    plan.exited("web", status, 1)
    assert plan.verbs(2) == [Spawn("web")]


def test_who_is_to_run_once_is_given_up_however_it_ended() -> None:
    plan = running(restart=False)
    plan.exited("web", Exit.OK, 1)
    assert isinstance(plan.verbs(1)[0], GiveUp)


def test_who_was_given_up_is_tried_anew_when_it_is_wanted_anew() -> None:
    plan = running()
    plan.exited("web", Exit.NEVER_AGAIN, 1)
    plan.want("web", policy())
    assert plan.verbs(1) == [Spawn("web")]


def test_a_fork_that_fails_is_tried_again_after_a_rest() -> None:
    plan = Plan()
    plan.want("web", policy())
    plan.not_spawned("web", 0)
    assert plan.verbs(0) == []
    assert plan.verbs(FIRST_S) == [Spawn("web")]


def test_the_dismissed_are_stopped_killed_when_late_and_forgotten_when_reaped() -> None:
    plan = running()
    plan.dismiss("web", 1)
    plan.dismiss("web", 2)
    assert plan.next_at() == 1
    assert plan.verbs(2) == [Stop("web")]
    assert plan.next_at() == 2 + STOP_WITHIN_S
    assert plan.verbs(2) == []
    plan.beat("web", 2)
    plan.ready("web", 2)
    assert plan.verbs(2 + STOP_WITHIN_S) == [Kill("web", "it did not stop within 3.0 s")]
    plan.exited("web", -9, 5)
    assert (plan.names(), plan.state("web"), plan.next_at()) == ((), State.GONE, None)


@pytest.mark.parametrize("state", [State.WANTED, State.RESTING, State.GIVEN_UP])
def test_who_does_not_run_is_forgotten_at_once(state: State) -> None:
    plan = Plan()
    plan.want("web", policy())
    if state is not State.WANTED:
        plan.spawned("web", 0)
        plan.exited("web", Exit.NEVER_AGAIN if state is State.GIVEN_UP else Exit.FAILED, 0)
    assert plan.state("web") is state
    plan.dismiss_all(0)
    assert (plan.names(), plan.verbs(100)) == ((), [])


def test_nobody_is_killed_as_too_slow_before_it_was_told_to_stop() -> None:
    plan = running()
    plan.dismiss("web", 1)
    assert plan.verbs(1 + 2 * STOP_WITHIN_S) == [Stop("web")]
    assert plan.verbs(1 + 2 * STOP_WITHIN_S) == []


def test_children_of_one_policy_rest_each_on_its_own_account() -> None:
    plan, shared = Plan(), policy()
    for name in "ab":
        plan.want(name, shared)
        plan.spawned(name, 0)
    plan.exited("a", Exit.FAILED, 0)
    plan.verbs(1)
    plan.exited("b", Exit.FAILED, 1)
    assert plan.next_at() == pytest.approx(1 + FIRST_S, abs=0.01)


def test_who_is_wanted_again_while_it_stops_is_forked_again_without_a_rest() -> None:
    plan = running()
    plan.dismiss("web", 1)
    plan.want("web", policy())
    assert plan.verbs(1) == [Stop("web")], "never two of a name: the first has to end"
    plan.exited("web", Exit.OK, 2)
    assert plan.verbs(2) == [Spawn("web")]


def test_to_dismiss_what_nobody_wanted_is_harmless() -> None:
    Plan().dismiss("web", 0)


def test_an_event_that_cannot_be_is_a_bug_of_the_caller() -> None:
    plan = running()
    with pytest.raises(AssertionError, match="SPAWNED cannot happen to a child that is READY"):
        plan.spawned("web", 0)
    plan.exited("web", 1, 0)
    with pytest.raises(AssertionError, match="exited, but is RESTING"):
        plan.exited("web", 1, 0)


@dataclass
class Process:
    """A process of the simulated world."""

    started_s: float
    beat_s: float
    is_ready: bool = False
    is_killed: bool = False
    stopped_s: float | None = None


@dataclass
class World:
    """Carries out verbs as an operating system would."""

    processes: dict[str, Process] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)


NAMES = st.sampled_from("abc")
STATUSES = st.sampled_from([0, 1, 2, 3, 10, 11, -9, -15])


class PlanInAWorld(RuleBasedStateMachine):
    """Whatever happens, in any order: the rules hold, and after the trouble all that is wanted comes up."""

    def __init__(self) -> None:
        super().__init__()
        self.plan, self.world, self.now = Plan(), World(), 0.0
        self.wanted: set[str] = set()
        self.forks_fail = False

    @rule(name=NAMES)
    def want(self, name: str) -> None:
        self.plan.want(name, policy())
        self.wanted.add(name)
        self.world.given_up.discard(name)

    @rule(name=NAMES)
    def dismiss(self, name: str) -> None:
        self.plan.dismiss(name, self.now)
        self.wanted.discard(name)
        self.world.given_up.discard(name)

    # Sums of powers of two: differences of such times are exact.
    @rule(seconds=st.sampled_from([0.0, 0.0625, 0.25, 1.0, 2.5, 6.0, 20.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(fails=st.booleans())
    def lack_processes(self, fails: bool) -> None:
        self.forks_fail = fails

    @rule()
    def act(self) -> None:
        for verb in self.plan.verbs(self.now):
            if isinstance(verb, Spawn):
                self.spawn(verb.name)
            elif isinstance(verb, GiveUp):
                assert verb.name in self.wanted
                assert verb.name not in self.world.given_up, "said once"
                self.world.given_up.add(verb.name)
            else:
                self.end(verb)
        next_at = self.plan.next_at()
        assert next_at is None or next_at > self.now, "a loop would turn for ever"

    def spawn(self, name: str) -> None:
        assert name in self.wanted, "nobody wants it"
        assert name not in self.world.processes, "there are two of a name"
        if self.forks_fail:
            self.plan.not_spawned(name, self.now)
        else:
            self.world.processes[name] = Process(self.now, self.now)
            self.plan.spawned(name, self.now)

    def end(self, verb: Stop | Kill) -> None:
        process = self.world.processes[verb.name]
        if isinstance(verb, Stop):
            assert process.stopped_s is None, "said once"
            assert not process.is_killed
            process.stopped_s = self.now
            return
        assert not process.is_killed, "said once"
        process.is_killed = True
        if process.stopped_s is None:
            assert self.now - process.beat_s >= SILENT_AFTER_S, "it was not silent"
        else:
            assert self.now - process.stopped_s >= STOP_WITHIN_S, "it had time"

    @precondition(lambda self: self.world.processes)
    @rule(data=st.data(), status=STATUSES)
    def exit(self, data: st.DataObject, status: int) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.processes)))
        process = self.world.processes.pop(name)
        self.plan.exited(name, -9 if process.is_killed else status, self.now)

    @precondition(lambda self: self.world.processes)
    @rule(data=st.data())
    def speak(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.world.processes)))
        process = self.world.processes[name]
        process.beat_s = self.now
        if process.is_ready:
            self.plan.beat(name, self.now)
        else:
            process.is_ready = True
            self.plan.ready(name, self.now)

    @invariant()
    def it_knows_what_runs(self) -> None:
        assert set(self.plan.running) == set(self.world.processes)
        assert set(self.plan.names()) == self.wanted | set(self.world.processes)

    def teardown(self) -> None:
        """From now on forks succeed, children say ready and beat, and the stopped and killed end."""
        self.forks_fail = False
        for _ in range(20):
            self.act()
            for name, process in tuple(self.world.processes.items()):
                if process.stopped_s is not None or process.is_killed:
                    del self.world.processes[name]
                    self.plan.exited(name, -9 if process.is_killed else 0, self.now)
                else:
                    process.beat_s = self.now
                    self.plan.ready(name, self.now)
            self.now += 1
        states = {name: self.plan.state(name) for name in self.plan.names()}
        assert states == {name: State.GIVEN_UP if name in self.world.given_up else State.READY for name in self.wanted}


TestPlanInAWorld = PlanInAWorld.TestCase
TestPlanInAWorld.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
