"""Proves that docs/claims.md answers each of the patent's 52 claims once, with files and tests that exist."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
CLAIMS = range(1, 53)


def rows() -> list[tuple[int, str, str]]:
    """(claim, file column, test column) of each row."""
    page = (REPOSITORY / "docs" / "claims.md").read_text()
    found = re.findall(r"^\| (\d+) \|[^|]*\|([^|]*)\|([^|]*)\|$", page, flags=re.MULTILINE)
    return [(int(claim), file, test) for claim, file, test in found]


def test_every_claim_has_its_row() -> None:
    assert [claim for claim, _, _ in rows()] == list(CLAIMS)


def test_every_file_named_exists_and_tests_are_tests() -> None:
    wrong = []
    for claim, file, test in rows():
        for column, begins in ((file, ""), (test, "tests/")):
            paths = re.findall(r"`([^`]+)`", column)
            there = [path for path in paths if path.startswith(begins) and (REPOSITORY / path).is_file()]
            wrong += [f"claim {claim}: no {begins}file {path}" for path in paths if path not in there]
            if not paths and column.strip() != "not yet":
                wrong.append(f'claim {claim}: neither a file nor "not yet" in {column!r}')
    assert not wrong, "\n".join(wrong)
