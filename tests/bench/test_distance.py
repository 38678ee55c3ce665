"""Proves how throughput over the round trip is judged and drawn, with invented figures."""

from pathlib import Path

import pytest

from bench import distance
from bench.distance import DEEP, NEW, OLD, QUICK, SMALL, Found, marks_of, picture, sheet_of
from bench.peers import PEERS


@pytest.fixture
def found() -> Found:
    """Ours twice as fast as nbdkit with eight sockets; 0x01 has eight times as much with eight as with one."""
    rates = {NEW: 400e6, OLD: 48e6, "nbdkit": 200e6}
    return {
        (load, who, count, trip_ms): [rate * count / 8, rate * count / 8 * 1.5, rate * count / 8 * 0.5]
        for load in (DEEP, SMALL)
        for who, rate in rates.items()
        for count in QUICK.counts
        for trip_ms in QUICK.trips_ms
    }


def test_marks_are_of_medians_and_beside_the_best_peer(found: Found) -> None:
    found |= {(load, "qemu-nbd", 8, 20): [100e6] for load in (DEEP, SMALL)}
    rows = marks_of(found, QUICK).rows
    assert [row[1:] for row in rows[:2]] == [
        ("0x01: 8 sockets ÷ 1", "8.00", "≥ 6", "yes", "≥ 7.5", "yes"),
        ("8 sockets: 0x02 ÷ nbdkit", "2.00", "≥ 1", "yes", "≥ 1.5", "yes"),
    ]


def test_a_mark_that_is_missed_says_so(found: Found) -> None:
    found[DEEP, NEW, 8, 20] = [190e6]
    assert marks_of(found, QUICK).rows[1][2:4] == ("0.95", "≥ 1")
    assert marks_of(found, QUICK).rows[1][4:] == ("NO", "≥ 1.5", "no")


def test_a_row_has_every_round_trip_with_its_range(found: Found) -> None:
    rows = {row[0]: row[1:] for row in sheet_of(found, DEEP, QUICK).rows}
    assert rows["nbdkit, 8"] == ("200 (100–300)", "200 (100–300)")
    assert len(rows) == 3 * len(QUICK.counts)


def test_the_picture_shows_ours_and_the_best_peer(
    found: Found, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distance, "PICTURE", tmp_path / "picture.svg")
    picture(found, QUICK, PEERS[:1])
    drawn = (tmp_path / "picture.svg").read_text()
    for words in ("NSU, 8 sockets", "NSU, 1 socket", "nbdkit, 8 connections", "version 0x01, 1 socket"):
        assert words in drawn
