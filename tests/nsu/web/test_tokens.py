"""Proves that a token is good until it is revoked or over, that only its hash is kept, and that another is none."""

from pathlib import Path

import pytest

from nsu.web.roles import Role
from nsu.web.store import StoreError
from nsu.web.tokens import TOKENS_MAX, Tokens


def test_a_token_is_good_until_it_is_revoked(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    made, text = tokens.create("prometheus", Role.LOOK)
    assert tokens.check(text) == made
    assert made.role == Role.LOOK
    assert tokens.revoke("prometheus") == made
    assert tokens.check(text) is None


def test_only_the_hash_is_kept(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    _, text = tokens.create("a", Role.LOOK)
    assert text.split("_", 2)[2] not in tokens.store.path.read_text()


def test_another_text_is_no_token(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    made, text = tokens.create("a", Role.ADMINISTER)
    _, other = tokens.create("b", Role.LOOK)
    mixed = f"nsu_{made.id}_{other.split('_', 2)[2]}"
    last = "A" if text[-1] != "A" else "B"
    for wrong in (
        "",
        "nsu_",
        text[:-1],
        text + "x",
        text[:-1] + last,
        mixed,
        text.upper(),
        f"nsu_{made.id}_" + "é" * 43,
    ):
        assert tokens.check(wrong) is None


def test_a_token_is_over_when_its_days_are(tmp_path: Path) -> None:
    now = [1000.0]
    tokens = Tokens(tmp_path, clock=lambda: now[0])
    made, text = tokens.create("a", Role.LOOK, days=1)
    now[0] += 86399
    assert tokens.check(text) == made
    now[0] += 1
    assert tokens.check(text) is None


def test_an_ambiguous_name_revokes_nothing(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    first, _ = tokens.create("a", Role.LOOK)
    tokens.create("a", Role.LOOK)
    with pytest.raises(StoreError, match="2 tokens are named a: give the id"):
        tokens.revoke("a")
    with pytest.raises(StoreError, match="no token b"):
        tokens.revoke("b")
    assert tokens.revoke(first.id) == first
    assert len(tokens.known()) == 1


def test_names_and_number_are_bounded(tmp_path: Path) -> None:
    tokens = Tokens(tmp_path)
    for name in ("", " ", "a\n", "x" * 65):
        with pytest.raises(StoreError, match="name"):
            tokens.create(name, Role.LOOK)
    with tokens.store.change() as rows:
        for number in range(TOKENS_MAX):
            rows[str(number)] = {}
    with pytest.raises(StoreError, match="revoke one"):
        tokens.create("more", Role.LOOK)
