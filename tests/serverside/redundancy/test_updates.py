"""Proved: updates hold exactly the bytes of the writes, later ones over earlier, and none shares a range."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.arrays.groups import Layout
from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10
from serverside.redundancy import updates
from serverside.redundancy.updates import Write, joined, updates_of

BLOCK = 512
LAYOUTS = st.sampled_from([Raid5(3, 1024, 4096), Raid5(4, 2048, 8192), Raid10(4, 1024, 4096)])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Layout, list[Write]]:
    layout = draw(LAYOUTS)
    writes = []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        first = draw(st.integers(0, layout.capacity_bytes // BLOCK - 1))
        blocks = draw(st.integers(1, layout.capacity_bytes // BLOCK - first))
        writes.append((first * BLOCK, memoryview(bytes([number]) * blocks * BLOCK)))
    return layout, writes


@settings(max_examples=150, deadline=None)
@given(worlds())
def test_updates_are_the_writes(world: tuple[Layout, list[Write]]) -> None:
    layout, writes = world
    expected, found = bytearray(layout.capacity_bytes), bytearray(layout.capacity_bytes)
    for offset, data in writes:
        expected[offset : offset + len(data)] = data
    seen: list[tuple[int, int, int]] = []
    for update in updates_of(layout, writes):
        assert update.members()
        assert all(
            end <= update.start_bytes or update.end_bytes <= start for g, start, end in seen if g == update.group
        )
        seen.append((update.group, update.start_bytes, update.end_bytes))
        for member in update.members():
            at = update.group * layout.group_bytes + member * layout.stripe_bytes + update.start_bytes
            content = update.content(member, memoryview(found)[at : at + update.size_bytes])
            found[at : at + update.size_bytes] = content
            assert update.covers(member) == (0 not in content)
            inside = {b for start, end in update.runs(member) for b in range(start // BLOCK, end // BLOCK)}
            assert inside == {b for b in range(update.start_bytes // BLOCK, update.end_bytes // BLOCK)
                              if content[b * BLOCK - update.start_bytes]}  # fmt: skip
    assert found == expected


def test_neighbours_become_one_full_group() -> None:
    layout = Raid5(4, 1024, 4096)
    pieces = [(at, memoryview(bytes(512))) for at in range(0, 3072, 512)]
    (update,) = updates_of(layout, pieces)
    assert (update.start_bytes, update.end_bytes) == (0, 1024)
    assert all(update.covers(member) for member in range(3))


def test_an_update_is_bounded_by_its_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "WINDOW_BYTES", 1024)
    layout = Raid5(3, 4096, 8192)
    found = updates_of(layout, [(512, memoryview(bytes(4096)))])
    assert [(update.start_bytes, update.end_bytes, update.members()) for update in found] == [
        (0, 512, [1]),
        (512, 1024, [0]),
        (1024, 2048, [0]),
        (2048, 3072, [0]),
        (3072, 4096, [0]),
    ]


def test_parts_side_by_side_on_two_members_stay_apart() -> None:
    layout = Raid5(3, 1024, 4096)
    found = updates_of(layout, [(512, memoryview(bytes(1024)))])
    assert [(update.start_bytes, update.end_bytes, update.members()) for update in found] == [
        (0, 512, [1]),
        (512, 1024, [0]),
    ]


def test_ranges_are_joined_when_they_overlap_and_if_wanted_when_they_touch() -> None:
    assert joined([(4, 6), (0, 2), (2, 4), (8, 9)]) == [(0, 6), (8, 9)]
    assert joined([(4, 6), (0, 2), (2, 5), (8, 9)], touching=False) == [(0, 2), (2, 6), (8, 9)]
