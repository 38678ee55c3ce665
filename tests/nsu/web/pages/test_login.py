"""Proves that people log in and out, that guessing is slowed down, and that nobody is led to another site."""

import pytest

from nsu.web.attempts import PAIR
from nsu.web.pages.login import inside
from nsu.web.passwords import Users
from nsu.web.roles import Role
from tests.nsu.web.conftest import PASSWORD, Pages

pytestmark = pytest.mark.system


def test_log_in_and_out(pages: Pages) -> None:
    person = pages.program(None)
    reply = person.get("/arrays?x=1")
    assert (reply.status, reply.headers["Location"]) == (303, "/login?next=%2Farrays%3Fx%3D1")
    assert 'name="next" value="/arrays?x=1"' in person.get(reply.headers["Location"]).text
    reply = person.post("/login", {"name": "look", "password": PASSWORD, "next": "/arrays?x=1"})
    assert (reply.status, reply.headers["Location"]) == (303, "/arrays?x=1")
    person.log_in("look", PASSWORD)
    page = person.get("/")
    assert page.status == 200
    assert person.post("/logout", {"csrf": page.csrf}).status == 303
    assert person.get("/").status == 303, "the cookie is worth nothing any more"


def test_a_wrong_password_and_an_unknown_user_read_the_same(pages: Pages) -> None:
    anybody = pages.program(None)
    texts = set()
    for name in ("look", "n0body"):
        reply = anybody.log_in(name, "wrong password")
        assert reply.status == 403
        assert "Set-Cookie" not in reply.headers
        texts.add(reply.text.replace(name, ""))
    assert len(texts) == 1


def test_guessing_is_slowed_down_and_told(pages: Pages) -> None:
    Users(pages.world.machine.state).put("guessed", PASSWORD, Role.LOOK)
    anybody = pages.program(None)
    replies = [anybody.log_in("guessed", "wrong password") for _ in range(PAIR.tries + 1)]
    assert [reply.status for reply in replies] == [403] * PAIR.tries + [429]
    assert 0 < int(replies[-1].headers["Retry-After"]) <= PAIR.again_s + 1
    assert anybody.log_in("guessed", PASSWORD).status == 429, "the right one is not looked at either"
    assert pages.person().get("/").status == 200, "others are let in"
    events = pages.program().get("/api/v1/events").json
    assert any("failed to log in as 'guessed'" in event["sentence"] for event in events)


def test_another_password_ends_the_sessions(pages: Pages) -> None:
    users = Users(pages.world.machine.state)
    users.put("leaver", PASSWORD, Role.ADMINISTER)
    person = pages.program(None)
    person.log_in("leaver", PASSWORD)
    assert person.get("/").status == 200
    users.put("leaver", PASSWORD + "!", Role.ADMINISTER)
    assert person.get("/").status == 303
    person.log_in("leaver", PASSWORD + "!")
    users.remove("leaver")
    assert person.get("/").status == 303


@pytest.mark.parametrize("where", ["//evil.example", "https://evil.example", "/\\evil.example", "", "evil", "/a\nb"])
def test_nobody_is_led_away(where: str) -> None:
    assert inside(where) == "/"
    assert inside("/arrays?a=b#c") == "/arrays?a=b#c"
