"""Proves the range lock against the plain rule: wait for every older write that overlaps and has not left."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostside.driver.ranges import NARROW_REGIONS, REGION_SHIFT, RangeLock
from hostside.driver.request import Request
from protocol.ops import Op

REGION = 1 << REGION_SHIFT


def make(offset_bytes: int, length_bytes: int, op: Op = Op.WRITE) -> Request:
    return Request(op, offset_bytes, length_bytes, False, lambda request: None, [], [], [])


def test_disjoint_writes_start_at_once() -> None:
    lock = RangeLock()
    assert all(lock.enter_write(make(offset, 4096)) for offset in range(0, 4 * REGION, 4096))


def test_overlapping_write_waits_until_older_left() -> None:
    lock = RangeLock()
    old, new = make(0, 8192), make(4096, 8192)
    assert lock.enter_write(old)
    assert not lock.enter_write(new)
    assert lock.leave(old) == [new]
    assert lock.leave(new) == []
    assert lock.is_free


def test_read_waits_for_write_but_never_the_other_way() -> None:
    lock = RangeLock()
    write, read = make(0, 4096), make(0, 4096, Op.READ)
    assert lock.enter_read(read)
    assert lock.enter_write(write)
    late = make(512, 512, Op.READ)
    assert not lock.enter_read(late)
    assert lock.leave(write) == [late]


def test_waits_for_waiting_writes_too() -> None:
    lock = RangeLock()
    first, second, third = make(0, 4096), make(0, 8192), make(4096, 4096)
    assert lock.enter_write(first)
    assert not lock.enter_write(second)
    assert not lock.enter_write(third), "it overlaps only the one that waits"
    assert lock.leave(first) == [second]
    assert lock.leave(second) == [third]


def test_tells_who_waits_once() -> None:
    lock = RangeLock()
    holders = make(0, 2 * REGION), make(2 * REGION, 4096), make(4 * REGION, 2 * NARROW_REGIONS * REGION)
    assert all(lock.enter_write(holder) for holder in holders)
    assert lock.waiting() == []
    write, read, wide_read = make(0, 3 * REGION), make(0, 4096, Op.READ), make(5 * REGION, 4096, Op.READ)
    assert not lock.enter_write(write)
    assert not lock.enter_read(read)
    assert not lock.enter_read(wide_read)
    assert sorted(map(id, lock.waiting())) == sorted(map(id, (write, read, wide_read)))


@pytest.mark.parametrize("wide_first", [True, False])
def test_wide_write_and_narrow_one(wide_first: bool) -> None:
    lock = RangeLock()
    wide, narrow = make(0, (NARROW_REGIONS + 5) * REGION), make(3 * REGION - 512, 1024)
    first, second = (wide, narrow) if wide_first else (narrow, wide)
    assert lock.enter_write(first)
    assert not lock.enter_write(second)
    assert lock.leave(first) == [second]
    lock.leave(second)
    assert lock.is_free


sizes = st.sampled_from([512, 4096, REGION, 3 * REGION, (NARROW_REGIONS + 2) * REGION])
starts = st.integers(0, 40).map(lambda count: count * REGION // 4)


@given(st.lists(st.tuples(starts, sizes, st.sampled_from([Op.READ, Op.WRITE])), max_size=25), st.integers(0, 99))
def test_against_the_plain_rule(wanted: list[tuple[int, int, Op]], seed: int) -> None:
    lock = RangeLock()
    chance = random.Random(seed)
    here: list[Request] = []
    running: list[Request] = []

    def expected_to_run(request: Request) -> bool:
        older = here[: here.index(request)]
        return not any(
            old.op == Op.WRITE and old.offset_bytes < request.end_bytes and request.offset_bytes < old.end_bytes
            for old in older
        )

    def leave_one() -> None:
        leaving = running.pop(chance.randrange(len(running)))
        here.remove(leaving)
        if leaving.op == Op.WRITE:
            running.extend(lock.leave(leaving))
        assert sorted(map(id, running)) == sorted(id(r) for r in here if expected_to_run(r))

    for offset_bytes, length_bytes, op in wanted:
        request = make(offset_bytes, length_bytes, op)
        here.append(request)
        starts_now = lock.enter_write(request) if op == Op.WRITE else lock.enter_read(request)
        assert starts_now == expected_to_run(request)
        if starts_now:
            running.append(request)
        if chance.random() < 0.3 and running:
            leave_one()
    while running:
        leave_one()
    assert not here
    assert lock.is_free
