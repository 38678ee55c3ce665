"""Proves that docs/traps.md names only files and tests that exist, each trap once."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent


def test_every_trap_is_answered_by_files_that_exist() -> None:
    page = (REPOSITORY / "docs" / "traps.md").read_text()
    rows = re.findall(r"^\| (\d+) \|[^|]*\|[^|]*\|([^|]*)\|([^|]*)\|$", page, flags=re.MULTILINE)
    numbers = [int(number) for number, _, _ in rows]
    assert numbers == [*range(1, 30), 31, 32]
    for number, files, tests in rows:
        for path in re.findall(r"`([^`]+)`", files + tests):
            assert (REPOSITORY / path).is_file(), f"trap {number}: there is no {path}"
        assert re.findall(r"`tests/[^`]+`", tests), f"trap {number} names no test"
