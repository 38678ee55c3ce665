"""Real children for the tests of `ipc`, reaped whatever a test does."""

from collections.abc import Callable, Iterable, Iterator

import pytest

from ipc.child import HEART_NAMES, Child, Life, fork_child
from ipc.counters import CounterTable

ROWS = 16


class Nursery:
    """Forks children, and kills and reaps those that are left."""

    def __init__(self) -> None:
        self.hearts = CounterTable(ROWS, HEART_NAMES)
        self.children: list[Child] = []

    def fork(self, main: Callable[[Life], int], *, keep: Iterable[int] = (), title: str = "a child") -> Child:
        row = len(self.children) % ROWS
        child = fork_child(title, main, hearts=self.hearts, heart_row=row, keep=keep)
        self.children.append(child)
        return child

    def close(self) -> None:
        for child in self.children:
            child.kill_and_reap()
            child.close()


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    nursery = Nursery()
    try:
        yield nursery
    finally:
        nursery.close()
