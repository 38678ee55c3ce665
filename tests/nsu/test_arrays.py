"""Proves that arrays are told in words that name places, reasons and what is left to do; and that one can be made."""

from pathlib import Path

import pytest

from nsu.arrays import array_lines, create, drive_line, replaced_words
from serverside.errors import SettingsError
from serverside.settings import ArraySettings, DriveSettings, ServerSettings

GOOD = {
    "name": "/srv/a",
    "size_bytes": 1 << 30,
    "state": "good",
    "place": 0,
    "rebuilt_percent": None,
    "repaired_blocks": 0,
    "why_out": "",
}
REBUILDING = {**GOOD, "place": 1, "state": "rebuilding", "rebuilt_percent": 43, "repaired_blocks": 2}
OUT = {**GOOD, "place": 2, "state": "out", "why_out": "a write failed"}
COUNTS = {"repaired": 2, "reconstructed": 9, "mismatches": 0, "scrubs": 1, "replayed": 0}


def test_a_drive_is_told_with_its_place_and_what_is_wrong() -> None:
    assert drive_line(GOOD) == "place 0: /srv/a  1 GiB  good"
    assert drive_line(REBUILDING) == "place 1: /srv/a  1 GiB  rebuilding 43 %, 2 blocks repaired"
    timed = {**GOOD, "operations": 10, "mean_us": 1200, "slowest_us": 80_000}
    assert drive_line(timed) == "place 0: /srv/a  1 GiB  good, 1.2 ms an operation, 80 ms the slowest"
    assert drive_line(OUT) == "place 2: /srv/a  1 GiB  out: a write failed"
    slow = {**GOOD, "slow_s": 40}
    assert drive_line(slow) == "place 0: /srv/a  1 GiB  good, slow for 40 s now"
    assert drive_line({**OUT, "smart": "healthy, 34 °C"}).endswith("out: a write failed; SMART: healthy, 34 °C")
    assert drive_line({"name": "/srv/x", "size_bytes": 1 << 30, "state": "good"}) == "/srv/x  1 GiB  good"


def test_an_array_is_told_with_what_goes_on() -> None:
    redundancy = {**COUNTS, "stopped": True, "scrubbed_percent": 7}
    array = {"name": "unit0", "level": "raid5", "capacity_bytes": 2 << 30, "drives": [GOOD], "redundancy": redundancy}
    lines = list(array_lines([array]))
    assert lines[0] == "unit0  raid5  2 GiB"
    assert any("STOPPED" in line for line in lines)
    assert "  scrub: 7 % are compared" in lines
    assert "blocks repaired: 2" in lines[-1]
    plain = {"name": "unit1", "level": "jbod", "capacity_bytes": 1 << 30, "drives": []}
    assert list(array_lines([plain])) == ["unit1  jbod  1 GiB"]


def test_what_is_left_to_do_is_said() -> None:
    answer = {"array": "unit0", "place": 1, "new": "/srv/new"}
    assert "Write DRIVE = /srv/new in place of the old drive in /etc/nsu.conf" in replaced_words(
        answer, Path("/etc/nsu.conf")
    )
    assert "a spare takes it" in replaced_words({**answer, "new": None}, Path("/etc/nsu.conf"))


def server(folder: Path, level: str = "raid5") -> ServerSettings:
    drives = tuple(DriveSettings(folder / f"d{n}", 2 << 20) for n in range(3))
    return ServerSettings("b", folder, 0, (), False, (ArraySettings("unit0", level, drives),), ())


def test_an_array_is_made_over_content_with_force_alone(tmp_path: Path) -> None:
    (tmp_path / "d1").write_bytes(b"x" * (2 << 20))
    with pytest.raises(SettingsError, match="not blank"):
        create(server(tmp_path), "unit0", force=False)
    assert create(server(tmp_path), "unit0", force=True) == "array unit0 is there: raid5, 2 MiB, 3 drives"


@pytest.mark.parametrize(("name", "level"), [("unit7", "raid5"), ("unit0", "jbod")])
def test_only_arrays_with_redundancy_are_made(tmp_path: Path, name: str, level: str) -> None:
    with pytest.raises(SettingsError, match="there is no ARRAY"):
        create(server(tmp_path, level), name, force=True)
    with pytest.raises(SettingsError, match="there is no ARRAY"):
        create(None, "unit0", force=True)
