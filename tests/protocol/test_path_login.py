"""The first message of a data socket: any 512 bytes are one token, and neither side is fooled by the other."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import path_login
from protocol.errors import LoginRefused, RemoteProtocolError, ServerNotProven
from protocol.path_login import V1Token, V2Token
from protocol.status import DETAILS, Detail
from protocol.v2.login import Negotiation, session_key
from tests.protocol.goldens import (
    CHALLENGE,
    EPOCH,
    HOST_NONCE,
    MARKER,
    PATH_NONCE,
    SECRET,
    SERVER_NONCE,
    SESSION,
    golden,
)

KEY = session_key(SECRET, Negotiation(3, 2, 2, SERVER_NONCE, HOST_NONCE, "box1", "host1"))
HOST_TOKEN = path_login.path_token(KEY, b"host", SESSION, 9, PATH_NONCE)
SERVER_TOKEN = path_login.path_token(KEY, b"server", SESSION, 9, PATH_NONCE)


def test_golden_messages_of_version_1() -> None:
    assert path_login.v1_login_message(CHALLENGE) == golden("v1_14_path_login")
    assert path_login.v1_login_answer(0) == golden("v1_15_granted")
    assert path_login.v1_login_refusal(Detail.PATH_TOKEN) == golden("v1_15_refused")
    assert path_login.parse_first(golden("v1_14_path_login")) == V1Token(CHALLENGE)
    assert path_login.check_login_answer(1, golden("v1_15_granted")) == 0
    with pytest.raises(LoginRefused):
        path_login.check_login_answer(1, golden("v1_15_refused"))


def test_golden_messages_of_version_2() -> None:
    assert path_login.v2_login_message(SESSION, EPOCH, 9, HOST_TOKEN) == golden("v2_40_path_login")
    assert path_login.v2_login_answer(SESSION, 9, MARKER, SERVER_TOKEN) == golden("v2_41_path_granted")
    assert path_login.v2_login_refusal(SESSION, 9, Detail.PATH_TOKEN) == golden("v2_42_path_refused")
    assert path_login.parse_first(golden("v2_40_path_login")) == V2Token(SESSION, EPOCH, 9, HOST_TOKEN)
    assert answered(golden("v2_41_path_granted")) == MARKER
    with pytest.raises(LoginRefused, match=DETAILS[Detail.PATH_TOKEN].sentence):
        answered(golden("v2_42_path_refused"))


def answered(frame: bytes, *, session: int = SESSION, path: int = 9, token: bytes = SERVER_TOKEN) -> int:
    return path_login.check_login_answer(2, frame, session=session, path=path, server_token=token)


@given(st.binary(min_size=512, max_size=512))
def test_any_512_bytes_are_a_token_of_step_14(frame: bytes) -> None:
    assert path_login.parse_first(frame) == V1Token(int.from_bytes(frame[48:52], "big"))


@given(st.integers(0, 511), st.integers(0, 7))
def test_a_changed_bit_makes_no_version_2_login(offset: int, bit: int) -> None:
    frame = bytearray(golden("v2_40_path_login"))
    frame[offset] ^= 1 << bit
    assert isinstance(path_login.parse_first(bytes(frame)), V1Token)


def test_tokens_differ_by_key_role_session_path_and_nonce() -> None:
    token = path_login.path_token
    tokens = {
        token(KEY, b"host", 1, 2, PATH_NONCE),
        token(bytes(32), b"host", 1, 2, PATH_NONCE),
        token(KEY, b"server", 1, 2, PATH_NONCE),
        token(KEY, b"host", 2, 2, PATH_NONCE),
        token(KEY, b"host", 1, 3, PATH_NONCE),
        token(KEY, b"host", 1, 2, bytes(32)),
    }
    assert len(tokens) == 6


@pytest.mark.parametrize(
    ("judge", "error"),
    [
        (lambda frame: answered(frame, token=HOST_TOKEN), ServerNotProven),
        (lambda frame: answered(frame, session=1), RemoteProtocolError),
        (lambda frame: answered(frame, path=1), RemoteProtocolError),
        (lambda frame: answered(bytes(512)), RemoteProtocolError),
        (lambda frame: answered(golden("v2_40_path_login")), ServerNotProven),
    ],
    ids=["reflected", "session", "path", "noise", "echoed"],
)
def test_host_does_not_take_another_answer(judge: Callable[[bytes], int], error: type[RemoteProtocolError]) -> None:
    with pytest.raises(error):
        judge(golden("v2_41_path_granted"))
