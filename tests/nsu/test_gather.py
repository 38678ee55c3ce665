"""Proves that every process of a machine is asked, and that one that does not answer yet costs only its own part."""

import json

import pytest

from ipc.control import ControlError
from nsu.gather import ask_or_none, gather
from tests.harness import World
from tests.nsu.small_roles import SmallSupervisor

pytestmark = pytest.mark.system


def test_all_processes_are_asked(world: World) -> None:
    found = gather(world.machine.state)
    assert {process["name"] for process in found["supervisor"]["processes"]} == {"server", "host"}
    assert (found["server"]["role"], found["host"]["role"]) == ("server", "host")
    assert [disk["process"]["name"] for disk in found["host"]["disks"]] == ["unit_1", "unit_2"]
    assert [disk["process"]["size_bytes"] for disk in found["host"]["disks"]] == [32768 * 512, 2048 * 512]


def test_the_answer_is_plain_json(world: World) -> None:
    found = gather(world.machine.state)
    assert json.loads(json.dumps(found)) == found


def test_a_role_that_does_not_answer_is_none(small: SmallSupervisor) -> None:
    small.start(host="starting")
    small.wait_for("host up")
    found = gather(small.state)
    assert found["supervisor"]["processes"][0]["state"] == "starting"
    assert (found["host"], found["server"]) == (None, None)


def test_without_a_supervisor_there_is_nothing_to_gather(small: SmallSupervisor) -> None:
    with pytest.raises(ControlError, match="no process answers at"):
        gather(small.state)
    assert ask_or_none(small.state / "server.sock") is None
