"""Proves that the list of partitions says everything within 80 columns, and takes nothing for markup."""

import io
from typing import Any

from rich.console import Console

from nsu.show_partitions import free_words, host_words, show_partitions

USES = [
    {"host": "a", "unit": "data", "access": "read-only"},
    {"host": "b", "unit": "ours", "access": "read-write"},
]
PARTITION: dict[str, Any] = {
    "name": "data",
    "array": "unit0",
    "first_lba": 0,
    "last_lba": 1 << 40,
    "blocks": (1 << 40) + 1,
    "uses": USES,
    "in_use_by": ["b"],
}


def test_each_host_has_its_name_for_it_its_rights_and_whether_it_uses_it() -> None:
    assert host_words(PARTITION) == "a read-only\nb (as ours) read-write, in use"
    assert host_words(PARTITION | {"uses": []}) == "nobody"


def test_what_is_free_is_said_with_the_largest_piece() -> None:
    array = {"name": "unit0", "blocks": 1 << 21, "free": [{"blocks": 2048}, {"blocks": 4096}]}
    assert free_words(array) == "unit0: 1 GiB, 3 MiB free in 2 pieces, the largest 2 MiB"
    assert free_words(array | {"free": [{"blocks": 2048}]}) == "unit0: 1 GiB, 1 MiB free"
    assert free_words(array | {"free": []}) == "unit0: 1 GiB, nothing is free"
    assert free_words(array | {"free": None}) == "unit0: how large it is, only a running NSU knows"


def test_the_longest_fits_80_columns() -> None:
    console = Console(width=80, file=io.StringIO())
    long = {"name": "a_partition_with_[a]_long_name", "uses": [USES[0] | {"host": "a-host-with-a-rather-long-name"}]}
    show_partitions(console, {"partitions": [PARTITION | long], "arrays": []})
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    assert "[a" in text, "no markup"
