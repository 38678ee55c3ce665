"""Proves where paths are opened and closed: even shares, none missing because of a dead network, none closed that is
needed, an end to all moving; whatever the networks do.
"""

import heapq
import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.balance import CLOSE_MOST_S, next_at, next_closing, next_opening, overdue
from hostside.networks import PATIENCE_S, REST_FIRST_S, REST_MOST_S, STEADY_FIRST_S
from hostside.paths import Path, PathEvent, PathState, PathTable
from hostside.wiring import SPARE_PATHS
from ipc.backoff import Backoff
from protocol.records import DataPort

S, E = PathState, PathEvent
UP_AFTER_S = 0.01
FENCED_AFTER_S = 0.005
SILENT_S = 5.0
"""How long an agent tries to connect to a network that swallows everything."""


class World:
    """A session, its paths, and networks that work or do not, on a clock of its own."""

    def __init__(self, wanted: int, *places: int, seed: int = 0, extra: int = 0) -> None:
        self.now_s = 0.0
        self.chance = random.Random(seed)
        self.told: list[tuple[int, int]] = []
        self.table = PathTable(
            wanted + extra + SPARE_PATHS, wanted,
            lambda: Backoff(REST_FIRST_S, REST_MOST_S, random=self.chance.random), lambda *life: self.told.append(life),
        )  # fmt: skip
        self.ports = [DataPort(f"10.1.{number}.1", 10002, most) for number, most in enumerate(places)]
        self.works = {port.address: True for port in self.ports}
        self.due: list[tuple[float, int, Callable[[], None]]] = []
        self.tried: Counter[str] = Counter()
        self.moves = 0
        self.events = 0
        self.table.set_ports(self.ports, 0.0)
        self.decide()

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        self.events += 1
        heapq.heappush(self.due, (self.now_s + delay_s, self.events, what))

    # -- the link's part

    def decide(self) -> None:
        while (opening := next_opening(self.table, self.now_s)) is not None:
            path, network = opening
            path.network = network
            self.tried[network.port.address] += 1
            self.table.move(path, E.ASK, self.now_s)
            self.table.move(path, E.TICKET, self.now_s)
            self.at(UP_AFTER_S, lambda path=path, life=path.incarnation: self.connects(path, life))  # type: ignore[misc]
        path_ = next_closing(self.table, self.now_s)
        if path_ is not None:
            before = self.table.up_count
            self.table.move(path_, E.CLOSE, self.now_s)
            assert before > self.table.wanted
            self.moves += 1
            self.at(UP_AFTER_S, lambda: self.exits(path_, path_.incarnation))
        self.check()

    def connects(self, path: Path, life: int) -> None:
        if path.incarnation != life or path.state is not S.STARTING or path.port is None:
            return
        if self.works[path.port.address]:
            self.table.move(path, E.READY, self.now_s)
        else:
            self.at(SILENT_S, lambda: self.exits(path, life))

    def exits(self, path: Path, life: int) -> None:
        if path.incarnation == life and path.state in (S.STARTING, S.UP, S.CLOSING):
            self.table.move(path, E.EXITED, self.now_s)
            self.at(FENCED_AFTER_S, lambda: self.table.move(path, E.FENCED, self.now_s))

    # -- the world's part

    def falls(self, number: int, found_after_s: float = 0.1) -> None:
        """A network goes; its paths are found dead soon after each other."""
        address = self.ports[number].address
        self.works[address] = False
        for path in self.table.paths:
            if path.state is S.UP and path.port is not None and path.port.address == address:
                found_s = self.chance.uniform(0, found_after_s)
                self.at(found_s, lambda path=path, life=path.incarnation: self.exits(path, life))  # type: ignore[misc]

    def mends(self, number: int) -> None:
        self.works[self.ports[number].address] = True

    def pass_time(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        self.decide()
        for _ in range(20_000):
            wake_s = next_at(self.table, self.now_s)
            times = [until_s, *(self.due[0][:1] if self.due else ()), *([wake_s] if wake_s is not None else [])]
            self.now_s = max(self.now_s, min(times))
            while self.due and self.due[0][0] <= self.now_s:
                heapq.heappop(self.due)[2]()
            self.decide()
            if self.now_s >= until_s:
                return
        raise AssertionError("it never comes to rest")

    # -- what is seen

    def up(self) -> list[int]:
        """Count the paths up on each network."""
        count = Counter(path.port.address for path in self.table.paths if path.state is S.UP and path.port)
        return [count[port.address] for port in self.ports]

    def check(self) -> None:
        used = Counter(path.network.port for path in self.table.paths if path.state is not S.IDLE and path.network)
        assert all(count <= port.connections_max for port, count in used.items())
        for network in self.table.networks:
            opening = sum(p.network is network and p.state in (S.TICKET, S.STARTING) for p in self.table.paths)
            began = min((p.since_s for p in self.table.paths if p.network is network), default=0.0)
            # Those that were begun while it was proved may still be under way.
            if network.in_doubt and began >= network.doubted_s:
                assert opening <= 1, "two places for a network in doubt"


def test_all_come_up_at_once_evenly() -> None:
    world = World(8, 10, 12)
    world.pass_time(0.1)
    assert world.up() == [4, 4]
    assert sum(world.tried.values()) == 8


def test_shares_follow_the_places() -> None:
    world = World(8, 9, 3)
    world.pass_time(0.1)
    assert world.up() == [6, 2]


def test_no_more_than_there_are_places() -> None:
    world = World(8, 2, 3)
    world.pass_time(10)
    assert world.up() == [2, 3]


def test_without_ports_or_places_nothing_is_opened() -> None:
    for places in ((), (0,), (0, 0)):
        world = World(4, *places)
        world.pass_time(1)
        assert not world.tried


def test_a_dead_network_costs_no_path_and_is_tried_every_few_seconds() -> None:
    world = World(8, 10, 12)
    world.pass_time(10)
    world.falls(0)
    world.pass_time(0.1 + PATIENCE_S + 0.1)
    assert world.up() == [0, 8]
    before = world.tried[world.ports[0].address]
    world.pass_time(160)
    assert world.up() == [0, 8]
    tries = world.tried[world.ports[0].address] - before
    assert 160 / (SILENT_S + REST_MOST_S) - 1 <= tries <= 160 / (SILENT_S + REST_MOST_S / 2) + 2


def test_as_many_as_fit_come_up_on_what_is_left() -> None:
    world = World(8, 4, 6)
    world.pass_time(10)
    world.falls(0)
    world.pass_time(10)
    assert world.up() == [0, 6]
    world.mends(0)
    world.pass_time(10)
    assert world.up() == [3, 5]


def test_a_network_that_comes_back_gets_its_share_in_time_and_nothing_is_missing_meanwhile() -> None:
    world = World(8, 10, 12)
    world.pass_time(10)
    world.falls(0)
    world.pass_time(60)
    world.mends(0)
    began_s = world.now_s
    while world.up() != [4, 4]:
        world.pass_time(0.01)
        assert sum(world.up()) >= 8, "a working path was given up too early"
        assert world.now_s - began_s < SILENT_S + REST_MOST_S + STEADY_FIRST_S + 1.0
    assert world.moves == 4
    world.pass_time(100)
    assert world.moves == 4, "and then there is quiet"


def test_a_network_dead_from_the_start_is_as_good_as_none() -> None:
    world = World(4, 8, 8)
    world.works[world.ports[0].address] = False
    world.table.begin(0.0)
    world.pass_time(PATIENCE_S + 0.1)
    assert world.up() == [0, 4]


def test_two_dead_networks_of_three() -> None:
    world = World(6, 8, 8, 8)
    world.pass_time(5)
    world.falls(0)
    world.falls(2)
    world.pass_time(PATIENCE_S + 0.3)
    assert world.up() == [0, 6, 0]
    world.mends(2)
    world.pass_time(15)
    assert world.up() == [0, 3, 3]
    world.mends(0)
    world.pass_time(15)
    assert world.up() == [2, 2, 2]


def test_one_path_over_two_networks_stays_where_it_is() -> None:
    world = World(1, 4, 4)
    world.pass_time(60)
    assert world.up() == [1, 0]
    assert world.moves <= 1
    world.falls(0)
    world.pass_time(1)
    assert world.up() == [0, 1]
    before = world.moves
    world.mends(0)
    world.pass_time(100)
    assert sum(world.up()) == 1
    assert world.moves == before, "nothing would be gained"


def test_a_path_whose_process_died_comes_back_to_its_network_at_once() -> None:
    world = World(4, 4, 4)
    world.pass_time(10)
    path = next(path for path in world.table.paths if path.state is S.UP)
    world.exits(path, path.incarnation)
    world.pass_time(FENCED_AFTER_S + UP_AFTER_S + 0.001)
    assert world.up() == [2, 2]
    world.pass_time(100)
    assert world.moves == 0


def test_a_dead_network_does_not_take_the_place_of_a_path_whose_process_died() -> None:
    """Two try the dead ones, and a third is due; then the place that becomes free has to go where it works."""
    world = World(6, 8, 8, 8, 8)
    world.pass_time(5)
    for number in (1, 2, 3):
        world.falls(number)
    world.pass_time(2 * SILENT_S)
    for _ in range(40):
        world.pass_time(2.3)
        if any(path.state is S.IDLE for path in world.table.paths):
            continue
        for path in [path for path in world.table.paths if path.state is S.UP][:2]:
            world.exits(path, path.incarnation)
        world.pass_time(FENCED_AFTER_S + 2 * UP_AFTER_S + 0.001)
        assert world.up() == [6, 0, 0, 0]


def test_nothing_is_given_up_for_a_network_that_comes_for_a_moment() -> None:
    world = World(8, 10, 10)
    world.pass_time(10)
    world.falls(0)
    world.pass_time(30)
    for _ in range(5):
        world.mends(0)
        for _ in range(200):
            world.pass_time(0.05)
            if world.up() == [1, 8]:
                break
        world.pass_time(STEADY_FIRST_S / 2)
        world.falls(0)
        world.pass_time(1.0)
        assert world.up() == [0, 8]
        assert world.moves == 0


def test_a_network_that_comes_and_goes_is_trusted_later_each_time() -> None:
    world = World(8, 10, 10)
    world.pass_time(10)
    lost = []
    for _ in range(8):
        world.falls(0)
        world.pass_time(10)
        world.mends(0)
        world.pass_time(12)
        lost.append(world.up()[0])
    assert lost[0] == 4
    assert lost[-1] <= 1, "no more than the one that tries it"


def test_less_is_wanted() -> None:
    world = World(4, 10, 10, extra=4)
    world.table.wanted = 8
    world.pass_time(5)
    assert world.up() == [4, 4]
    world.table.wanted = 4
    world.pass_time(5)
    assert world.up() == [2, 2]


def test_a_port_is_added_and_taken_away() -> None:
    world = World(4, 4)
    world.pass_time(5)
    assert world.up() == [4]
    world.ports.append(DataPort("fd00::1", 10002, 4))
    world.works["fd00::1"] = True
    world.table.set_ports(world.ports, world.now_s)
    world.pass_time(3)
    assert world.up() == [2, 2]
    world.table.set_ports(world.ports[:1], world.now_s)
    world.falls(1)  # the server ends what it had there
    world.pass_time(3)
    assert world.up() == [4, 0]


def test_one_that_does_not_close_is_overdue() -> None:
    world = World(1, 4)
    world.pass_time(1)
    path = world.table.paths[0]
    world.table.move(path, E.CLOSE, world.now_s)
    assert overdue(world.table, world.now_s) == []
    at_s = next_at(world.table, world.now_s)
    assert at_s is not None
    assert at_s <= world.now_s + CLOSE_MOST_S
    assert overdue(world.table, world.now_s + CLOSE_MOST_S) == [path]


@settings(max_examples=150, deadline=None)
@given(
    wanted=st.integers(1, 9),
    places=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_whatever_the_networks_do_all_is_even_and_quiet_in_the_end(
    wanted: int, places: list[int], seed: int, data: st.DataObject
) -> None:
    world = World(wanted, *places, seed=seed)
    for _ in range(data.draw(st.integers(0, 12))):
        number = data.draw(st.integers(0, len(places) - 1))
        data.draw(st.sampled_from([world.falls, world.mends]))(number)
        world.pass_time(data.draw(st.sampled_from([0.0, 0.05, 0.7, 4.0, 30.0])))
    for number in range(len(places)):
        world.mends(number)
    world.pass_time(100.0)
    up = world.up()
    assert sum(up) == min(wanted, sum(places))
    for mine, most in zip(up, places, strict=True):
        for theirs, their_most in zip(up, places, strict=True):
            assert mine == 0 or theirs >= their_most or mine * their_most <= (theirs + 1) * most + 1e-9, up
    moves, tried = world.moves, world.tried.total()
    world.pass_time(300.0)
    assert (world.moves, world.tried.total()) == (moves, tried)


@pytest.mark.parametrize("number", range(20))
def test_while_one_network_works_nothing_is_missing_for_long(number: int) -> None:
    """The others come and go as they like; at worst one goes when the share of the other was just given to it."""
    world = World(6, 8, 8, 8, seed=number)
    chance = random.Random(number)
    world.pass_time(3)
    missing_s = 0.0
    for _ in range(200):
        if chance.random() < 0.1:
            chance.choice([world.falls, world.mends])(chance.choice([0, 2]))
        world.pass_time(0.1)
        missing_s = missing_s + 0.1 if sum(world.up()) < 6 else 0.0
        assert missing_s < 2 * (0.1 + PATIENCE_S) + 0.3
