"""Proves the order of burial: LOST is told once for each life, never before the agent is reaped and the path fenced,
whatever happens in whatever order; and that what happens to paths is known of their networks.
"""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hostside.balance import next_closing, next_opening
from hostside.networks import SHORT_LIFE_S
from hostside.paths import NEXT, Path, PathEvent, PathState, PathTable
from ipc.backoff import Backoff
from protocol.records import DataPort

S, E = PathState, PathEvent
HAS_AGENT = {S.STARTING, S.UP, S.CLOSING, S.DYING, S.FENCED_DYING}
"""States in which there is a process that is not reaped."""

PORTS = (DataPort("127.0.0.1", 10002, 2), DataPort("127.0.0.2", 10002, 2))


def make_table(count: int = 4) -> tuple[PathTable, list[tuple[int, int]]]:
    told: list[tuple[int, int]] = []
    table = PathTable(count, count, lambda: Backoff(0.05, 5.0, random=lambda: 1.0), lambda *life: told.append(life))
    table.set_ports(PORTS, 0.0)
    return table, told


def bring_up(table: PathTable, path: Path, now_s: float) -> None:
    path.network = table.networks[0]
    for event in (E.ASK, E.TICKET, E.READY):
        table.move(path, event, now_s)


# -- the table ---------------------------------------------------------------------------------------------------


def pairs_the_link_makes() -> Iterator[tuple[PathState, PathEvent]]:
    """Every event that hostside/link.py can give in every state: its guards are written down here once more."""
    for state in HAS_AGENT:
        yield state, E.EXITED  # a process dies when it likes
    for state in set(S) - {S.IDLE, S.FENCED_DYING}:
        yield state, E.SESSION_LOST  # `on_lost` leaves those two out
    for state in (S.IDLE, S.DYING, S.ORPHANED):
        yield state, E.SESSION_GRANTED  # without a session there are no others, but FENCED_DYING, which is left out
    yield S.IDLE, E.ASK
    yield S.TICKET, E.TICKET
    yield S.TICKET, E.REFUSED
    for state in (S.STARTING, S.DYING, S.FENCED_DYING):
        yield state, E.READY
    yield S.UP, E.CLOSE
    yield S.FENCING, E.FENCED


def test_the_table_has_every_pair_that_can_happen() -> None:
    missing = [(state, event) for state, event in pairs_the_link_makes() if event not in NEXT[state]]
    assert not missing
    assert set(NEXT) == set(S)


def test_no_state_is_a_trap() -> None:
    """From each a way leads home, so no path is lost for ever."""
    home = {S.IDLE}
    while fresh := {state for state, row in NEXT.items() if state not in home and home & set(row.values())}:
        home |= fresh
    assert home == set(S)


def test_what_the_table_lacks_is_a_bug_and_says_so() -> None:
    table, _ = make_table()
    with pytest.raises(AssertionError, match="path 2 can't take FENCED in IDLE"):
        table.move(table.paths[2], E.FENCED, 0.0)


# -- LOST, whatever happens --------------------------------------------------------------------------------------


