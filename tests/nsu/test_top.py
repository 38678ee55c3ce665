"""Proves that the picture of `nsu top` fits 80 columns, shows what moves and what is wrong; JSON says the same."""

import json

from rich.console import Console

from nsu.processes import ProcessUse
from nsu.rates import Found, totals_of
from nsu.top import Look, busiest, picture, told
from tests.nsu.found import found, path


def look(at_s: float, told_of: Found, *processes: ProcessUse) -> Look:
    return Look(at_s, told_of, totals_of(told_of), processes)


def lines(before: Look, now: Look) -> list[str]:
    console = Console(width=80, record=True, force_terminal=False, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(picture(before, now))
    return console.export_text().splitlines()


def busy() -> Found:
    now = found()
    now["host"]["servers"][0]["paths"][0] = path(0, requests=4000, read_bytes=8192000)
    now["host"]["servers"][0]["totals"].update(requests=4000, read_bytes=8192000)
    now["server"]["hosts"][0]["units"][1]["totals"].update(writes=500, written_bytes=12288000)
    now["supervisor"]["warnings"] = ["a long sentence of what is wrong here " * 5]
    return now


def test_the_picture_fits_and_shows_what_moves() -> None:
    long_title = ProcessUse("nsu: srw " + "host" * 30, 5, 3.0, 50 << 20)
    text = lines(look(0.0, found()), look(2.0, busy(), long_title))
    assert all(len(line) <= 80 for line in text), max(text, key=len)
    row = next(line for line in text if "path 0 10.1.1.1:10002 up" in line)
    assert row.split()[-5:] == ["3.906", "MiB/s", "0", "B/s", "–"]
    assert "2,000" in row
    row = next(line for line in text if "  partition logs" in line)
    assert row.split()[2:] == ["250", "0", "B/s", "5.859", "MiB/s", "–"]
    assert any("warning: nsu.conf" in line for line in text)
    assert any("nsu: srw hosthost" in line and "…" in line for line in text)


def test_many_alarms_are_counted() -> None:
    now = found()
    now["supervisor"]["warnings"] = [f"warning {number}" for number in range(9)]
    assert "and 3 more; see: nsu status" in lines(look(0.0, found()), look(1.0, now))


def test_the_busiest_process_comes_first() -> None:
    before = look(0.0, found(), ProcessUse("a", 1, 5.0, 0), ProcessUse("b", 2, 5.0, 0))
    now = look(2.0, found(), ProcessUse("a", 1, 5.2, 0), ProcessUse("b", 2, 6.0, 0), ProcessUse("new", 3, 9.0, 0))
    assert [(use.title, round(share)) for use, share in busiest(before, now)] == [("b", 50), ("a", 10), ("new", 0)]


def test_json_says_the_same() -> None:
    answer = json.loads(json.dumps(told(look(0.0, found()), look(2.0, busy()))))
    assert answer["rates"]["path:box2:0"]["operations_s"] == 2000
    assert answer["alarms"][0]["about"] == "nsu.conf"
    assert answer["machine"] == "box1"
