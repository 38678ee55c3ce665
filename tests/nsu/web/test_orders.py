"""Proves that each verb of the command line is one of REST, and that the audit log has a line before and after each."""

from pathlib import Path

import pytest

from ipc.control import ControlError
from nsu.cli_partition import partition_verbs
from nsu.conf.settings import MachineSettings
from nsu.web.api.bodies import Replace
from nsu.web.gate import Asker
from nsu.web.orders import VERBS, Orders
from nsu.web.refusals import Refused
from nsu.web.roles import Role
from nsu.web.site import make_site

ASKER = Asker("alice", Role.ADMINISTER, "token", "10.1.1.9", None)


def test_rest_has_the_verbs_of_the_command_line() -> None:
    assert set(partition_verbs.commands) - {"list"} == set(VERBS)


def orders(folder: Path) -> Orders:
    return Orders(make_site(folder / "nsu.conf", MachineSettings("box1", folder, ("127.0.0.1", 1))), ASKER)


def test_what_is_not_done_is_in_the_audit_log_too(tmp_path: Path) -> None:
    made = orders(tmp_path)
    with pytest.raises(ControlError, match="no process answers"):
        made.scrub("unit0")
    with pytest.raises(ControlError):
        made.replace("unit0", Replace(old="0", force=True))
    refused, begun, *_ = made.site.audit.newest(9)
    assert (begun["what"], begun["outcome"], begun["details"]) == (
        "array replace unit0 0 (a spare)",
        "begun",
        ["forced"],
    )
    assert (refused["who"], refused["address"], refused["outcome"]) == ("alice", "10.1.1.9", "refused")
    assert "no process answers" in refused["details"][0]


def test_what_fails_by_our_fault_is_told_as_that(tmp_path: Path) -> None:
    made = orders(tmp_path)
    with pytest.raises(ZeroDivisionError), made.noted("nothing"):
        raise ZeroDivisionError
    assert made.site.audit.newest(1)[0]["outcome"] == "failed"


def test_without_an_audit_log_nothing_is_done(tmp_path: Path) -> None:
    made = orders(tmp_path)
    made.site.audit.path.mkdir(parents=True)
    done = []
    with pytest.raises(Refused, match="so nothing is done"), made.noted("something"):
        done.append(1)
    assert not done
