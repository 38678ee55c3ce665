"""Proves that the keys of a talk depend on everything both ends have seen, and that no two are the same."""

from dataclasses import astuple, replace

import pytest

from protocol.setup.agreement import Keys, Seen, agree, transcript

SEEN = Seen(b"a" * 6, b"n" * 6, b"1" * 32, b"2" * 32, b"3" * 32, b"4" * 32)


def keys(seen: Seen = SEEN, shared: bytes = b"s" * 32, claim_key: bytes = b"k" * 20) -> Keys:
    return agree(shared, claim_key, seen)


def test_each_purpose_has_a_key_of_its_own() -> None:
    assert len({keys().admin_proof, keys().nsu_proof, keys().order, keys().result}) == 4


@pytest.mark.parametrize("field", ["admin_mac", "nsu_mac", "admin_nonce", "nsu_nonce", "admin_public", "nsu_public"])
def test_what_is_seen_otherwise_by_one_end_gives_it_other_keys(field: str) -> None:
    other = keys(replace(SEEN, **{field: getattr(SEEN, field)[:-1] + b"x"}))
    assert other != keys()
    assert other.order != keys().order


def test_claim_key_and_shared_secret_count() -> None:
    assert len({keys().order, keys(claim_key=b"x" * 20).order, keys(shared=b"x" * 32).order}) == 3


def test_a_transcript_means_one_thing_only() -> None:
    moved = replace(SEEN, admin_nonce=SEEN.admin_nonce + b"2", nsu_nonce=SEEN.nsu_nonce[1:])
    assert b"".join(astuple(moved)) == b"".join(astuple(SEEN))
    assert transcript(moved) != transcript(SEEN)


def test_keys_are_not_shown() -> None:
    assert "b'" not in repr(keys())
