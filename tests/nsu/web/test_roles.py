"""Proves that a role includes those before it, and that its word leads back to it."""

import pytest

from nsu.web.roles import ROLE_WORDS, Role, role_of


def test_each_role_includes_those_before_it() -> None:
    assert Role.LOOK < Role.OPERATE < Role.ADMINISTER


def test_words_lead_back() -> None:
    assert ROLE_WORDS == ("look", "operate", "administer")
    assert [role_of(word) for word in ROLE_WORDS] == list(Role)
    with pytest.raises(KeyError):
        role_of("king")
