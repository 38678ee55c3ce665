"""Proves that the pieces of an array cover it once, without gap or overlap, and say whose each is."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nsu.web.drawing import COLOURS, pieces_in, pieces_of
from tests.nsu.found import found, unit


@st.composite
def tables(draw: st.DrawFn) -> tuple[int, list[tuple[str, str, str]]]:
    blocks = draw(st.integers(1, 10_000))
    cuts = sorted(draw(st.sets(st.integers(0, blocks), max_size=12)) | {0, blocks})
    owned = []
    for first, end in pairwise(cuts):
        for host in draw(st.lists(st.sampled_from(["", "a", "b", "c"]), max_size=3, unique=True)):
            owned.append((host, f"p{first}", f"unit0({first},{end - 1})"))
    return blocks, draw(st.permutations(owned))


@given(tables())
def test_the_pieces_cover_the_array_once(table: tuple[int, list[tuple[str, str, str]]]) -> None:
    blocks, owned = table
    pieces = pieces_of("unit0", blocks, owned)
    assert sum(piece.blocks for piece in pieces) == blocks
    assert pieces[0].first_lba == 0
    assert all(left.last_lba + 1 == right.first_lba for left, right in pairwise(pieces))
    assert all(not (left.is_free and right.is_free) for left, right in pairwise(pieces))
    assert abs(sum(piece.width_percent for piece in pieces) - 100) < 0.01
    used = [piece for piece in pieces if not piece.is_free]
    assert [piece.number for piece in used] == list(range(1, len(used) + 1))
    assert all(0 <= piece.colour < COLOURS for piece in pieces)
    whose = {(piece.first_lba, piece.last_lba): piece.hosts for piece in used}
    for host, _, lba in owned:
        first, last = map(int, lba.removeprefix("unit0(").rstrip(")").split(","))
        assert host in ("", *whose[first, last])


def test_a_shared_partition_is_one_piece() -> None:
    pieces = pieces_of(
        "unit0", 100, [("b", "log", "unit0(0,9)"), ("a", "data", "unit0(0,9)"), ("a", "x", "unit1(0,9)")]
    )
    assert [(piece.words, piece.blocks) for piece in pieces] == [("data = log of a and b", 10), ("free", 90)]


def test_a_server_is_drawn_with_what_is_nobodys() -> None:
    server = found()["server"]
    server["unassigned"] = [unit("spare", 0, 700, 799)]
    words = [piece.words for piece in pieces_in(server, [("spare", "unit0(700,799)")])["unit0"]]
    assert words == ["data of host1", "logs of host1", "free", "spare of no host", "free"]
    assert pieces_in(None) == {}
