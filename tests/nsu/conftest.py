"""One world of both roles for all who only look at it or copy to it; a supervisor of small roles for whoever kills."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import World, spawn_world
from tests.nsu.small_roles import SmallSupervisor


@pytest.fixture(scope="package")
def world() -> Iterator[World]:
    with spawn_world(units={"unit_1": 32768, "unit_2": 2048}, paths=4, read_only=["unit_2"]) as world:
        yield world


@pytest.fixture
def small(tmp_path: Path) -> Iterator[SmallSupervisor]:
    small = SmallSupervisor(tmp_path)
    yield small
    small.close()
