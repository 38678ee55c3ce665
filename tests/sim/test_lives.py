"""Proves that host and NSU keep their word together, whatever breaks between and in them, and that we would see it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.lives import Sums
from tests.sim.planted import QUICKLY_FOUND, SLOWLY_FOUND, Plant

REPOSITORY = Path(__file__).parent.parent.parent
SEEDS = 2000
SEEDS_SOAKED = 20_000
SEEDS_TO_FIND_A_BUG = 1000
SEEDS_TO_FIND_A_RARE_BUG = 10_000


def live(first: int, count: int, *flags: str, workers: int = len(os.sched_getaffinity(0))) -> Sums:
    """Live that many lives, shared out among programs: one for each processor."""
    running = []
    for worker in range(workers):
        share = len(range(first + worker, first + count, workers))
        command = [sys.executable, "-m", "tests.sim.lives", str(first + worker), str(share), "--step", str(workers)]
        running.append(
            subprocess.Popen([*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=REPOSITORY)
        )
    sums = Sums()
    for process in running:
        output, errors = process.communicate()
        assert process.returncode in (0, 1), errors.decode()
        sums.join(json.loads(output))
    return sums


def assert_all_well(sums: Sums) -> None:
    print(f"\nsimulation: {sums.told()}")
    again = "python -m tests.sim.lives SEED 1 lives one again"
    assert not sums.failed, f"{len(sums.failed)} lives failed; {again}\n" + "\n\n".join(list(sums.failed.values())[:3])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_keep_their_word_together(request: pytest.FixtureRequest) -> None:
    sums = live(0, request.config.getoption("seeds") or SEEDS)
    assert_all_well(sums)
    # A world in which little happens would prove little.
    assert sums.requests > 20 * sums.lives
    assert sums.blocks_checked > 100 * sums.lives
    assert int(sums.statuses["0"]) > sums.requests / 2
    assert len(sums.faults) >= 20
    assert sums.losses_told > sums.lives / 100


@pytest.mark.soak
def test_keep_their_word_together_for_long(request: pytest.FixtureRequest) -> None:
    assert_all_well(live(SEEDS, request.config.getoption("seeds") or SEEDS_SOAKED))


def test_the_same_seed_is_the_same_life() -> None:
    """Even in another process, whose sets of words and of objects have another order."""
    lines = []
    for hash_seed in ("1", "2"):
        program = (
            "from tests.sim.life import LifeOfBoth\n"
            "for seed in range(20, 30):\n"
            "    life = LifeOfBoth(seed); life.live(); print(life.kernel.steps, life.kernel.now_ns, life.lines)"
        )
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        lines.append(
            subprocess.run(
                [sys.executable, "-c", program], env=environment, cwd=REPOSITORY, capture_output=True, check=True
            ).stdout
        )
    assert lines[0] == lines[1]


def assert_found(plant: Plant, seeds: int) -> None:
    sums = live(0, seeds, "--to-first-failure", "--plant", plant.__name__, workers=1)
    assert sums.failed, f"{seeds} seeds did not show it"


@pytest.mark.parametrize("plant", QUICKLY_FOUND)
def test_planted_bug_is_found(plant: Plant) -> None:
    assert_found(plant, SEEDS_TO_FIND_A_BUG)


@pytest.mark.soak
@pytest.mark.parametrize("plant", SLOWLY_FOUND)
def test_planted_bug_that_needs_several_faults_is_found(plant: Plant) -> None:
    assert_found(plant, SEEDS_TO_FIND_A_RARE_BUG)
