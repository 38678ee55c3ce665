"""The proofs are the formulas of the module's docstring, over everything negotiated, and open nothing for nobody."""

import hashlib
import hmac
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.v2 import login
from protocol.v2.login import NOBODY, Negotiation
from tests.protocol.goldens import HOST_NONCE, SECRET, SERVER_NONCE

SEEN = Negotiation(3, 2, 2, SERVER_NONCE, HOST_NONCE, "box1", "host1")


def test_formulas() -> None:
    parts = [b"\0\0\0\3", b"\0\0\0\2", b"\0\0\0\2", SERVER_NONCE, HOST_NONCE, b"box1", b"host1"]
    text = b"nsu-2\0" + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    for role, proof in [
        (b"host\0", login.host_proof),
        (b"server\0", login.server_proof),
        (b"session\0", login.session_key),
    ]:
        assert proof(SECRET, SEEN) == hmac.new(SECRET, role + text, hashlib.sha256).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"offered": 2},
        {"supported": 3},
        {"chosen": 4},
        {"server_nonce": HOST_NONCE},
        {"host_nonce": SERVER_NONCE},
        {"nsu_name": "box2"},
        {"login": "host2"},
        {"nsu_name": "box1h", "login": "ost1"},
    ],
    ids=str,
)
def test_each_part_of_the_negotiation_is_proven(change: dict[str, Any]) -> None:
    other = replace(SEEN, **change)
    assert login.proven_secret((SECRET, None), other, login.host_proof(SECRET, SEEN)) is None
    assert not login.is_server_proven(SECRET, other, login.server_proof(SECRET, SEEN))


def test_good_proofs_are_taken_and_roles_do_not_mix() -> None:
    assert login.proven_secret((SECRET, None), SEEN, login.host_proof(SECRET, SEEN)) == SECRET
    assert login.is_server_proven(SECRET, SEEN, login.server_proof(SECRET, SEEN))
    assert login.proven_secret((SECRET, None), SEEN, login.server_proof(SECRET, SEEN)) is None
    assert not login.is_server_proven(SECRET, SEEN, login.host_proof(SECRET, SEEN))


def test_the_stand_in_for_an_unknown_login_opens_nothing() -> None:
    assert login.proven_secret((None, None), SEEN, login.host_proof(NOBODY, SEEN)) is None


@given(st.text(), st.text(), st.text(), st.text())
def test_two_negotiations_never_share_a_transcript(name: str, who: str, name2: str, who2: str) -> None:
    one = replace(SEEN, nsu_name=name, login=who)
    two = replace(SEEN, nsu_name=name2, login=who2)
    assert (login.transcript(one) == login.transcript(two)) == ((name, who) == (name2, who2))


def test_of_two_secrets_the_one_that_fits_is_found_and_the_server_proves_itself_by_that_one() -> None:
    old, new = SECRET, SECRET[::-1]
    for mine in (old, new):
        assert login.proven_secret((old, new), SEEN, login.host_proof(mine, SEEN)) == mine
        assert login.proven_secret((None, mine), SEEN, login.host_proof(mine, SEEN)) == mine
    assert login.proven_secret((old, None), SEEN, login.host_proof(new, SEEN)) is None
    assert login.proven_secret((old, new), SEEN, login.server_proof(new, SEEN)) is None
    assert not login.is_server_proven(new, SEEN, login.server_proof(old, SEEN))


@pytest.mark.parametrize("secrets", [(SECRET, SECRET[::-1]), (SECRET, None), (None, None), (SECRET[::-1], SECRET)])
def test_the_work_is_the_same_however_many_secrets_there_are(
    secrets: tuple[bytes | None, bytes | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        asked.append(one)
        return one == other

    monkeypatch.setattr(login, "compare_digest", compare)
    login.proven_secret(secrets, SEEN, login.host_proof(SECRET, SEEN))
    assert len(asked) == 2


def test_a_fingerprint_is_short_and_is_no_part_of_what_is_secret_or_said() -> None:
    found = login.fingerprint(SECRET)
    assert re.fullmatch(r"([0-9a-f]{4}-){3}[0-9a-f]{4}", found)
    assert found != login.fingerprint(SECRET[::-1])
    digits = found.replace("-", "")
    proofs = (login.host_proof(SECRET, SEEN), login.server_proof(SECRET, SEEN), login.session_key(SECRET, SEEN))
    assert all(digits not in said.hex() for said in (SECRET, *proofs))
