"""The bodies of set-up's frames (`protocol/discovery/frame.py` has the frame, kinds 16 to 31).

 KIND          FROM           BODY
 16 HELLO      administrator  nonce 32, public key 32
 17 OFFER      NSU            nonce 32, public key 32
 18 PROVE      administrator  HELLO's 64, OFFER's public key 32, administrator's proof 32
 19 PROVEN     NSU            NSU's proof 32
 20 ORDER      administrator  HELLO's 64, OFFER's public key 32, the order, sealed: 1040
 21 RESULT     NSU            the result, sealed: 1040
 22 REFUSAL    NSU            reason 1, seconds 2: proves nothing, anybody can send it

Rules
  * No answer is longer than its question.
  * PROVE and ORDER repeat what HELLO said, so that an NSU keeps nothing for strangers.
  * What has not its exact size is no message.
"""

from dataclasses import dataclass
from enum import IntEnum

from protocol.setup.cipher import KEY_BYTES, TAG_BYTES

NONCE_BYTES = 32
PROOF_BYTES = 32
PLAIN_BYTES = 1024
"""Order and result are padded to this: a listener does not learn how long a password is."""
SEALED_BYTES = PLAIN_BYTES + TAG_BYTES
_HELLO_BYTES = NONCE_BYTES + KEY_BYTES
_HEAD_BYTES = _HELLO_BYTES + KEY_BYTES


class Kind(IntEnum):
    """Of the frame."""

    HELLO = 16
    OFFER = 17
    PROVE = 18
    PROVEN = 19
    ORDER = 20
    RESULT = 21
    REFUSAL = 22


class Reason(IntEnum):
    """Why an NSU says no."""

    CLAIMED = 1
    WRONG_KEY = 2
    PAUSED = 3
    STALE = 4
    """Its offer is too old, or from before its last start: begin again."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message; `body` as the table says."""

    kind: Kind
    body: bytes


@dataclass(frozen=True, slots=True)
class Opening:
    """HELLO and OFFER: a nonce and a public key."""

    nonce: bytes
    public: bytes

    def bytes(self) -> bytes:
        """Give the body."""
        return self.nonce + self.public


@dataclass(frozen=True, slots=True)
class Claim:
    """PROVE and ORDER: which talk, and what is said in it."""

    hello: Opening
    nsu_public: bytes
    said: bytes
    """The proof, or the sealed order."""

    def bytes(self) -> bytes:
        """Give the body."""
        return self.hello.bytes() + self.nsu_public + self.said


SIZES = {
    Kind.HELLO: _HELLO_BYTES,
    Kind.OFFER: _HELLO_BYTES,
    Kind.PROVE: _HEAD_BYTES + PROOF_BYTES,
    Kind.PROVEN: PROOF_BYTES,
    Kind.ORDER: _HEAD_BYTES + SEALED_BYTES,
    Kind.RESULT: SEALED_BYTES,
    Kind.REFUSAL: 3,
}
"""Bytes of each body."""


def is_whole(kind: int, body: bytes) -> bool:
    """Whether a body has the size of its kind."""
    return kind in set(Kind) and len(body) == SIZES[Kind(kind)]


def read_opening(body: bytes) -> Opening:
    """Read HELLO or OFFER, whole."""
    return Opening(body[:NONCE_BYTES], body[NONCE_BYTES:])


def read_claim(body: bytes) -> Claim:
    """Read PROVE or ORDER, whole."""
    return Claim(read_opening(body[:_HELLO_BYTES]), body[_HELLO_BYTES:_HEAD_BYTES], body[_HEAD_BYTES:])


def refusal(reason: Reason, seconds: int = 0) -> Message:
    """Give a REFUSAL; `seconds`: how long to wait."""
    return Message(Kind.REFUSAL, bytes([reason]) + min(seconds, 0xFFFF).to_bytes(2, "big"))


def read_refusal(body: bytes) -> tuple[Reason, int] | None:
    """Read a REFUSAL, whole; None: no reason that we know."""
    if body[0] not in set(Reason):
        return None
    return Reason(body[0]), int.from_bytes(body[1:], "big")
