"""The claim key: 160 random bits that whoever stands before an unclaimed NSU reads there, and types elsewhere.

Base32 (RFC 4648, section 6) in groups of four: capitals and 2 to 7, so that no 0 is taken for an O, nor a 1 for an I.
"""

import base64
import binascii
from collections.abc import Callable

CLAIM_KEY_BYTES = 20
_GROUP = 4
_CHARACTERS = CLAIM_KEY_BYTES * 8 // 5
_READ_CHARACTERS_MAX = 200

Random = Callable[[int], bytes]
"""So many random bytes."""


def claim_key_text(key: bytes) -> str:
    """Give it as it is shown: `ABCD-EFGH-…`, eight groups."""
    text = base64.b32encode(key).decode()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def read_claim_key(text: str) -> bytes | None:
    """Read it as people type it: small letters, blanks for dashes or nothing between. None: it is none."""
    if len(text) > _READ_CHARACTERS_MAX:
        return None
    letters = "".join(text.replace("-", " ").split()).upper()
    if len(letters) != _CHARACTERS:
        return None
    try:
        return base64.b32decode(letters)
    except (binascii.Error, ValueError):
        return None
