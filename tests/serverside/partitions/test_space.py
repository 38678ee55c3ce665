"""Proves by random lives of an array, beside a plain row of blocks, that space is neither lost nor given twice, and
that the best place is taken.
"""

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serverside.partitions.space import ALIGNMENTS_BLOCKS, Extent, best_fit, free_extents, room_behind

LARGE_BLOCKS = 5 * 2048 + 13
"""Room for the largest alignment, and an end that fits none."""


class Row:
    """The plain model: who has each block of the array, and nothing else."""

    def __init__(self, blocks: int) -> None:
        self.owners: list[int | None] = [None] * blocks

    def pieces(self) -> list[Extent]:
        """All runs of free blocks."""
        found, first = [], None
        for at, owner in enumerate([*self.owners, -1]):
            if owner is None and first is None:
                first = at
            elif owner is not None and first is not None:
                found.append(Extent(first, at - 1))
                first = None
        return found

    def best(self, blocks: int) -> int | None:
        """Try every place there is: the most even start that can be had, in the smallest piece, the first of those."""
        pieces = self.pieces()
        for alignment in ALIGNMENTS_BLOCKS:
            places = [
                (piece.blocks, start)
                for piece in pieces
                for start in range(-(-piece.first_lba // alignment) * alignment, piece.last_lba + 1, alignment)
                if start + blocks - 1 <= piece.last_lba
            ]
            if places:
                return min(places)[1]
        return None

    def put(self, extent: Extent, owner: int | None) -> None:
        self.owners[extent.first_lba : extent.last_lba + 1] = [owner] * extent.blocks


def live(capacity: int, deeds: Sequence[tuple[int, int]]) -> None:
    """Create, delete and grow; after each deed compare with the row."""
    row = Row(capacity)
    table: dict[int, Extent] = {}
    for serial, (kind, amount) in enumerate(deeds):
        used = table.values()
        if kind < 2 or not table:
            blocks = amount % capacity + 1
            place = best_fit(free_extents(capacity, used), blocks)
            assert (place and place.first_lba) == row.best(blocks)
            if place is not None:
                assert place.blocks == blocks
                assert all(owner is None for owner in row.owners[place.first_lba : place.last_lba + 1]), "overlap"
                table[serial] = place
                row.put(place, serial)
        else:
            owner = list(table)[amount % len(table)]
            extent = table.pop(owner)
            if kind == 2:
                row.put(extent, None)
            else:
                room = room_behind(free_extents(capacity, [extent, *table.values()]), extent.last_lba)
                following = row.owners[extent.last_lba + 1 :]
                assert room == next((at for at, who in enumerate(following) if who is not None), len(following))
                table[owner] = Extent(extent.first_lba, extent.last_lba + amount % (room + 1))
                row.put(table[owner], owner)
        assert free_extents(capacity, table.values()) == row.pieces(), "a piece is lost, or not joined"


deeds = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 1 << 16)), max_size=20)


@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 90), deeds)
def test_random_lives_of_a_small_array(capacity: int, deeds: list[tuple[int, int]]) -> None:
    live(capacity, deeds)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(deeds)
def test_random_lives_of_an_array_with_room_for_alignment(deeds: list[tuple[int, int]]) -> None:
    live(LARGE_BLOCKS, deeds)


@pytest.mark.soak
@settings(max_examples=40_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 90), deeds)
def test_forty_thousand_lives(capacity: int, deeds: list[tuple[int, int]]) -> None:
    live(capacity, deeds)


def test_an_extent_named_twice_or_beyond_the_array_does_no_harm() -> None:
    assert free_extents(100, [Extent(10, 19), Extent(10, 19)]) == [Extent(0, 9), Extent(20, 99)]
    assert free_extents(100, [Extent(90, 200)]) == [Extent(0, 89)]
    assert free_extents(100, [Extent(150, 200)]) == [Extent(0, 99)]
    assert free_extents(0, []) == []


def test_an_extent_inside_another_frees_nothing() -> None:
    assert free_extents(100, [Extent(0, 49), Extent(10, 19)]) == [Extent(50, 99)]


def test_deleted_neighbours_are_one_piece_again() -> None:
    a, b, c = Extent(0, 9), Extent(10, 19), Extent(20, 29)
    assert free_extents(30, [a, c]) == [b]
    assert free_extents(30, [c]) == [Extent(0, 19)]
    assert best_fit(free_extents(30, [c]), 20) == Extent(0, 19)
