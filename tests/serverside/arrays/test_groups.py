"""The conformance suite of redundant levels, over drives, stripe sizes and rows.

Proved: every stripe of every place belongs to exactly one group; a group's members are on different places; bytes have
an order without gap or overlap; each level agrees with a model that deals stripes out by hand, and survives exactly the
losses that leave every group all but one of its members.
"""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.arrays.groups import Layout
from serverside.arrays.raid5 import Raid5
from serverside.arrays.raid10 import Raid10

BLOCK = 512
LAYOUTS: dict[str, type[Layout]] = {"raid5": Raid5, "raid10": Raid10}


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    kind = LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))]
    places = draw(st.integers(2, 9).filter(kind.fits))
    stripe_bytes = BLOCK * draw(st.integers(1, 9))
    return kind(places, stripe_bytes, draw(st.integers(stripe_bytes, 12 * stripe_bytes)))


def dealt_raid5(places: int, rows: int) -> list[tuple[int, int]]:
    """(place, row) of each data stripe: parity walks down from the last place, data follows it."""
    found, parity = [], places - 1
    for row in range(rows):
        place = parity
        for _ in range(places - 1):
            place = 0 if place == places - 1 else place + 1
            found.append((place, row))
        parity = places - 1 if parity == 0 else parity - 1
    return found


def dealt_raid10(places: int, rows: int) -> list[tuple[int, int]]:
    """(place of the first copy, row) of each data stripe."""
    return [(place, row) for row in range(rows) for place in range(0, places, 2)]


MODELS = {"raid5": dealt_raid5, "raid10": dealt_raid10}


@settings(max_examples=100, deadline=None)
@given(layouts())
def test_data_lies_where_the_model_deals_it(layout: Layout) -> None:
    dealt = MODELS[layout.level](layout.places, layout.rows)
    assert layout.capacity_bytes == len(dealt) * layout.stripe_bytes
    pieces = list(layout.pieces(0, layout.capacity_bytes))
    groups = [layout.group(piece.group) for piece in pieces]
    assert [(g.places[p.member], g.row) for g, p in zip(groups, pieces, strict=True)] == dealt


@settings(max_examples=100, deadline=None)
@given(layouts())
def test_every_stripe_belongs_to_one_group(layout: Layout) -> None:
    owners: dict[tuple[int, int], int] = {}
    for index in range(layout.groups):
        group = layout.group(index)
        assert len(set(group.places)) == layout.data_members + 1
        for place in group.places:
            assert owners.setdefault((place, group.row), index) == index
            assert layout.group_at(place, group.row) == index
    assert len(owners) == layout.places * layout.rows


@settings(max_examples=100, deadline=None)
@given(layouts(), st.data())
def test_a_range_is_cut_in_its_order_at_the_borders_of_stripes(layout: Layout, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, layout.capacity_bytes // BLOCK - 1)) * BLOCK
    length = data.draw(st.integers(0, (layout.capacity_bytes - start) // BLOCK)) * BLOCK
    at = start
    for piece in layout.pieces(start, length):
        assert at == (piece.group * layout.data_members + piece.member) * layout.stripe_bytes + piece.within_bytes
        assert 0 < piece.length_bytes <= layout.stripe_bytes - piece.within_bytes
        at += piece.length_bytes
    assert at == start + length


@pytest.mark.parametrize(
    "layout", [Raid5(3, 512, 4096), Raid5(6, 512, 4096), Raid10(2, 512, 4096), Raid10(6, 512, 4096)]
)
def test_losses_survived_are_those_that_leave_each_group_all_but_one(layout: Layout) -> None:
    groups = [set(layout.group(index).places) for index in range(layout.groups)]
    for count in range(layout.places + 1):
        for lost in map(set, combinations(range(layout.places), count)):
            assert layout.survives(lost) == all(len(group & lost) <= 1 for group in groups)


@pytest.mark.parametrize(
    "layout", [Raid5(3, 512, 4096), Raid5(5, 512, 4096), Raid10(2, 512, 4096), Raid10(6, 512, 4096)]
)
def test_rebuilding_the_first_places_makes_every_group_whole(layout: Layout) -> None:
    fresh = layout.to_rebuild_first()
    assert layout.survives(fresh)
    assert all(set(layout.group(index).places) & fresh for index in range(layout.groups))


def test_how_many_drives() -> None:
    assert [places for places in range(1, 7) if Raid5.fits(places)] == [3, 4, 5, 6]
    assert [places for places in range(1, 7) if Raid10.fits(places)] == [2, 4, 6]
