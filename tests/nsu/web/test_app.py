"""Proves how what goes wrong is answered: JSON to programs, a page to people, and never a traceback to anybody."""

import pytest

from tests.nsu.web.conftest import Pages

pytestmark = pytest.mark.system


def test_programs_get_json(pages: Pages) -> None:
    program = pages.program()
    for path, status in (("/api/v1/nowhere", 404), ("/api/v1/events?most=x", 422), ("/api/v1/events?most=0", 422)):
        reply = program.get(path)
        assert reply.status == status
        assert set(reply.json) == {"error", "details"}
    reply = program.send("DELETE", "/api/v1/overview")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
    assert "most" in program.get("/api/v1/events?most=x").json["details"][0]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"\xff\xfe", b'{"partition": 1}', b'{"partition": "a", "more": 1}', b"null"]
)
def test_a_body_that_is_none_is_refused_in_words(pages: Pages, body: bytes) -> None:
    reply = pages.program().send("POST", "/api/v1/partitions/delete", body, Content_Type="application/json")
    assert reply.status in (400, 422)
    assert reply.json["error"]


def test_people_get_a_page(pages: Pages) -> None:
    person = pages.person()
    for path, words in (
        ("/nowhere", "there is nothing at this address"),
        ("/partitions/change?partition=x", "no partition x"),
    ):
        reply = person.get(path)
        assert reply.status == 404
        assert words in reply.text
        assert "<html" in reply.text
    assert "Log out" not in pages.program(None).get("/nowhere").text


def test_a_fault_of_ours_is_told_without_its_insides(pages: Pages) -> None:
    state = pages.world.machine.state
    audit = state / "web" / "audit.jsonl"
    audit.rename(audit.with_suffix(".aside"))
    audit.mkdir()
    try:
        reply = pages.program().order("/partitions/zero", {"partition": "logs", "zero": True})
        assert reply.status == 503
        assert "so nothing is done" in reply.json["error"], "nothing is done that the audit log has not"
        reply = pages.program().get("/api/v1/audit")
        assert reply.status == 500
        assert reply.json["error"].startswith("this is a fault of nsu itself")
        assert "Traceback" not in reply.text
    finally:
        audit.rmdir()
        audit.with_suffix(".aside").rename(audit)
    assert pages.program().get("/api/v1/audit").status == 200


def test_static_files_are_there_and_nothing_else(pages: Pages) -> None:
    anybody = pages.program(None)
    for name in ("nsu.css", "live.js", "nsu.svg"):
        assert anybody.get(f"/static/{name}").status == 200
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/nowhere", "/static/"):
        assert anybody.get(path).status == 404


def test_the_document_needs_no_other_site(pages: Pages) -> None:
    anybody = pages.program(None)
    assert anybody.get("/api/v1/openapi.json").json["info"]["title"] == "NSU"
    assert [anybody.get(path).status for path in ("/docs", "/redoc")] == [404, 404]
