"""Proves when a session ends: logged out, idle, too old, pushed out, or its user is another now."""

from nsu.web.passwords import User
from nsu.web.roles import Role
from nsu.web.sessions import IDLE_S, LIFE_S, SESSIONS_MAX, Sessions

ALICE = User("alice", Role.LOOK, "1")


def same(_name: str) -> User | None:
    return ALICE


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_session_is_found_by_its_cookie_alone() -> None:
    sessions = Sessions(Clock())
    cookie, session = sessions.open(ALICE)
    other, _ = sessions.open(ALICE)
    assert sessions.find(cookie, same) is session
    assert cookie != other
    assert sessions.find("", same) is None
    assert sessions.find("\udc80", same) is None
    assert cookie not in repr(sessions.__dict__), "a cookie is kept as a hash only"


def test_logging_out_ends_it() -> None:
    sessions = Sessions(Clock())
    cookie, _ = sessions.open(ALICE)
    sessions.close(cookie)
    sessions.close(cookie)
    assert sessions.find(cookie, same) is None


def test_it_ends_when_idle_and_at_last_in_any_case() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    cookie, _ = sessions.open(ALICE)
    while clock.now_s + IDLE_S < LIFE_S:
        clock.now_s += IDLE_S
        assert sessions.find(cookie, same)
    clock.now_s = LIFE_S + 1
    assert sessions.find(cookie, same) is None
    cookie, _ = sessions.open(ALICE)
    clock.now_s += IDLE_S + 1
    assert sessions.find(cookie, same) is None


def test_it_ends_with_password_role_or_user() -> None:
    for now in (None, User("alice", Role.LOOK, "2"), User("alice", Role.ADMINISTER, "1")):
        sessions = Sessions(Clock())
        cookie, _ = sessions.open(ALICE)
        assert sessions.find(cookie, lambda _, now=now: now) is None  # type: ignore[misc]  # bound per turn
        assert sessions.find(cookie, same) is None, "it does not come back"


def test_the_one_unused_longest_makes_room() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    cookies = []
    for _ in range(SESSIONS_MAX):
        clock.now_s += 1
        cookies.append(sessions.open(ALICE)[0])
    clock.now_s += 1
    assert sessions.find(cookies[0], same)
    sessions.open(ALICE)
    assert sessions.find(cookies[0], same)
    assert sessions.find(cookies[1], same) is None
