"""Proves that a claim key is read as people type it, and that nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.setup.claim_key import CLAIM_KEY_BYTES, claim_key_text, read_claim_key


@given(st.binary(min_size=CLAIM_KEY_BYTES, max_size=CLAIM_KEY_BYTES))
def test_it_comes_back_as_shown_in_small_letters_and_with_blanks(key: bytes) -> None:
    text = claim_key_text(key)
    assert [len(group) for group in text.split("-")] == [4] * 8
    for typed in (text, text.lower(), text.replace("-", " "), text.replace("-", ""), f"  {text}\n"):
        assert read_claim_key(typed) == key


@pytest.mark.parametrize("text", ["", "ABCD", "A" * 31, "A" * 33, "0" * 32, "1" * 32, "Ä" * 32, "=" * 32, "A" * 9999])
def test_what_is_none_is_none(text: str) -> None:
    assert read_claim_key(text) is None
