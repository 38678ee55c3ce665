"""Proves that a size in a sentence can be relied on: rounded ones have their blocks beside them."""

from nsu.partitions.words import access_words, size_words


def test_what_is_rounded_says_its_blocks() -> None:
    assert size_words(2048) == "1 MiB"
    assert size_words(20 << 21) == "20 GiB"
    assert size_words(2049) == "1 MiB (2049 blocks)"
    assert size_words(1) == "512 B (1 blocks)"
    assert size_words((1 << 21) + 2048) == "1.001 GiB (2099200 blocks)"


def test_access_is_said_as_in_nsu_conf() -> None:
    assert [access_words(read_only=value) for value in (True, False)] == ["read-only", "read-write"]