class Burial(RuleBasedStateMachine):
    """The world around the table: processes that live and die, a server that fences and grants, a session."""

    PATHS = 4

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.table = PathTable(self.PATHS, self.PATHS - 1, lambda: Backoff(0.05, 3, random=lambda: 0.5), self.told_lost)
        self.table.set_ports(PORTS, 0.0)
        self.session = False
        self.agents: set[int] = set()
        """Paths whose agent is not reaped."""
        self.may_be_applied: set[int] = set()
        """Paths of which the server may still do something."""
        self.lives: set[tuple[int, int]] = set()
        self.told: Counter[tuple[int, int]] = Counter()

    def told_lost(self, number: int, incarnation: int) -> None:
        assert number not in self.agents, "its agent may still write into a slot"
        assert number not in self.may_be_applied, "the server may still apply something of it"
        assert (number, incarnation) in self.lives
        self.told[number, incarnation] += 1
        assert self.told[number, incarnation] == 1

    def in_state(self, *states: PathState) -> list[Path]:
        return [path for path in self.table.paths if path.state in states]

    def pick(self, data: st.DataObject, *states: PathState) -> Path:
        return data.draw(st.sampled_from(self.in_state(*states)))

    @rule(seconds=st.floats(0, 3))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @precondition(lambda self: not self.session)
    @rule()
    def session_is_granted(self) -> None:
        """The server has buried all of the former session before it grants."""
        self.session = True
        self.may_be_applied.clear()
        self.table.begin(self.now_s)
        for path in self.in_state(S.IDLE, S.DYING, S.ORPHANED):
            self.table.move(path, E.SESSION_GRANTED, self.now_s)

    @precondition(lambda self: self.session)
    @rule()
    def session_is_lost(self) -> None:
        self.session = False
        for path in self.table.paths:
            if path.state not in (S.IDLE, S.FENCED_DYING):
                self.table.move(path, E.SESSION_LOST, self.now_s)

    @precondition(lambda self: self.session)
    @rule()
    def paths_are_wanted(self) -> None:
        while (opening := next_opening(self.table, self.now_s)) is not None:
            path, network = opening
            path.network = network
            self.table.move(path, E.ASK, self.now_s)

    @precondition(lambda self: self.session)
    @rule()
    def what_is_too_much_is_closed(self) -> None:
        path = next_closing(self.table, self.now_s)
        if path is not None:
            self.table.move(path, E.CLOSE, self.now_s)
            assert self.table.up_count >= self.table.wanted

    @precondition(lambda self: self.in_state(S.TICKET))
    @rule(data=st.data())
    def ticket(self, data: st.DataObject) -> None:
        path = self.pick(data, S.TICKET)
        self.table.move(path, E.TICKET, self.now_s)
        self.lives.add((path.number, path.incarnation))
        self.agents.add(path.number)
        self.may_be_applied.add(path.number)

    @precondition(lambda self: self.in_state(S.TICKET))
    @rule(data=st.data())
    def refusal(self, data: st.DataObject) -> None:
        path = self.pick(data, S.TICKET)
        self.table.move(path, E.REFUSED, self.now_s)

    @precondition(lambda self: self.in_state(S.STARTING, S.DYING, S.FENCED_DYING))
    @rule(data=st.data())
    def ready(self, data: st.DataObject) -> None:
        path = self.pick(data, S.STARTING, S.DYING, S.FENCED_DYING)
        self.table.move(path, E.READY, self.now_s)

    @precondition(lambda self: self.in_state(*HAS_AGENT))
    @rule(data=st.data())
    def agent_is_reaped(self, data: st.DataObject) -> None:
        path = self.pick(data, *HAS_AGENT)
        self.agents.discard(path.number)
        self.table.move(path, E.EXITED, self.now_s)

    @precondition(lambda self: self.in_state(S.FENCING))
    @rule(data=st.data())
    def server_fences(self, data: st.DataObject) -> None:
        path = self.pick(data, S.FENCING)
        self.may_be_applied.discard(path.number)
        self.table.move(path, E.FENCED, self.now_s)

    @invariant()
    def each_life_that_is_over_was_told_and_no_other(self) -> None:
        running = {(p.number, p.incarnation) for p in self.table.paths if p.state not in (S.IDLE, S.TICKET)}
        assert set(self.told) == self.lives - running

    @invariant()
    def unburied_says_whether_a_former_life_is_dangerous(self) -> None:
        dead_or_dying = {p.number for p in self.in_state(S.FENCING, S.DYING, S.ORPHANED, S.FENCED_DYING)}
        assert self.table.unburied == bool(dead_or_dying)
        assert self.agents - dead_or_dying == {p.number for p in self.in_state(S.STARTING, S.UP, S.CLOSING)}

    @invariant()
    def no_port_has_more_than_it_takes(self) -> None:
        used = Counter(path.port for path in self.table.paths if path.state is not S.IDLE)
        assert all(used[port] <= port.connections_max for port in PORTS)

    def teardown(self) -> None:
        """Let all go well: every life ends told."""
        for path in self.in_state(*HAS_AGENT):
            self.agents.discard(path.number)
            self.table.move(path, E.EXITED, self.now_s)
        for path in self.in_state(S.FENCING):
            self.may_be_applied.discard(path.number)
            self.table.move(path, E.FENCED, self.now_s)
        if not self.session:
            self.session_is_granted()
        assert set(self.told) == self.lives


