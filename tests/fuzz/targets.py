"""The targets, and the inputs that are kept for each.

A target is a file target_NAME.py with two functions: `seeds`, inputs that make sense, and `one_input`, which takes any
bytes at all and asserts what must hold. Whatever it raises is a finding. `corpus/NAME/` holds inputs that a fuzzer
found and that reach what seeds do not; `found/NAME-*` is a golden case each: an input that once broke something.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CORPUS, FOUND = HERE / "corpus", HERE / "found"
NAMES = tuple(sorted(file.stem.removeprefix("target_") for file in HERE.glob("target_*.py")))
PARSERS = (
    "protocol",
    "ipc.control",
    "nsu.conf",
    "hostside.frontends.nbd_protocol",
    "serverside.redundancy",
    "tests.fuzz.target_",
)
"""Beginnings of the modules whose branches guide the fuzzer."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser, with what is thrown at it."""

    name: str
    seeds: Callable[[], list[bytes]]
    one_input: Callable[[bytes], None]

    def kept(self) -> dict[str, bytes]:
        """Give all inputs that are known by now: name -> bytes."""
        seeds = {f"seed {number}": data for number, data in enumerate(self.seeds())}
        files = [*sorted((CORPUS / self.name).glob("*")), *sorted(FOUND.glob(f"{self.name}-*"))]
        return seeds | {file.name: file.read_bytes() for file in files}


def target(name: str) -> Target:
    """Import a target."""
    module = importlib.import_module(f"tests.fuzz.target_{name}")
    return Target(name, module.seeds, module.one_input)
