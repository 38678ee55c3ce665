"""Whose data socket is this? Appendix D, steps (14) and (15), and the single-use tokens of 0x02 (trap 29).

Nothing is changed by a wrong token: a guess can't burn somebody's ticket.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hmac import compare_digest

from protocol.path_login import (
    V1Token,
    V2Token,
    parse_first,
    path_token,
    v1_login_answer,
    v1_login_refusal,
    v2_login_answer,
    v2_login_refusal,
)
from protocol.status import Detail
from serverside.sessions import Session
from serverside.settings import HostSettings
from serverside.tls_entry import Names, objection

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Login:
    """A good one: the session, the path, and what its SRW begins with."""

    session: Session
    path: int
    marker: int
    """0x02: the random magic of every header to come."""
    answer: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """A bad one, and what it is told."""

    answer: bytes


def judge(
    first: bytes,
    sessions: Mapping[int, Session],
    key: Key,
    peer_address: str,
    now_s: float,
    names: Names = None,
) -> Login | Refusal:
    """Judge the first 512 bytes of a socket that came to the data port `key`. Uses up a ticket when good.

    `names`: whom its certificate names; a data socket is of TLS exactly when its session is, and of the same host.
    """
    token = parse_first(first)
    if isinstance(token, V1Token):
        login = None if names is not None else find_v1(token, sessions.values(), key, peer_address)
        return login or Refusal(v1_login_refusal(Detail.PATH_TOKEN))
    session = sessions.get(token.session)
    login = None if session is None or not fits(session, names) else redeem(session, token, key, now_s)
    return login or Refusal(v2_login_refusal(token.session, token.path, Detail.PATH_TOKEN))


def fits(session: Session, names: Names) -> bool:
    """Whether a data socket of `session` may come like this."""
    return session.over_tls == (names is not None) and objection(session.host, names) is None


def find_v1(token: V1Token, sessions: Iterable[Session], key: Key, peer_address: str) -> Login | None:
    """Step (14): "the pseudo-random number it received from the NSU in Step (2)", from an address of that host."""
    for session in sessions:
        right = session.version == 1 and session.asked_ports and token.challenge == session.dialogue.challenge
        if right and peer_address in (session.peer_address, *session.host.addresses) and serves(session.host, key):
            return Login(session, session.free_path(), 0, v1_login_answer(0))
    return None


def redeem(session: Session, token: V2Token, key: Key, now_s: float) -> Login | None:
    """Check a single-use token; it is used up by success only."""
    ticket = session.tickets.get(token.path)
    secret = session.dialogue.session_key
    if session.version != 2 or ticket is None or secret is None or not serves(session.host, key):
        return None
    expected = path_token(secret, b"host", session.number, token.path, ticket.nonce)
    right = compare_digest(expected, token.token) and token.epoch == session.epoch
    if not right or ticket.until_s < now_s or token.path in session.srws:
        return None
    del session.tickets[token.path]
    proof = path_token(secret, b"server", session.number, token.path, ticket.nonce)
    marker = secrets.randbits(32)
    return Login(session, token.path, marker, v2_login_answer(session.number, token.path, marker, proof))


def serves(host: HostSettings, key: Key) -> bool:
    """Is `key` a data port of `host`?"""
    return any((port.address, port.port) == key for port in host.data_ports)