TestBurial = Burial.TestCase
TestBurial.settings = settings(max_examples=400, stateful_step_count=50, deadline=None)


def test_a_path_that_never_started_has_nothing_to_be_told() -> None:
    table, told = make_table()
    path = table.paths[0]
    for event in (E.ASK, E.REFUSED, E.ASK, E.SESSION_LOST):
        table.move(path, event, 0.0)
    assert told == []
    assert path.incarnation == 0


def test_incarnations_fit_into_their_sixteen_bits() -> None:
    table, told = make_table()
    path = table.paths[0]
    path.incarnation = 0xFFFF
    bring_up(table, path, 0.0)
    assert path.incarnation == 0
    table.move(path, E.EXITED, 0.0)
    table.move(path, E.FENCED, 0.0)
    assert told == [(0, 0)]


# -- what is learned of networks ----------------------------------------------------------------------------------


def test_a_path_that_came_up_proves_its_network_and_a_lost_one_brings_doubt() -> None:
    table, _ = make_table()
    network, other = table.networks
    bring_up(table, table.paths[0], 1.0)
    assert (network.in_doubt, other.in_doubt) == (False, True)
    table.move(table.paths[0], E.EXITED, 1.0 + SHORT_LIFE_S)
    assert [one.in_doubt for one in table.networks] == [True, True]
    assert network.probe_at_s == 1.0 + SHORT_LIFE_S, "it stood for long enough: it may be tried at once"


def test_what_never_came_up_lets_its_network_rest() -> None:
    table, _ = make_table()
    network = table.networks[0]
    for path, events in ((table.paths[0], (E.ASK, E.REFUSED)), (table.paths[1], (E.ASK, E.TICKET, E.EXITED))):
        path.network = network
        for event in events:
            table.move(path, event, 1.0)
        assert (network.in_doubt, network.probe_at_s > 1.0) == (True, True)
        bring_up(table, table.paths[2], 1.0)
        assert table.networks[0].proved_s == 1.0
        table.move(table.paths[2], E.SESSION_LOST, 1.0)
        table.move(table.paths[2], E.EXITED, 1.0)
        table.move(table.paths[2], E.SESSION_GRANTED, 1.0)


def test_a_closed_path_and_a_lost_session_say_nothing_against_the_network() -> None:
    table, _ = make_table()
    network = table.networks[0]
    bring_up(table, table.paths[0], 1.0)
    bring_up(table, table.paths[1], 1.0)
    table.move(table.paths[0], E.CLOSE, 1.0)
    table.move(table.paths[0], E.EXITED, 1.0)
    table.move(table.paths[1], E.SESSION_LOST, 1.0)
    table.move(table.paths[1], E.EXITED, 1.0)
    assert not network.in_doubt


def test_a_new_session_must_prove_every_network_anew_and_may_try_at_once() -> None:
    table, _ = make_table()
    bring_up(table, table.paths[0], 1.0)
    table.networks[1].failed(1.0)
    table.begin(1.01)
    assert [(network.in_doubt, network.probe_at_s) for network in table.networks] == [(True, 1.01)] * 2


def test_a_port_that_stays_is_known_as_well_as_before() -> None:
    table, _ = make_table()
    bring_up(table, table.paths[0], 1.0)
    kept = table.networks[0]
    wider, fresh = DataPort(PORTS[0].address, PORTS[0].port, 7), DataPort("fd00::1", 10002, 3)
    table.set_ports((fresh, wider, wider), 2.0)
    assert [network.port for network in table.networks] == [fresh, wider]
    assert table.networks[1] is kept
    assert not kept.in_doubt
    assert table.paths[0].port == wider
    assert table.places == 10
    assert (table.networks[0].in_doubt, table.networks[0].probe_at_s) == (True, 2.0)


def test_up_count_counts_those_that_carry() -> None:
    table, _ = make_table()
    bring_up(table, table.paths[1], 0.0)
    bring_up(table, table.paths[3], 0.0)
    table.move(table.paths[2], E.ASK, 0.0)
    table.move(table.paths[3], E.CLOSE, 0.0)
    assert table.up_count == 1
