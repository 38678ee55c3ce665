"""Proves that whatever is wrong is an alarm, the urgent first, and that what changes between two looks is an event."""

from collections.abc import Callable
from typing import Any

import pytest

from nsu.alarms import NOTE, URGENT, WARNING, Alarm, alarms_of, events_between
from tests.nsu.found import drive, found, path, unit

Change = Callable[[dict[str, Any]], object]


def test_where_nothing_is_wrong_there_is_no_alarm() -> None:
    assert alarms_of(found()) == []
    assert alarms_of({**found(), "server": None, "host": None}) == []


CASES: list[tuple[str, str, str, Change]] = [
    (URGENT, "process server", "it is resting: no drive", lambda f: f["supervisor"]["processes"][0].update(
        state="resting", why="no drive")),
    (NOTE, "process web", "it is starting", lambda f: f["supervisor"]["processes"][2].update(state="starting")),
    (WARNING, "nsu.conf", "WEB is odd", lambda f: f["supervisor"]["warnings"].append("WEB is odd")),
    (URGENT, "array unit0", "it has stopped", lambda f: f["server"]["arrays"][0]["redundancy"].update(stopped=True)),
    (URGENT, "drive /srv/drive1.img", "it is out: EIO", lambda f: f["server"]["arrays"][0]["drives"][1].update(
        state="out", why_out="EIO")),
    (WARNING, "drive /srv/drive1.img", "it is rebuilding", lambda f: f["server"]["arrays"][0]["drives"][1].update(
        state="rebuilding")),
    (NOTE, "port 10.1.1.1:10002", "all its places", lambda f: f["server"]["data_ports"][0].update(listening=False)),
    (URGENT, "nsu.conf", "stay in force: bad", lambda f: f["server"]["conf"].update(refused="bad")),
    (WARNING, "server", "told", lambda f: f["server"]["warnings"].append("told")),
    (URGENT, "server box2", "no route", lambda f: f["host"]["servers"][0].update(trouble="no route")),
    (WARNING, "server box2", "1 of 2 paths", lambda f: f["host"]["servers"][0].update(paths_up=1)),
    (URGENT, "server box2", "0 of 2 paths", lambda f: f["host"]["servers"][0].update(paths_up=0)),
    (WARNING, "network 10.1.1.2:10002", "it is down: reset", lambda f: f["host"]["servers"][0]["networks"][0].update(
        state="down", trouble="reset")),
    (URGENT, "disk mail", "gone", lambda f: f["host"]["disks"][0].update(trouble="gone")),
    (NOTE, "disk mail", "detached", lambda f: f["host"]["disks"][0].update(trouble="detached", detached=True)),
    (WARNING, "disk mail", "slow", lambda f: f["host"]["disks"][0]["process"]["notices"].append("slow")),
    (WARNING, "host", "told", lambda f: f["host"]["warnings"].append("told")),
]  # fmt: skip


@pytest.mark.parametrize(("severity", "about", "words", "change"), CASES)
def test_what_is_wrong_is_an_alarm(severity: str, about: str, words: str, change: Change) -> None:
    changed = found()
    change(changed)
    (alarm,) = alarms_of(changed)
    assert (alarm.severity, alarm.about) == (severity, about)
    assert words in alarm.sentence
    assert alarm in events_between(found(), changed), "and its coming an event"
    assert any("nothing is wrong" in each.sentence for each in events_between(changed, found())), "its going too"


def test_the_urgent_come_first_and_each_once() -> None:
    changed = found()
    for _, _, _, change in CASES[:5]:
        change(changed)
    changed["server"]["warnings"].append("WEB is odd")
    alarms = alarms_of(changed)
    assert [alarm.severity for alarm in alarms] == [URGENT] * 3 + [WARNING] + [NOTE]


def test_what_the_server_warns_of_in_other_words_is_told_once() -> None:
    changed = found()
    changed["server"]["arrays"][0]["drives"][1].update(state="out", why_out="EIO")
    changed["server"]["warnings"] = ["array unit0: place 1 is out: EIO", "array unit0: the drive at place 0 is slow"]
    assert [alarm.about for alarm in alarms_of(changed)] == ["drive /srv/drive1.img", "server"]


def test_sessions_partitions_and_paths_come_change_and_go() -> None:
    after = found()
    after["server"]["sessions"] = []
    after["server"]["hosts"][0]["units"] = [unit("data", 0, 0, 599), unit("new", 1, 700, 799)]
    after["host"]["servers"][0]["paths"][1] = path(1, state="fencing")
    after["server"]["arrays"][0]["drives"][0] = drive(0, operations=5)
    assert set(events_between(found(), after)) == {
        Alarm(NOTE, "session host1 0x7", "it is gone"),
        Alarm(NOTE, "partition data of host1", "it is unit0(0,599) read-write; it was unit0(0,499) read-write"),
        Alarm(NOTE, "partition new of host1", "it is new: unit0(700,799) read-write"),
        Alarm(NOTE, "partition logs of host1", "it is gone"),
        Alarm(NOTE, "path box2 1", "it is fencing on 10.1.1.1:10002; it was up on 10.1.1.1:10002"),
    }
    assert events_between(found(), found()) == []
