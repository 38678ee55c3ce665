"""Proves that a size has four digits and the unit in which it is below 1024."""

import pytest

from ipc.sizes import size


@pytest.mark.parametrize(
    ("count_bytes", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (1536 << 20, "1.5 GiB"),
        ((1 << 40) - 1, "1 TiB"),
        (16 << 50, "16 PiB"),
        ((1 << 64) - 1, "16 EiB"),
    ],
)
def test_sizes(count_bytes: int, words: str) -> None:
    assert size(count_bytes) == words
