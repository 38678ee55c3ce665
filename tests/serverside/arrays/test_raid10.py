"""Proved by an example that a person can check: stripes go round the pairs, and each lies on both drives of one."""

from serverside.arrays.groups import Group, Piece
from serverside.arrays.raid10 import Raid10


def test_four_drives() -> None:
    layout = Raid10(4, 1024, 2048)
    assert layout.capacity_bytes == 4096
    assert [layout.group(index) for index in range(4)] == [
        Group(0, (0, 1)),
        Group(0, (2, 3)),
        Group(1, (0, 1)),
        Group(1, (2, 3)),
    ]
    assert list(layout.pieces(512, 1024)) == [Piece(0, 0, 512, 512), Piece(1, 0, 0, 512)]
    assert layout.survives({0, 3})
    assert not layout.survives({2, 3})
