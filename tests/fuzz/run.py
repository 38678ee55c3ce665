"""The driver: `python -m tests.fuzz.run [TARGET…] --seconds N [--keep]` fuzzes each target for so long.

It begins with the seeds, the corpus and the golden cases. An input that breaks something is put into found/, is shown
with what it broke, and makes the run fail; mended, it stays there as a golden case. `--keep` adds to corpus/ the
fewest of the new inputs that reach what no kept one does. Plain modules are fuzzed: compiled ones are opaque.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.keep import worth_keeping
from tests.fuzz.targets import CORPUS, FOUND, HERE, NAMES, target

HANGS_AFTER_S = 20
INPUT_BYTES_MAX = 8192
MEMORY_MIB_MAX = 1024
STARTED_WITHIN_S = 120


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of fuzzing a target."""

    name: str
    executions: int
    edges: int
    """Branches of the parsers that were taken."""
    kept: int
    """Inputs put into corpus/."""
    broken: str
    """Empty, or what was broken, with the input's file."""

    def __str__(self) -> str:
        return f"{self.name}: {self.executions} executions, {self.edges} edges, {self.broken or 'nothing found'}"


def fuzz(name: str, seconds: int, *, keep: bool = False) -> Outcome:
    """Fuzz one target in a process of its own."""
    FOUND.mkdir(exist_ok=True)
    before = golden_cases(name)
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder)
        for data in target(name).kept().values():
            (inputs / hashlib.sha1(data).hexdigest()).write_bytes(data)
        said, failed = run_worker(name, seconds, inputs)
        kept = keep_best(name, inputs) if keep and not failed else 0
    fresh = ", ".join(str(file.relative_to(HERE.parent.parent)) for file in sorted(golden_cases(name) - before))
    broken = f"BROKEN {fresh}\n{said[-4000:]}" if failed or fresh else ""
    return Outcome(name, last_number(r"^#(\d+)", said), last_number(r"\bcov: (\d+)", said), kept, broken)


def golden_cases(name: str) -> set[Path]:
    """Give the files that once broke something of this target."""
    return set(FOUND.glob(f"{name}-*"))


def run_worker(name: str, seconds: int, inputs: Path) -> tuple[str, bool]:
    """Give what the fuzzer said, and whether it failed."""
    flags = [f"-max_total_time={seconds}", f"-timeout={HANGS_AFTER_S}", f"-max_len={INPUT_BYTES_MAX}"]
    flags += [f"-rss_limit_mb={MEMORY_MIB_MAX}", f"-artifact_prefix={FOUND / name}-", str(inputs)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.worker", name, *flags],
        env=os.environ | {"NSU_PLAIN": "1"},
        cwd=HERE.parent.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds + HANGS_AFTER_S + STARTED_WITHIN_S,
        check=False,
    )
    return done.stdout, done.returncode != 0


def keep_best(name: str, inputs: Path) -> int:
    """Make corpus/NAME/ the fewest inputs that reach beyond the seeds all that these reach; give how many."""
    chosen = target(name)
    seeds = [*chosen.seeds(), *(file.read_bytes() for file in golden_cases(name))]
    best = worth_keeping(chosen.one_input, seeds, [file.read_bytes() for file in inputs.iterdir()])
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in folder.iterdir():
        file.unlink()
    for data in best:
        (folder / hashlib.sha1(data).hexdigest()[:12]).write_bytes(data)
    return len(best)


def last_number(pattern: str, text: str) -> int:
    """Give the last number that a pattern finds; 0: none."""
    return int((re.findall(pattern, text, flags=re.MULTILINE) or ["0"])[-1])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run")
    parser.add_argument("target", nargs="*", choices=[[], *NAMES], help="one of the parsers; none: all, one by one")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--keep", action="store_true", help="put the best new inputs into corpus/")
    options = parser.parse_args()
    outcomes = []
    for name in options.target or NAMES:
        outcomes.append(fuzz(name, options.seconds, keep=options.keep))
        print(outcomes[-1], f"({outcomes[-1].kept} kept)" if options.keep else "", flush=True)
    return any(outcome.broken for outcome in outcomes)


if __name__ == "__main__":
    sys.exit(main())
