"""Proves the door to the ciphers: both ends agree, and what was altered is not opened."""

import os

from hypothesis import given
from hypothesis import strategies as st

from protocol.setup.cipher import TAG_BYTES, KeyPair, derive, seal, unseal

KEY = bytes(range(32))


def test_x25519_agrees_on_both_ends_and_on_one_secret_only() -> None:
    one, other, third = KeyPair(os.urandom), KeyPair(os.urandom), KeyPair(os.urandom)
    assert one.shared(other.public) == other.shared(one.public)
    assert one.shared(third.public) != one.shared(other.public)


def test_a_key_whose_secret_everybody_knows_is_refused() -> None:
    assert KeyPair(lambda _: KEY).shared(bytes(32)) is None


def test_hkdf_depends_on_secret_salt_and_purpose() -> None:
    found = {
        derive(secret, salt, purpose) for secret in (b"a", b"b") for salt in (b"", b"s") for purpose in (b"", b"p")
    }
    assert len(found) == 8
    assert all(len(key) == 32 for key in found)


@given(st.binary(max_size=64), st.integers(0, 1_000_000))
def test_what_was_altered_or_sealed_by_another_key_is_not_opened(plain: bytes, bit: int) -> None:
    sealed = seal(KEY, plain)
    assert len(sealed) == len(plain) + TAG_BYTES
    assert unseal(KEY, sealed) == plain
    altered = bytearray(sealed)
    altered[bit // 8 % len(sealed)] ^= 1 << bit % 8
    assert unseal(KEY, bytes(altered)) is None
    assert unseal(bytes(32), sealed) is None
    assert unseal(KEY, b"") is None
