"""X25519, HKDF-SHA256 and ChaCha20-Poly1305: the one door to `cryptography`.

Each sealing key seals one thing in its life, so that its nonce may be zero (RFC 8439, section 2.8: never the same nonce
twice with one key).
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from protocol.setup.claim_key import Random

KEY_BYTES = 32
TAG_BYTES = 16
_ONLY_NONCE = bytes(12)


class KeyPair:
    """An ephemeral X25519 key (RFC 7748)."""

    def __init__(self, random: Random) -> None:
        self._private = X25519PrivateKey.from_private_bytes(random(KEY_BYTES))
        self.public = self._private.public_key().public_bytes_raw()

    def shared(self, peer_public: bytes) -> bytes | None:
        """Give the 32 bytes both ends get; None: the peer's key is one that makes them known to all (RFC 7748, 6.1)."""
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(peer_public))
        except ValueError:
            return None


def derive(secret: bytes, salt: bytes, purpose: bytes) -> bytes:
    """Give 32 bytes for one purpose (RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(secret)


def seal(key: bytes, plain: bytes) -> bytes:
    """Encrypt and authenticate; TAG_BYTES longer than `plain`. One key, one call."""
    return ChaCha20Poly1305(key).encrypt(_ONLY_NONCE, plain, None)


def unseal(key: bytes, sealed: bytes) -> bytes | None:
    """Give what was sealed with this key; None: this was not."""
    try:
        return ChaCha20Poly1305(key).decrypt(_ONLY_NONCE, sealed, None)
    except InvalidTag:
        return None
