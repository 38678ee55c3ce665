"""Proves whose a data socket is: the right token of a session opens one path, once; every other is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import LoginRefused
from protocol.path_login import check_login_answer, path_token, v1_login_message, v2_login_message
from serverside.data_login import Login, Refusal, judge
from serverside.sessions import TICKET_LIFE_S, Session
from tests.serverside.rig import host
from tests.serverside.test_sessions import proven_dialogue, session_of

KEY, OTHER_KEY = ("127.0.0.1", 10002), ("127.0.0.1", 10009)
NONCE = b"n" * 32
HERE = "127.0.0.1"


@pytest.fixture
def v1() -> Session:
    session = session_of(proven_dialogue(1)[0], version=1)
    session.asked_ports = True
    return session


@pytest.fixture
def v2() -> Session:
    session = session_of(proven_dialogue(2)[0])
    session.give_ticket(3, NONCE, 0.0)
    return session


def judged(
    first: bytes, *sessions: Session, key: tuple[str, int] = KEY, peer: str = HERE, now_s: float = 1.0
) -> Login | Refusal:
    return judge(first, {session.number: session for session in sessions}, key, peer, now_s)


def v2_message(
    session: Session, *, path: int = 3, nonce: bytes = NONCE, role: bytes = b"host", epoch: int = 0
) -> bytes:
    key = session.dialogue.session_key
    assert key is not None
    token = path_token(key, role, session.number, path, nonce)
    return v2_login_message(session.number, epoch or session.epoch, path, token)


def test_step_14_the_number_of_step_2_opens_paths_from_0_on(v1: Session) -> None:
    login = judged(v1_login_message(12345), v1)
    assert isinstance(login, Login)
    assert (login.session, login.path) == (v1, 0)
    assert check_login_answer(1, login.answer) == 0


@pytest.mark.parametrize("challenge", [0, 12344, 12345 ^ 0xFFFFFFFF, 12345 << 8])
def test_any_other_number_is_refused_with_minus_1(v1: Session, challenge: int) -> None:
    refusal = judged(v1_login_message(challenge), v1)
    assert isinstance(refusal, Refusal)
    assert refusal.answer[40:44] == b"\xff\xff\xff\xff"


def test_the_right_number_from_elsewhere_or_at_another_port_or_too_early_is_refused(v1: Session) -> None:
    message = v1_login_message(12345)
    assert isinstance(judged(message, v1, peer="127.0.0.2"), Refusal)
    assert isinstance(judged(message, v1, key=OTHER_KEY), Refusal)
    v1.asked_ports = False
    assert isinstance(judged(message, v1), Refusal)
    assert isinstance(judged(message), Refusal)


def test_the_number_is_no_token_of_a_v2_session(v2: Session) -> None:
    v2.asked_ports = True
    assert v2.dialogue.challenge == 12345
    assert isinstance(judged(v1_login_message(12345), v2), Refusal)


def test_a_v2_token_opens_its_path_once_and_proves_the_server(v2: Session) -> None:
    message = v2_message(v2)
    login = judged(message, v2)
    assert isinstance(login, Login)
    key = v2.dialogue.session_key
    assert key is not None
    proof = path_token(key, b"server", v2.number, 3, NONCE)
    assert check_login_answer(2, login.answer, session=v2.number, path=3, server_token=proof) == login.marker
    assert isinstance(judged(message, v2), Refusal), "a replay (trap 29)"


def test_every_v2_token_that_is_not_quite_right_is_refused_and_burns_nothing(v2: Session) -> None:
    right = v2_message(v2)
    wrong = [
        v2_message(v2, nonce=b"m" * 32),
        v2_message(v2, role=b"server"),
        v2_message(v2, path=4),
        v2_message(v2, epoch=5),
        right[:-1] + bytes([right[-1] ^ 1]),
    ]
    for message in wrong:
        assert isinstance(judged(message, v2), Refusal)
    assert isinstance(judged(right, v2, key=OTHER_KEY), Refusal)
    assert isinstance(judged(right), Refusal), "another session's number"
    assert isinstance(judged(right, v2, now_s=TICKET_LIFE_S + 0.1), Refusal)
    assert isinstance(judged(right, v2, now_s=TICKET_LIFE_S - 0.1), Login)


def test_a_path_that_has_an_srw_is_not_opened_again(v2: Session) -> None:
    v2.srws = {3: None}  # type: ignore[dict-item]  # only the number counts here
    assert isinstance(judged(v2_message(v2), v2), Refusal)


def test_a_v2_refusal_says_why(v2: Session) -> None:
    refusal = judged(v2_message(v2, path=9), v2)
    assert isinstance(refusal, Refusal)
    with pytest.raises(LoginRefused, match="not one that was granted"):
        check_login_answer(2, refusal.answer, session=v2.number, path=9)


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_nobodys(first: bytes) -> None:
    v1_session = session_of(proven_dialogue(1)[0], version=1)
    v1_session.asked_ports = True
    if first[48:52] != (12345).to_bytes(4, "big"):
        assert isinstance(judged(first, v1_session), Refusal)


@pytest.mark.parametrize(
    ("over_tls", "names", "is_good"),
    [
        (True, frozenset({"host1"}), True),
        (True, frozenset({"host2"}), False),
        (True, None, False),
        (False, frozenset({"host1"}), False),
        (False, None, True),
    ],
)
def test_a_data_socket_is_of_tls_exactly_when_its_session_is_and_of_the_same_host(
    v2: Session, *, over_tls: bool, names: frozenset[str] | None, is_good: bool
) -> None:
    v2.over_tls = over_tls
    v2.host = host(ports=[(KEY[1], 2)])
    verdict = judge(v2_message(v2), {v2.number: v2}, KEY, HERE, 1.0, names)
    assert isinstance(verdict, Login if is_good else Refusal)


def test_version_0x01_has_no_tls(v1: Session) -> None:
    names = frozenset({"host1"})
    assert isinstance(judge(v1_login_message(12345), {v1.number: v1}, KEY, HERE, 1.0, names), Refusal)
