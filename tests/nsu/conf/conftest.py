"""A folder as a configured machine has it: secrets, good and bad ones, and no name service."""

from pathlib import Path

import pytest

from nsu.conf.load import Loaded, load_text

SECRET = bytes(range(32))
APPENDIX_D = """\
HOST host1
  DATA_PORT    = 10.1.1.1:10002(10)
  DATA_PORT    = 10.1.2.1:10002(12)
  UNIT unit_1
    LBA = unit0(0,25429823)
  UNIT unit_2
    LBA = unit1(0,1000)
  UNIT unit_3
    LBA = unit1(1001,25429823)
"""
ARRAYS = """\
ARRAY unit0
  LEVEL = jbod
  DRIVE = /srv/drive0.img(13GiB)
ARRAY unit1
  LEVEL = jbod
  DRIVE = /srv/drive1.img(13GiB)
"""


def no_name(name: str) -> tuple[str, ...]:
    """A name service that knows nobody."""
    return ()


def load(text: str, **known: tuple[str, ...]) -> Loaded:
    """Load a text where the name service knows only these."""
    return load_text(text, Path("nsu.conf"), resolve=lambda name: known.get(name, ()))


def warnings_of(text: str, **known: tuple[str, ...]) -> str:
    return "\n".join(load(text, **known).warnings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text, mode in (
        ("host1.key", SECRET.hex() + "\n", 0o600),
        ("host2.key", SECRET[::-1].hex().upper(), 0o600),
        ("open.key", SECRET.hex(), 0o644),
        ("short.key", SECRET.hex()[:-1], 0o600),
    ):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(mode)
    return tmp_path
