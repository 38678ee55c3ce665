"""Proves that whatever is wrong is an alarm, with what to do about it, the urgent first."""

from collections.abc import Callable
from typing import Any

import pytest

from nsu.alarms import NOTE, URGENT, WARNING, Alarm, alarms_of
from tests.nsu.found import found

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


def to_do(changed: dict[str, Any]) -> str:
    (alarm,) = alarms_of(changed)
    return alarm.to_do


def test_whoever_lost_his_server_is_told_what_becomes_of_his_requests() -> None:
    changed = found()
    server = changed["host"]["servers"][0]
    server.update(trouble="connecting: refused")
    assert to_do(changed).endswith("; the paths that are up go on")
    server.update(trouble="", paths_up=0)
    assert to_do(changed) == "requests wait, and go on by themselves (ON_NO_PATH = queue)"
    changed["host"]["timers"] = [{"name": "without a path to box2, most", "value_s": 30.0}]
    assert to_do(changed) == "requests fail when that lasts 30 s (ON_NO_PATH)"


def test_a_network_that_is_down_while_others_work_is_no_haste() -> None:
    changed = found()
    changed["host"]["servers"][0]["networks"][0].update(state="down", trouble="reset")
    assert to_do(changed) == "look at its cables, addresses and firewalls; its paths go over other networks meanwhile"


def test_a_refused_nsu_conf_and_drives_say_the_way_out() -> None:
    changed = found()
    changed["server"]["conf"]["refused"] = "block 9 is beyond unit0"
    assert "nsu rollback" in to_do(changed)
    changed = found()
    one = changed["server"]["arrays"][0]["drives"][1]
    one.update(state="out")
    assert to_do(changed) == "give the array another: nsu array replace unit0 1 NEW"
    one.update(state="rebuilding")
    assert to_do(changed) == "", "it mends itself"
    one.update(state="failed", note="/var/lib/nsu/failed/x")
    assert "remove /var/lib/nsu/failed/x" in to_do(changed)
    one.update(note=None, place=None)
    assert to_do(changed) == "see: nsu array list"


def test_why_a_path_is_not_up_is_noted_and_an_older_reason_is_not() -> None:
    changed = found()
    paths = changed["host"]["servers"][0]["paths"]
    paths[0].update(reason="long ago")
    paths[1].update(state="connecting", reason="it was killed by signal 9")
    assert alarms_of(changed) == [Alarm(NOTE, "path box2 1", "it is connecting: it was killed by signal 9")]


def test_what_nsu_conf_warns_of_is_not_told_again_by_the_roles() -> None:
    changed = found()
    for told in (changed["supervisor"], changed["server"], changed["host"]):
        told["warnings"] = ["HOST old is not protected"]
    assert alarms_of(changed) == [Alarm(WARNING, "nsu.conf", "HOST old is not protected")]
