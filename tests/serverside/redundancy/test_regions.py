"""Proved: regions are named durably before a write, copies are made the same after a crash, the list is bounded."""

from dataclasses import replace

import pytest

from serverside.redundancy import regions
from serverside.redundancy.head import read_label
from serverside.redundancy.regions import Regions
from serverside.redundancy.superblock import REGIONS_MAX
from tests.serverside.redundancy.rig import STRIPE_BYTES, Rig, faulty, patterned, rig


@pytest.fixture(autouse=True)
def _small_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regions, "REGION_BYTES", 2 * STRIPE_BYTES)


def guard(array: Rig) -> Regions:
    found = array.machine.guard
    assert isinstance(found, Regions)
    return found


def test_a_write_names_its_region_on_every_drive() -> None:
    array = rig("raid10", rows=6)
    array.write(0, patterned(512, 1))
    array.write(11 * STRIPE_BYTES, patterned(512, 1))  # row 5
    for drive in array.pool:
        found = read_label(drive)
        assert found is not None
        assert found.superblock.regions == (0, 2)
    events = array.members.superblock.events
    array.write(1024, patterned(512, 2))
    assert array.members.superblock.events == events  # nothing new to tell
    array.machine.settle()
    assert guard(array).noted == frozenset()
    assert faulty(array.pool[0]).stable == faulty(array.pool[0]).cached


def test_copies_are_made_the_same_where_writes_were_under_way() -> None:
    array = rig("raid10", rows=6)
    array.write(0, patterned(array.layout.capacity_bytes, 1))
    array.machine.settle()
    array.members.save(regions=(0,))
    array.members.write(1, 0, memoryview(patterned(512, 5)))  # one copy was written when the power went
    array.members.write(3, 5 * STRIPE_BYTES, memoryview(patterned(512, 6)))  # nothing was under way here
    after = Rig(array.members.superblock, array.pool)
    after.machine.recover()
    assert after.board.totals.get("replayed") == 1
    assert guard(after).noted == frozenset()
    assert after.scrub() == 1


def test_a_copy_that_cannot_be_read_is_written_from_the_other() -> None:
    array = rig("raid10", rows=6)
    array.write(0, patterned(array.layout.capacity_bytes, 1))
    faulty(array.pool[0]).bad = {array.members.superblock.data_offset_bytes // 512}
    after = Rig(replace(array.members.superblock, regions=(0,)), array.pool)
    after.machine.recover()
    assert after.scrub() == 0
    assert after.read() == patterned(array.layout.capacity_bytes, 1)


def test_a_full_list_begins_anew_after_a_sync() -> None:
    array = rig("raid10", rows=2 * REGIONS_MAX + 4)
    for row in range(0, array.layout.rows, 2):
        array.write(2 * row * STRIPE_BYTES, patterned(512, row))
    assert len(guard(array).noted) == 2
    array.machine.write_many(
        [(2 * row * STRIPE_BYTES, memoryview(bytes(512))) for row in range(0, array.layout.rows, 2)]
    )
    assert len(guard(array).noted) <= REGIONS_MAX
    assert array.scrub() == 0
