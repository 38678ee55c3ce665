"""Proves that a form changes nsu.conf in two steps, shows consequences first, and never does what was not agreed to."""

import pytest

from tests.nsu.web.client import Client
from tests.nsu.web.conftest import Pages

pytestmark = pytest.mark.system


def agreed(person: Client, path: str, **fields: str) -> str:
    """Send a form, agree to what it does; give what is told."""
    csrf = person.get("/").csrf
    plan = person.post(path, {"csrf": csrf, **fields})
    assert plan.status == 200, plan.text
    ticked = {"force": "on"} if 'name="force"' in plan.text else {}
    return person.told(person.post(path, {**plan.hidden, **ticked}))


def test_the_life_of_a_partition(pages: Pages) -> None:
    person = pages.person()
    before = pages.world.machine.conf.read_text()
    assert "mail is created" in agreed(person, "/partitions/create", name="mail", size="512KiB", zero="on")
    assert "mail is given to host2" in agreed(
        person, "/partitions/assign", partition="mail", host="host2", access="read-write"
    )
    assert "grows from 512 KiB" in agreed(person, "/partitions/resize", partition="host2/mail", size="+256KiB")
    assert "is called post" in agreed(person, "/partitions/rename", partition="host2/mail", name="post")
    told = agreed(person, "/partitions/share", partition="host2/post", host="host1", access="read-only")
    assert "post is given to host1, read-only" in told
    assert "post of host1 and host2" in person.get("/partitions").text, "what was done is shown at once"
    assert "is taken from host1" in agreed(person, "/partitions/unassign", partition="host2/post", host="host1")
    assert "read-only from now on" in agreed(person, "/partitions/access", partition="host2/post", access="read-only")
    assert "is deleted" in agreed(person, "/partitions/delete", partition="host2/post")
    assert pages.world.machine.conf.read_text().rstrip() == before.rstrip()
    audit = pages.program().get("/api/v1/audit?most=2").json
    assert [(entry["what"], entry["outcome"]) for entry in audit] == [
        ("partition delete", "done"),
        ("partition delete", "begun"),
    ]
    assert audit[0]["who"] == "administer"


def test_the_first_step_changes_nothing(pages: Pages) -> None:
    person = pages.person()
    before = pages.world.machine.conf.read_text()
    plan = person.post("/partitions/delete", {"csrf": person.get("/").csrf, "partition": "host1/logs", "force": "on"})
    assert "all that is on host1/logs" in plan.text
    assert "is in use by host1" in plan.text
    assert 'name="force" required' in plan.text
    assert "step" in plan.hidden
    assert pages.world.machine.conf.read_text() == before
    refused = person.post("/partitions/delete", plan.hidden)
    assert (refused.status, "is in use by host1" in refused.text) == (409, True), "without the box it is not forced"
    assert pages.world.machine.conf.read_text() == before


def test_the_box_overrules_what_was_shown_and_nothing_else(pages: Pages) -> None:
    """A plan that was made when nobody used the partition."""
    person = pages.person()
    csrf, before = person.get("/").csrf, pages.world.machine.conf.read_text()
    free = person.post("/partitions/create", {"csrf": csrf, "name": "mail", "size": "256KiB"}).hidden["against"]
    plan = person.post("/partitions/delete", {"csrf": csrf, "partition": "host1/logs"})
    refused = person.post("/partitions/delete", {**plan.hidden, "force": "on", "against": free})
    assert (refused.status, "something else speaks against it by now" in refused.text) == (409, True)
    assert pages.world.machine.conf.read_text() == before


def test_what_was_changed_meanwhile_is_not_done(pages: Pages) -> None:
    person = pages.person()
    form = {"csrf": person.get("/").csrf, "name": "mail", "size": "256KiB", "zero": "on"}
    plan = person.post("/partitions/create", form)
    conf = pages.world.machine.conf
    before = conf.read_text()
    conf.write_text(before + "# somebody was here\n")
    try:
        reply = person.post("/partitions/create", plan.hidden)
        assert reply.status == 409
        assert "changed by somebody else meanwhile" in reply.text
        assert 'value="mail"' in reply.text, "what was entered is still there"
    finally:
        conf.write_text(before)


def test_a_refusal_comes_back_with_the_form(pages: Pages) -> None:
    person = pages.person()
    csrf = person.get("/").csrf
    reply = person.post("/partitions/create", {"csrf": csrf, "name": "mail", "size": "900GiB"})
    assert reply.status == 409
    assert 'role="alert"' in reply.text
    assert 'value="900GiB"' in reply.text
    reply = person.post("/partitions/resize", {"csrf": csrf, "partition": "host1/data", "size": "large"})
    assert "is not a size" in reply.text
    assert person.post("/partitions/explode", {"csrf": csrf}).status == 404


def test_a_whole_file_and_back_again(pages: Pages) -> None:
    person = pages.person()
    before = pages.world.machine.conf.read_text()
    csrf = person.get("/conf").csrf
    stale = person.post("/conf", {"csrf": csrf, "text": before + "# mine\n", "base": "0" * 64})
    assert (stale.status, "# mine" in stale.text) == (409, True), "somebody was faster, and nothing entered is lost"
    bad = person.post("/conf", {"csrf": csrf, "text": before + "NONSENSE\n"})
    assert bad.status == 409
    assert "NONSENSE" in bad.text
    assert "It is in force" in agreed(person, "/conf", text=before + "# a remark\n")
    assert pages.world.machine.conf.read_text().endswith("# a remark\n")
    versions = pages.program().get("/api/v1/history").json
    assert "(password, 127.0.0.1)" in versions[0]["who"]
    agreed(person, "/history/rollback", version=str(versions[1]["number"]))
    assert pages.world.machine.conf.read_text() == before
