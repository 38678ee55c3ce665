"""Proves who may do what on a running machine: tokens, cookies, roles, and requests forged by other sites."""

import pytest

from nsu.web.roles import Role
from tests.nsu.web.conftest import Pages

pytestmark = pytest.mark.system
NOTHING = {"partition": "logs", "zero": True, "plan_only": True}


def test_without_a_token_nothing_is_told(pages: Pages) -> None:
    reply = pages.program(None).get("/api/v1/overview")
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("Bearer nsu_00000000_" + "x" * 43, "Basic YTpi", "Bearer", "", "Bearer \xe9"):
        assert pages.program(None).get("/api/v1/overview", Authorization=wrong).status == 401


def test_roles(pages: Pages) -> None:
    for role, scrub, change, audit in (
        (Role.LOOK, 403, 403, 403),
        (Role.OPERATE, 409, 403, 403),
        (Role.ADMINISTER, 409, 200, 200),
    ):
        program = pages.program(role)
        assert program.get("/api/v1/overview").status == 200
        assert program.order("/arrays/nowhere/scrub").status == scrub
        assert program.order("/partitions/zero", NOTHING).status == change
        assert program.get("/api/v1/audit").status == audit


def test_force_needs_more_than_operate(pages: Pages) -> None:
    reply = pages.program(Role.OPERATE).order("/disks/nowhere/detach", {"force": True})
    assert (reply.status, "administer" in reply.json["error"]) == (403, True)


def test_a_session_may_ask_rest_and_order_with_its_csrf_token_only(pages: Pages) -> None:
    person = pages.person()
    csrf = person.get("/").csrf
    assert person.get("/api/v1/overview").status == 200
    assert person.order("/partitions/zero", NOTHING).status == 403
    assert person.order("/partitions/zero", NOTHING, X_CSRF_Token="wrong").status == 403
    assert person.order("/partitions/zero", NOTHING, X_CSRF_Token=csrf).status == 200
    assert pages.person().order("/partitions/zero", NOTHING, X_CSRF_Token=csrf).status == 403, "of another session"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site", "Origin": "http://127.0.0.1"},
    ],
)
def test_what_another_site_sends_is_not_done(pages: Pages, headers: dict[str, str]) -> None:
    person = pages.person()
    csrf = person.get("/").csrf
    assert person.order("/partitions/zero", NOTHING, X_CSRF_Token=csrf, **headers).status == 403
    assert (
        person.post("/partitions/resize", {"csrf": csrf, "partition": "data", "size": "+1MiB"}, **headers).status == 403
    )
    assert person.post("/login", {"name": "look", "password": "correct horse"}, **headers).status == 403


def test_a_form_without_its_token_is_not_done(pages: Pages) -> None:
    person = pages.person()
    before = pages.world.machine.conf.read_text()
    fields = {"partition": "logs", "step": "do"}
    assert person.post("/partitions/delete", {**fields, "csrf": "x"}).status == 403
    assert person.post("/partitions/delete", fields).status == 403
    assert pages.world.machine.conf.read_text() == before


def test_the_cookie_is_out_of_reach(pages: Pages) -> None:
    reply = pages.program(None).log_in("look", "correct horse")
    cookie = reply.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie
