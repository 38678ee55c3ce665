"""The mutual login of version 0x02: HMAC-SHA-256 (RFC 2104) over everything that was negotiated.

    transcript  = "nsu-2" NUL, then each with its length before it (u32): offered mask, host's mask,
                  chosen version, server's nonce, host's nonce, NSU's name, login
    host proof  = HMAC(secret, "host" NUL transcript)          sent in step 3
    server proof= HMAC(secret, "server" NUL transcript)        sent in step 5
    session key = HMAC(secret, "session" NUL transcript)       never sent

What each part is for:
- Both masks and the choice: whoever clears a bit on the way, in either message, changes the transcript of
  one side only, and the proof does not fit. Falling to 0x01, which has no proof, is stopped by the floor
  (`versions.py`).
- Both nonces, 256 bits and fresh: an old login can't be played again, to either side.
- The role labels: a proof reflected to its sender is of the wrong role.
- The names: a host can't be led to another NSU that shares the secret by mistake.
- Two secrets, while one follows the other: the server judges the proof by both, with the same work whether there are
  two, one or none, and goes on with the one that fits: its own proof and the session key are made with it. A host has
  one, and takes a server's proof by that one only. Nothing on the wire says how many a server knows.
Addresses are deliberately absent: they differ on both sides of a relay or of network address translation.

What it does not give: whoever sits on the path can still change the TCP stream after the login. That takes
TLS.
"""

from dataclasses import dataclass
from hmac import compare_digest, digest

from protocol.limits import PROOF_BYTES

LABEL = b"nsu-2\0"
NOBODY = bytes.fromhex("b7d0f3c19a64e82d5c0e71f6438ba9d2f15e6c0a97b34d8826fce1503d7a49be")
"""Stands in for the secret of an unknown login so that its refusal takes the same time. It opens nothing."""


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What both sides must have seen alike."""

    offered: int
    supported: int
    chosen: int
    server_nonce: bytes
    host_nonce: bytes
    nsu_name: str
    login: str


def transcript(seen: Negotiation) -> bytes:
    """Give the bytes both proofs are over; the lengths make them mean one thing only."""
    parts = (
        seen.offered.to_bytes(4, "big"),
        seen.supported.to_bytes(4, "big"),
        seen.chosen.to_bytes(4, "big"),
        seen.server_nonce,
        seen.host_nonce,
        seen.nsu_name.encode(),
        seen.login.encode(),
    )
    return LABEL + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def host_proof(secret: bytes, seen: Negotiation) -> bytes:
    """Give what proves the host to the server."""
    return digest(secret, b"host\0" + transcript(seen), "sha256")


def server_proof(secret: bytes, seen: Negotiation) -> bytes:
    """Give what proves the server to the host."""
    return digest(secret, b"server\0" + transcript(seen), "sha256")


def session_key(secret: bytes, seen: Negotiation) -> bytes:
    """Give the key of the session, from which the tokens of its data sockets are made."""
    return digest(secret, b"session\0" + transcript(seen), "sha256")


def proven_secret(secrets: tuple[bytes | None, bytes | None], seen: Negotiation, proof: bytes) -> bytes | None:
    """Give the secret by which the host's proof holds, in constant time; None: by neither.

    `secrets`: the one in force and the one that is to follow it; None: there is none. The work is always that of two.
    """
    found = None
    for secret in secrets:
        fits = compare_digest(host_proof(NOBODY if secret is None else secret, seen), proof)
        if fits and secret is not None:
            found = secret
    return found


def is_server_proven(secret: bytes, seen: Negotiation, proof: bytes) -> bool:
    """Judge the server's proof in constant time."""
    return compare_digest(server_proof(secret, seen), proof)


def fingerprint(secret: bytes) -> str:
    """Give 64 bits by which two machines can compare their secrets: 16 hexadecimal digits in groups of four.

    Of a label of its own, so that it is nothing that a dialogue says. A secret has 256 random bits: this tells none.
    """
    digits = digest(secret, b"fingerprint\0" + LABEL, "sha256")[:8].hex()
    return "-".join(digits[start : start + 4] for start in range(0, len(digits), 4))


assert len(NOBODY) == PROOF_BYTES
