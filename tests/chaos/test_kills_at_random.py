"""kill -9 of every kind of process at random moments, again and again: no wrong data, no error, all comes back."""

import random
import time
from collections import Counter

import psutil
import pytest

from tests.chaos.verifier import Verifier
from tests.harness import Machine, spawn_world

pytestmark = [pytest.mark.system]

KINDS = ("nsu: agent", "nsu: srw", "nsu: disk", "nsu: driver", "nsu: host", "nsu: server", "nsu: supervisor")
"""Titles of all processes of a machine with both roles."""
PATHS = 4
BLOCKS = 64 << 20 >> 9
BACK_WITHIN_S = 30.0
"""Roles that are killed again and again rest ever longer before they are started (nsu/supervisor.py): 10 s at most."""


class Killer:
    """Kills by one seed, and sees that what was killed comes back."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self.machine = machine
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.longest_away_s = 0.0

    def kill(self, title: str) -> None:
        """Kill a process of that title, whatever state its machine is in: it may be missing just now."""
        if title == "nsu: supervisor":
            self.machine.kill()
            self.machine.start()
        else:
            try:
                psutil.Process(self.random.choice(self.machine.pids(title))).kill()
            except (IndexError, psutil.NoSuchProcess):
                return
        self.kills[title] += 1

    def strike(self) -> None:
        """Kill one, or several before the first is back; then wait until all is."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            self.kill(self.random.choice(KINDS))
            time.sleep(self.random.choice((0.0, 0.01, 0.1)))
        self.longest_away_s = max(self.longest_away_s, self.machine.wait_paths(PATHS, BACK_WITHIN_S))
        time.sleep(self.random.uniform(0.0, 0.2))


def kill_and_verify(kills: int, seed: int) -> str:
    """Give what was done, in words."""
    with spawn_world(units={"unit_1": BLOCKS}, zero=["unit_1"], paths=PATHS) as world:
        killer = Killer(world.machine, seed)
        with Verifier(world.at("unit_1"), BLOCKS, seed=seed) as verifier:
            while killer.kills.total() < kills:
                killer.strike()
                verifier.check()
        assert "Traceback" not in world.machine.log(), world.machine.log()
    told = ", ".join(f"{title.removeprefix('nsu: ')} {count}" for title, count in sorted(killer.kills.items()))
    return (
        f"seed {seed}: {killer.kills.total()} kills ({told}), {verifier.requests} requests verified, 0 errors; "
        f"longest until all was back {killer.longest_away_s:.1f} s, longest request {verifier.longest_s:.1f} s"
    )


@pytest.mark.timeout(180)
def test_whoever_is_killed_nothing_is_lost() -> None:
    print(kill_and_verify(20, seed=1))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_two_hundred_kills_lose_nothing() -> None:
    print(kill_and_verify(200, seed=time.time_ns()))
