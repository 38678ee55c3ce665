"""Proves that sizes are read as they are meant, to the block, and that what is no size is refused."""

import pytest

from nsu.partitions.errors import Refused
from nsu.partitions.size import Size

MIB, GIB = 2048, 2048 << 10


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1block", Size(1)),
        ("2048 blocks", Size(2048)),
        ("100MiB", Size(100 * MIB)),
        ("1.5GiB", Size(GIB + GIB // 2)),
        ("20 GiB", Size(20 * GIB)),
        ("2TiB", Size(2048 * GIB)),
        ("+10GiB", Size(10 * GIB, more=True)),
        ("50%", Size(percent=50)),
        ("+100 %", Size(percent=100, more=True)),
    ],
)
def test_a_size_is_read(text: str, size: Size) -> None:
    assert Size.parse(text) == size


@pytest.mark.parametrize(
    "text", ["", "20", "20GB", "-1GiB", "0MiB", "1.5blocks", "0.3KiB", "101%", "0%", "nan%", "1e3MiB", "GiB", "+"]
)
def test_what_is_no_size_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(Refused, match=r"is not a|is no whole number"):
        Size.parse(text)


def test_a_share_is_whole_mebibytes_and_all_is_all() -> None:
    assert Size.parse("50%").of(10 * MIB + 7) == 5 * MIB
    assert Size.parse("100%").of(10 * MIB + 7) == 10 * MIB + 7
    assert Size.parse("50%").of(100) == 50, "below a MiB, blocks"
    assert Size.parse("33.333%").of(3 * MIB * 1000) == 999 * MIB
    assert Size.parse("1MiB").of(0) == MIB
