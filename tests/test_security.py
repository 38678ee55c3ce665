"""Proves that each row of docs/security.md is answered in each column, and by tests that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
HEADS = {"who": 6, "attack": 3}
"""First word of a table -> its columns; the last one names tests."""


def rows(head: str) -> list[list[str]]:
    """Give the cells of each row of the table that begins so."""
    page = (REPOSITORY / "docs" / "security.md").read_text()
    found = re.search(rf"^\| {head} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    assert found is not None, head
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


@pytest.mark.parametrize("head", HEADS)
def test_every_row_is_answered_in_every_column(head: str) -> None:
    for cells in rows(head):
        assert len(cells) == HEADS[head], cells[0]
        assert all(cells), cells[0]


@pytest.mark.parametrize("head", HEADS)
def test_every_row_names_tests_that_exist(head: str) -> None:
    for cells in rows(head):
        paths = re.findall(r"`([^`]+)`", cells[-1])
        assert paths, cells[0]
        assert [path for path in paths if not re.fullmatch(r"tests/\S*/test_\w+\.py", path)] == [], cells[0]
        assert [path for path in paths if not (REPOSITORY / path).is_file()] == [], cells[0]
