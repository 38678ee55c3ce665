"""No slot has two holders, slots do not overlap, the last given is taken first, children see the bytes."""

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ipc.buffers import BufferPool
from ipc.child import Life
from tests.ipc.conftest import Nursery


def test_a_pool_smaller_than_its_holders_is_refused_with_the_sum() -> None:
    with pytest.raises(ValueError, match=r"10 slots.*8 \(front-end\) \+ 16 \(agents\) = 24"):
        BufferPool(10, 512, holders={"front-end": 8, "agents": 16})


def test_a_pool_of_just_the_sum_serves_all_its_holders() -> None:
    pool = BufferPool(24, 512, holders={"front-end": 8, "agents": 16})
    assert sorted(slot for slot in (pool.take() for _ in range(24)) if slot is not None) == list(range(24))
    assert pool.take() is None


@pytest.mark.parametrize(("slots", "slot_bytes", "held"), [(0, 512, 0), (1, 0, 0), (4, 512, -1)])
def test_impossible_numbers_are_refused(slots: int, slot_bytes: int, held: int) -> None:
    with pytest.raises(ValueError, match=r"a pool needs|less than no slot"):
        BufferPool(slots, slot_bytes, holders={"a": held})


def test_the_slot_given_last_is_taken_first() -> None:
    pool = BufferPool(4, 512, holders={})
    first, second = pool.take(), pool.take()
    assert first is not None
    assert second is not None
    pool.give(second)
    pool.give(first)
    assert pool.take() == first


def test_a_slot_given_twice_is_a_bug() -> None:
    pool = BufferPool(2, 512, holders={})
    slot = pool.take()
    assert slot is not None
    pool.give(slot)
    with pytest.raises(AssertionError, match="given twice"):
        pool.give(slot)
    with pytest.raises(AssertionError, match="no slot 2"):
        pool.give(2)


def test_a_view_never_reaches_into_the_next_slot() -> None:
    pool = BufferPool(2, 512, holders={})
    assert len(pool.view(1)) == 512
    with pytest.raises(AssertionError):
        pool.view(0, 513)
    with pytest.raises(AssertionError):
        pool.view(2)


def test_what_a_child_writes_into_a_slot_its_parent_reads(nursery: Nursery) -> None:
    pool = BufferPool(3, 4096, holders={})

    def fill(_: Life) -> int:
        pool.view(1)[:] = b"c" * 4096
        return 0

    pool.view(2, 5)[:] = b"stays"
    assert nursery.fork(fill).wait(5) == 0
    assert bytes(pool.memory) == bytes(4096) + b"c" * 4096 + b"stays" + bytes(4091)


def test_the_memory_has_no_name() -> None:
    before = set(os.listdir("/dev/shm"))
    pool = BufferPool(3, 4096, holders={})
    assert set(os.listdir("/dev/shm")) <= before
    assert len(pool.memory) == 3 * 4096


class PoolAgainstModel(RuleBasedStateMachine):
    """A pool and a plain stack agree; what is written in a held slot is still there when it is given back."""

    @initialize(slots=st.integers(1, 9), slot_bytes=st.integers(1, 64))
    def make(self, slots: int, slot_bytes: int) -> None:
        self.pool = BufferPool(slots, slot_bytes, holders={"the test": slots})
        self.given = list(range(slots - 1, -1, -1))
        self.held: dict[int, bytes] = {}

    @rule(fill=st.integers(0, 255))
    def take(self, fill: int) -> None:
        slot = self.pool.take()
        assert slot == (self.given.pop() if self.given else None)
        if slot is not None:
            assert slot not in self.held
            self.held[slot] = bytes([fill]) * self.pool.slot_bytes
            self.pool.view(slot)[:] = self.held[slot]

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def give(self, data: st.DataObject) -> None:
        slot = data.draw(st.sampled_from(sorted(self.held)))
        assert bytes(self.pool.view(slot)) == self.held.pop(slot)
        self.pool.give(slot)
        self.given.append(slot)

    @invariant()
    def every_slot_is_in_one_place(self) -> None:
        assert self.pool.free_count == len(self.given) == self.pool.slots - len(self.held)


TestPoolAgainstModel = PoolAgainstModel.TestCase
TestPoolAgainstModel.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
