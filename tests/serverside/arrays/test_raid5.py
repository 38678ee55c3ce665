"""Proved by an example that a person can check: parity walks, data follows it round (md's left-symmetric)."""

from serverside.arrays.groups import Group, Piece
from serverside.arrays.raid5 import Raid5


def test_three_drives() -> None:
    layout = Raid5(3, 1024, 4096 + 512)
    assert layout.capacity_bytes == 4 * 2 * 1024
    assert [layout.group(index) for index in range(4)] == [
        Group(0, (0, 1, 2)),
        Group(1, (2, 0, 1)),
        Group(2, (1, 2, 0)),
        Group(3, (0, 1, 2)),
    ]
    assert list(layout.pieces(512, 2048)) == [Piece(0, 0, 512, 512), Piece(0, 1, 0, 1024), Piece(1, 0, 0, 512)]
    assert layout.survives({1})
    assert not layout.survives({0, 1})
