"""Bearer tokens of programs: 256 random bits, shown once, kept as SHA-256 in STATE/web/tokens.json.

A plain hash is enough for what nobody can guess. The token names its row, so that finding it compares one hash.
"""

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nsu.web.roles import Role, role_of
from nsu.web.store import Store, StoreError

TOKENS_MAX = 100
_FORM = re.compile(r"nsu_([0-9a-f]{8})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret."""

    id: str
    name: str
    role: Role
    created_at: float
    expires_at: float | None
    """Seconds since 1970; None: never."""


class Tokens:
    """The tokens of one STATE folder. `clock` gives seconds since 1970."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self.store = Store(state_dir / "web" / "tokens.json")
        self.clock = clock

    def known(self) -> list[Token]:
        """Give all tokens, the oldest first. Raises StoreError."""
        return sorted((_token(key, row) for key, row in self.store.rows().items()), key=lambda one: one.created_at)

    def create(self, name: str, role: Role, days: float | None = None) -> tuple[Token, str]:
        """Make a token; give it with its secret text, which is nowhere kept. Raises StoreError with what is wrong."""
        if not name.isprintable() or not name.strip() or len(name) > 64:
            raise StoreError("a token's name has 1 to 64 printable characters: say who uses it")
        key, secret, now_s = secrets.token_hex(4), secrets.token_urlsafe(32), self.clock()
        row = {"name": name, "role": role.word, "sha256": _hash(secret), "created_at": now_s}
        row["expires_at"] = None if days is None else now_s + days * 86400
        with self.store.change() as rows:
            if len(rows) >= TOKENS_MAX:
                raise StoreError(f"there are {TOKENS_MAX} tokens, which is the most: revoke one first")
            rows[key] = row
        return _token(key, row), f"nsu_{key}_{secret}"

    def revoke(self, key: str) -> Token:
        """Take a token away, by its id or, if that is unambiguous, its name. Raises StoreError."""
        with self.store.change() as rows:
            named = [one for one, row in rows.items() if key in (one, row["name"])]
            if len(named) != 1:
                many = f"{len(named)} tokens are named {key}: give the id" if named else f"there is no token {key}"
                raise StoreError(f"{many}; see: nsu token list")
            return _token(named[0], rows.pop(named[0]))

    def check(self, text: str) -> Token | None:
        """Give the token whose text this is, if it is one and in force. Raises StoreError."""
        parts = _FORM.fullmatch(text)
        row = self.store.rows().get(parts[1]) if parts else None
        if parts is None or row is None or not hmac.compare_digest(str(row["sha256"]), _hash(parts[2])):
            return None
        token = _token(parts[1], row)
        return token if token.expires_at is None or self.clock() < token.expires_at else None


def _token(key: str, row: dict[str, object]) -> Token:
    expires = row["expires_at"]
    expires_at = None if expires is None else float(str(expires))
    return Token(key, str(row["name"]), role_of(str(row["role"])), float(str(row["created_at"])), expires_at)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
