"""The keys of one talk, from everything both ends have seen and the claim key.

    transcript = "nsu-setup-1" NUL, then each with its length before it (u16): administrator's MAC, NSU's MAC,
                 administrator's nonce, NSU's nonce, administrator's public key, NSU's public key
    secret     = X25519(one's private, the other's public key) claim key
    a key      = HKDF-SHA256(secret, salt SHA-256(transcript), info = its purpose), one for each of PURPOSES

What each part is for:
- The claim key: who does not know it has none of the keys, be he in the middle or the NSU's impostor. It has 160 bits:
  what was recorded is no help in guessing it.
- X25519: who learns the claim key later still can't read what was recorded.
- Both nonces and public keys, fresh: an old talk can't be played again, to either end.
- Both MACs: a talk can't be led to another NSU.
- A key for each purpose: a proof sent back to its sender is of the wrong role, and no key seals two things.
"""

import hashlib
from dataclasses import dataclass

from protocol.setup.cipher import derive

LABEL = b"nsu-setup-1\0"


@dataclass(frozen=True, slots=True)
class Seen:
    """What both ends must have seen alike."""

    admin_mac: bytes
    nsu_mac: bytes
    admin_nonce: bytes
    nsu_nonce: bytes
    admin_public: bytes
    nsu_public: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Keys:
    """32 bytes each. A proof is sent as it is; the two others seal one message each."""

    admin_proof: bytes
    nsu_proof: bytes
    order: bytes
    result: bytes


PURPOSES = (b"administrator proof", b"nsu proof", b"order", b"result")


def transcript(seen: Seen) -> bytes:
    """Give the bytes the keys depend on; the lengths make them mean one thing only."""
    parts = (
        seen.admin_mac,
        seen.nsu_mac,
        seen.admin_nonce,
        seen.nsu_nonce,
        seen.admin_public,
        seen.nsu_public,
    )
    return LABEL + b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def agree(shared: bytes, claim_key: bytes, seen: Seen) -> Keys:
    """Give the keys of this talk."""
    salt = hashlib.sha256(transcript(seen)).digest()
    return Keys(*(derive(shared + claim_key, salt, purpose) for purpose in PURPOSES))
