"""Proves that what is wrong is told with what to do about it, and that nothing is told when nothing is wrong."""

import copy
from typing import Any

import pytest

from nsu.troubles import process_words, troubles
from tests.nsu.test_show import FOUND


def told(found: dict[str, Any]) -> dict[str, str]:
    return {trouble.what: trouble.to_do for trouble in troubles(found)}


def healthy() -> dict[str, Any]:
    found = copy.deepcopy(FOUND)
    found["supervisor"]["processes"][1]["state"] = "ready"
    server = found["host"]["servers"][0]
    server |= {"trouble": "", "networks": [], "paths": server["paths"][:1]}
    found["host"]["disks"].pop()
    return found


def test_a_healthy_machine_has_no_troubles() -> None:
    assert troubles(healthy()) == []
    assert troubles(healthy() | {"server": None, "host": None}) == []


def test_whoever_lost_his_server_is_told_what_becomes_of_his_requests() -> None:
    found = healthy()
    server = found["host"]["servers"][0]
    server |= {"paths_up": 0, "trouble": "connecting: refused"}
    assert told(found)["box2: connecting: refused"].endswith("go on by themselves (ON_NO_PATH = queue)")
    found["host"]["timers"] = [{"name": "without a path to box2, most", "value_s": 30.0}]
    assert told(found)["box2: connecting: refused"].endswith("fail when that lasts 30 s (ON_NO_PATH)")
    server["trouble"] = ""
    assert list(told(found)) == ["no path to box2 is up"]


def test_a_network_that_is_down_while_others_work_is_no_haste() -> None:
    wrong = told(FOUND)["network 10.1.1.1:10002 is down: [connecting]: timed out"]
    assert wrong == "look at its cables, addresses and firewalls; its paths go over other networks meanwhile"


def test_a_refused_nsu_conf_and_a_failed_drive_say_the_way_out() -> None:
    found = healthy()
    found["server"]["conf"] = {"refused": "block 9 is beyond unit0"}
    found["server"]["arrays"][0]["drives"][0]["note"] = "/var/lib/nsu/failed/x"
    first, second = troubles(found)
    assert "block 9 is beyond unit0" in first.what
    assert "nsu rollback" in first.to_do
    assert "remove /var/lib/nsu/failed/x" in second.to_do


def test_a_role_that_has_ended_for_good_comes_first() -> None:
    first = troubles(FOUND)[0]
    assert first.what == "host is not started again: it failed"


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"name": "server", "state": "starting", "pid": 7, "why": ""}, "server starting (pid 7)"),
        ({"name": "server", "state": "resting", "pid": None, "why": "it failed"}, "server resting: it failed"),
        ({"name": "host", "state": "starting", "pid": 7, "why": "no room"}, "host starting (pid 7): no room"),
        ({"name": "host", "state": "ready", "pid": 7, "why": "no room"}, "host ready (pid 7)"),
        ({"name": "server", "state": "wanted", "pid": None, "why": ""}, "server wanted"),
    ],
)
def test_a_role_without_a_process_has_no_pid(process: dict[str, Any], words: str) -> None:
    assert process_words(process) == words
