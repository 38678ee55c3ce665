"""Proves that a plan says whom it disturbs and how, what waits, and what is wrong with the new text."""

import json

import pytest

from nsu.conf.errors import ConfErrors
from nsu.partitions.plan import Plan, plan_lines
from nsu.partitions.size import Size
from nsu.partitions.verbs import Grant, chown, delete, resize, share, unassign
from tests.nsu.conf.conftest import SECRET
from tests.nsu.partitions.conftest import CONF, facts, planned


def how(found: Plan) -> dict[str, str]:
    return {each.host: each.how for each in found.disturbed}


def test_only_those_are_disturbed_whom_it_concerns(tmp_path_factory: pytest.TempPathFactory) -> None:
    key = tmp_path_factory.mktemp("keys") / "key"
    key.touch(mode=0o600)
    key.write_text(SECRET.hex())
    strong = CONF.replace("HOST host1\n", f"HOST host1\n  SECRET_FILE = {key}\n")
    assert how(planned(strong, resize(strong, "second", Size.parse("+1MiB"), facts()))) == {"host1": "told"}
    moved = planned(strong, chown(strong, "first", "host2", facts()))
    assert how(moved) == {"host1": "told", "host2": "cut off"}
    assert moved.cuts_off
    gone = planned(strong, strong.replace("HOST host1", "HOST host9"))
    assert how(gone) == {"host1": "ended"}
    assert how(planned(strong, delete(strong, "second"), facts(sessions={}))) == {"host1": "absent"}
    assert how(planned(strong, strong + "# a comment\n")) == {}


def test_a_plan_is_told_to_people_and_to_programs() -> None:
    found = planned(CONF, delete(CONF, "first"))
    lines = list(plan_lines(found))
    assert lines[0] == "host1/first is deleted: 1 MiB, unit0(0,2047), host1 read-write"
    assert lines[1] == "LOST: all that is on host1/first"
    assert found.loses == ("all that is on host1/first",)
    told = json.loads(json.dumps(found.as_dict()))
    assert [change["kind"] for change in told["changes"]] == ["deleted"]
    assert told["refusals"][0]["can_force"] is True
    assert found.standing(force=True) == ()
    assert found.standing(force=False) == found.refusals
    assert found.summary == (lines[0],)


def test_a_shared_writer_is_warned_of_what_it_does_not_protect() -> None:
    found = planned(CONF, share(CONF, "second", Grant("host2"), shared_write=True, facts=facts()))
    assert any("file system on it will be destroyed" in warning for warning in found.warnings)


def test_what_waits_for_the_next_start_is_said() -> None:
    found = planned(CONF, CONF.replace("LEVEL = jbod", "LEVEL = raid0"))
    assert found.later == ("ARRAY has changed in nsu.conf: that takes effect at the next start",)
    server = "SERVER box2\n  ADDRESS = 10.1.1.9\n"
    assert planned(CONF, CONF + server).later == (
        "SERVER blocks have changed in nsu.conf: that takes effect at the next start",
    )
    without = CONF.partition("ARRAY")[0] + server
    assert any("the server role comes or goes" in each for each in planned(CONF + server, without).later)


def test_other_lines_are_told_too() -> None:
    (change,) = planned(CONF, CONF + "# a comment\n").changes
    assert (change.kind, change.sentence) == ("other", "other lines of nsu.conf change; no partition does")
    (ports,) = planned(CONF, CONF.replace("(10)", "(12)", 1)).changes
    assert ports.sentence == "HOST host1 changed (DATA_PORT)"
    assert planned(CONF, CONF).is_empty


def test_a_bad_text_is_no_plan() -> None:
    with pytest.raises(ConfErrors, match=r"nsu.conf:\d+: COLOUR"):
        planned(CONF, CONF + "  COLOUR = red\n")


def test_what_becomes_nobodys_loses_nothing() -> None:
    assert planned(CONF, unassign(CONF, "first", facts=facts())).loses == ()
