"""Whose an NSU is: STATE/claim.key while it is nobody's, STATE/claimed.json once it was claimed.

The key is made at the first start that wants one, of mode 0600, and is gone with the claim. To have a machine claimed
anew, somebody who may write STATE removes claimed.json and starts it again: it makes another key.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from protocol.setup.claim_key import CLAIM_KEY_BYTES, claim_key_text, read_claim_key
from serverside.errors import StateError
from serverside.identity import write_atomically

KEY_NAME = "claim.key"
RECORD_NAME = "claimed.json"


def is_claimed(state_dir: Path) -> bool:
    """Whether somebody has claimed this machine; a record that can't be read is one too."""
    return os.path.lexists(state_dir / RECORD_NAME)


def claim_key(state_dir: Path, random: Callable[[int], bytes]) -> bytes:
    """Give the claim key; it is made if there is none. Raises StateError: the file holds something else; OSError."""
    path = state_dir / KEY_NAME
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        key = random(CLAIM_KEY_BYTES)
        write_atomically(path, f"{claim_key_text(key)}\n".encode())
        return key
    found = read_claim_key(text)
    if found is None:
        raise StateError(f"{path} holds no claim key; remove it, and start again: another one is made")
    if path.stat().st_mode & 0o077:
        raise StateError(f"{path} is open to others than its owner: remove it, and start again: another one is made")
    return found


def mark_claimed(state_dir: Path, record: Mapping[str, object]) -> None:
    """Write down that it is claimed, by whom and how; the key goes. Raises OSError: it is not claimed."""
    write_atomically(state_dir / RECORD_NAME, json.dumps(record, indent=1).encode())
    (state_dir / KEY_NAME).unlink(missing_ok=True)
