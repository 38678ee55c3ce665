"""Live many lives, as a program: `python -m tests.sim.lives FIRST COUNT [--plant NAME] [--to-first-failure]`.

`python -m tests.sim.lives 264 1` lives life 264 again, and tells its last lines when it fails. The sums go to standard
output as one line of JSON. A program, so that tests can give each processor its own share of the seeds.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.sim.life import LifeOfBoth
from tests.sim.planted import PLANTS


@dataclass
class Sums:
    """What many lives did together."""

    lives: int = 0
    requests: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    blocks_checked: int = 0
    losses_told: int = 0
    """FLUSHes that failed because the NSU had lost power."""
    steps: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    """Seed -> what was wrong, with the last lines of that life."""

    def add(self, life: LifeOfBoth) -> None:
        self.lives += 1
        self.requests += life.plan.done
        self.statuses.update({str(status): count for status, count in life.plan.statuses.items()})
        self.faults.update(life.luck.struck)
        self.blocks_checked += sum(blocks.checked for blocks in life.units)
        self.losses_told += sum(blocks.tellings for blocks in life.units)
        self.steps += life.kernel.steps
        self.virtual_s += life.kernel.now_s - 1000

    def join(self, other: dict[str, Any]) -> None:
        for name in ("lives", "requests", "blocks_checked", "losses_told", "steps", "virtual_s", "cpu_s"):
            setattr(self, name, getattr(self, name) + other[name])
        self.statuses.update(other["statuses"])
        self.faults.update(other["faults"])
        self.failed.update(other["failed"])

    def told(self) -> str:
        """Give the figures for people."""
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        return (
            f"{self.lives} lives, {sum(self.faults.values())} faults ({faults}); {self.requests} requests, "
            f"{self.blocks_checked} blocks checked, {self.losses_told} FLUSHes told of a loss; "
            f"stale, lost, hanging: {len(self.failed)}; "
            f"{self.virtual_s / max(1, self.lives):.1f} s of life and {1000 * self.cpu_s / max(1, self.lives):.0f} ms "
            f"of processor each"
        )


def live_many(seeds: Sequence[int], *, to_first_failure: bool = False) -> Sums:
    """Live them one after the other."""
    sums = Sums()
    began_s = time.process_time()
    for seed in seeds:
        life = LifeOfBoth(seed)
        try:
            life.live()
        except Exception as error:  # noqa: BLE001 whatever the product raises in a life is that life's failure
            sums.failed[str(seed)] = f"{type(error).__name__}: {error}"
        sums.add(life)
        if sums.failed and to_first_failure:
            break
    sums.cpu_s = time.process_time() - began_s
    return sums


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sim.lives")
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--step", type=int, default=1, help="every so many seeds: the others are another program's")
    parser.add_argument("--plant", choices=[plant.__name__ for plant in PLANTS], help="a bug to be found")
    parser.add_argument("--to-first-failure", action="store_true")
    asked = parser.parse_args(arguments)
    with pytest.MonkeyPatch.context() as patch:
        for plant in PLANTS:
            if plant.__name__ == asked.plant:
                plant(patch)
        seeds = range(asked.first, asked.first + asked.count * asked.step, asked.step)
        sums = live_many(seeds, to_first_failure=asked.to_first_failure)
    for seed, words in sums.failed.items():
        print(f"seed {seed}: {words}", file=sys.stderr)
    print(json.dumps(vars(sums)))
    return 1 if sums.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
