"""Proved: every kept input and every golden case leaves its parser in order; so does what a fuzzer makes of them."""

import importlib.util

import pytest

from tests.fuzz.keep import reach, worth_keeping
from tests.fuzz.run import fuzz, last_number
from tests.fuzz.targets import CORPUS, FOUND, NAMES, target

CORPUS_BYTES_MAX = 48 << 10
"""Of one target: what is kept is few and small."""
SOAK_S = 60


@pytest.mark.parametrize("name", NAMES)
def test_all_that_is_kept_leaves_the_parser_in_order(name: str) -> None:
    chosen = target(name)
    for data in chosen.kept().values():
        chosen.one_input(data)


@pytest.mark.parametrize("name", NAMES)
def test_any_short_input_does(name: str) -> None:
    chosen = target(name)
    for data in (b"", *(bytes([first, second]) for first in range(8) for second in (0, 1, 7, 255))):
        chosen.one_input(data)
        chosen.one_input(data + bytes(600))
        chosen.one_input(data + b"\xff" * 600)


def test_what_is_kept_is_small_and_of_a_target() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} <= set(NAMES)
    for folder in CORPUS.iterdir():
        assert sum(file.stat().st_size for file in folder.iterdir()) <= CORPUS_BYTES_MAX, folder.name
    orphans = [file.name for file in FOUND.iterdir() if file.name.partition("-")[0] not in NAMES]
    assert orphans in ([], ["README.md"])


def a_parser(data: bytes) -> None:
    chosen = target("path_login")
    chosen.one_input(data)


def test_the_shortest_input_of_those_that_reach_alike_is_kept() -> None:
    seed, same, new = b"", b"\0" * 40, target("path_login").seeds()[3]
    assert reach(a_parser, seed) == reach(a_parser, same)
    assert worth_keeping(a_parser, [seed], [new + b"\0", new, same]) == [new]


def test_figures_are_read_from_what_the_fuzzer_says() -> None:
    said = "#2\tINITED cov: 7 ft: 9\n#90\tNEW    cov: 12 ft: 30\nDone 90 runs in 1 second(s)\n"
    assert last_number(r"^#(\d+)", said) == 90
    assert last_number(r"\bcov: (\d+)", said) == 12
    assert last_number("nothing", said) == 0


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install .[fuzz]")
@pytest.mark.parametrize("name", NAMES)
def test_a_minute_of_fuzzing_finds_nothing(name: str) -> None:
    outcome = fuzz(name, SOAK_S)
    print(outcome)
    assert not outcome.broken, outcome.broken
    assert outcome.executions > 100
