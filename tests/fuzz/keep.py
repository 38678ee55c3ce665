"""The fewest inputs that reach what many reach: what is worth keeping in corpus/.

Reach is counted in steps from line to line in the parsers, by Python's own tracing: no fuzzer is needed to keep.
"""

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tests.fuzz.targets import HERE, PARSERS

Step = tuple[str, int, int]
"""File, from line, to line."""
_ROOTS = tuple(str(HERE.parent.parent / name.replace(".", "/")) for name in PARSERS)


def reach(one_input: Callable[[bytes], None], data: bytes) -> frozenset[Step]:
    """Give the steps that an input makes in the parsers."""
    steps: set[Step] = set()

    def enter(frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        del event, argument
        file, last = frame.f_code.co_filename, -1
        if not file.startswith(_ROOTS):
            return None

        def step(frame: FrameType, event: str, argument: Any) -> Callable[..., Any]:
            nonlocal last
            del event, argument
            steps.add((file, last, frame.f_lineno))
            last = frame.f_lineno
            return step

        return step

    former = sys.gettrace()
    sys.settrace(enter)
    try:
        one_input(data)
    finally:
        sys.settrace(former)
    return frozenset(steps)


def worth_keeping(one_input: Callable[[bytes], None], seeds: list[bytes], found: list[bytes]) -> list[bytes]:
    """Give those of `found`, short ones first, that reach what neither seeds nor shorter ones do."""
    reached = frozenset[Step]().union(*(reach(one_input, seed) for seed in seeds))
    kept = []
    for data in sorted(found, key=lambda data: (len(data), data)):
        fresh = reach(one_input, data) - reached
        if fresh:
            kept.append(data)
            reached |= fresh
    return kept
