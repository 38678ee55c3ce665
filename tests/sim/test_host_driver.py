"""Proves that the host driver keeps its word, whatever is lost on the way, and that we would see if it did not."""

from collections.abc import Callable

import pytest

from hostside.driver.driver import HostDriver
from hostside.driver.flushes import Flushes
from hostside.driver.ghosts import Ghosts, Holder
from hostside.driver.ranges import RangeLock
from hostside.driver.request import Request
from hostside.packets import Report
from tests.sim.world import World

SEEDS = 300
SEEDS_TO_FIND_A_BUG = 1000


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_keeps_its_word(first: int) -> None:
    for seed in range(first, first + 50):
        try:
            World(seed).run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error


def test_same_seed_same_life() -> None:
    worlds = [World(7), World(7)]
    for world in worlds:
        world.run()
    assert worlds[0].now_s == worlds[1].now_s
    assert worlds[0].server.stored == worlds[1].server.stored


def test_simulation_does_work() -> None:
    """A world in which nothing happens would prove nothing."""
    worlds = [World(seed) for seed in range(30)]
    for world in worlds:
        world.run()
    assert sum(world.server.executed for world in worlds) > 30 * 100
    assert sum(max(world.incarnations) > 2 for world in worlds) > 5
    assert sum(world.given_up for world in worlds) > 10


class EarlyReport(HostDriver):
    """Reports the parent when its first constituent is done."""

    def _start(self, request: Request) -> None:
        super()._start(request)
        request.pending = 1


class RetryBeforeLost(HostDriver):
    """Sends again what a path holds as soon as the path is down, before it is fenced."""

    def _take_control(
        self, kind: int, path: int, incarnation: int, status: int, credits: int, value: int, generation: int
    ) -> None:
        super()._take_control(kind, path, incarnation, status, credits, value, generation)
        if kind == Report.AVAILABLE and credits == 0:
            self._take_back(path, incarnation)


class EagerFlushes(Flushes):
    def take_drained(self) -> list[Request]:
        if self._wire:
            return []
        for epoch in self._closed:
            self._wire += epoch.flushes
        self._closed.clear()
        return list(self._wire)


def flush_without_drain(**arguments: object) -> HostDriver:
    driver = HostDriver(**arguments)  # type: ignore[arg-type]
    driver._flushes = EagerFlushes()
    return driver


class NoLock(RangeLock):
    def enter_write(self, request: Request) -> bool:
        super().enter_write(request)
        return True

    def enter_read(self, request: Request) -> bool:
        return True

    def leave(self, request: Request) -> list[Request]:
        super().leave(request)
        return []


def no_range_lock(**arguments: object) -> HostDriver:
    driver = HostDriver(**arguments)  # type: ignore[arg-type]
    driver._ranges = NoLock()
    return driver


class NoGhosts(Ghosts):
    def add(self, request: Request, holder: Holder) -> None:
        pass


def ghost_range_not_kept(**arguments: object) -> HostDriver:
    """Frees the range of a write that it has given up, though its path is not fenced."""
    driver = HostDriver(**arguments)  # type: ignore[arg-type]
    driver._ghosts = NoGhosts()
    return driver


class EarlyExorcism(HostDriver):
    """Takes a new path for the fence of those that were given up."""

    def _take_control(
        self, kind: int, path: int, incarnation: int, status: int, credits: int, value: int, generation: int
    ) -> None:
        super()._take_control(kind, path, incarnation, status, credits, value, generation)
        if kind == Report.AVAILABLE and credits:
            for holder in {holder for holders in self._ghosts._unfenced.values() for holder in holders}:
                for write in self._ghosts.lost(*holder):
                    self._leave_range(write)


class NoAttempts(HostDriver):
    """Believes a late report for a former use of the tag's index."""

    def _start(self, request: Request) -> None:
        self._tags.next_tags[:] = range(len(self._tags.next_tags))
        super()._start(request)


@pytest.mark.parametrize(
    "make_driver",
    [
        EarlyReport, RetryBeforeLost, flush_without_drain, no_range_lock, NoAttempts, ghost_range_not_kept,
        EarlyExorcism,
    ],
)  # fmt: skip
def test_planted_bug_is_found(make_driver: Callable[..., HostDriver]) -> None:
    for seed in range(SEEDS_TO_FIND_A_BUG):
        try:
            World(seed, make_driver).run()
        except AssertionError:
            return
    pytest.fail(f"{SEEDS_TO_FIND_A_BUG} seeds did not show it")
