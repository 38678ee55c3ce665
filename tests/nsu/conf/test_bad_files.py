"""Proves every error the loader can tell, by golden files: bad/NAME.conf is bad as bad/NAME.expected says.

In the files, and in what is expected, FOLDER stands for a folder with secrets of several kinds (conftest.py).
"""

from pathlib import Path

import pytest

from nsu.conf.load import ConfErrors, load_file
from tests.nsu.conf.conftest import no_name

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.conf"))


def messages_of(name: str, folder: Path) -> str:
    path = folder / f"{name}.conf"
    path.write_bytes((BAD / f"{name}.conf").read_bytes().replace(b"FOLDER", str(folder).encode()))
    with pytest.raises(ConfErrors) as error:
        load_file(path, resolve=no_name)
    return str(error.value).replace(f"{folder}/{name}.conf:", f"{name}.conf:").replace(str(folder), "FOLDER") + "\n"


@pytest.mark.parametrize("name", CASES)
def test_bad_file(name: str, folder: Path) -> None:
    assert messages_of(name, folder) == (BAD / f"{name}.expected").read_text(encoding="utf-8")


def test_no_case_was_lost() -> None:
    assert len(CASES) >= 15
    assert sorted(path.stem for path in BAD.glob("*.expected")) == CASES
