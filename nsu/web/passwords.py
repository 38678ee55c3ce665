"""Users of the pages and their passwords, kept as scrypt hashes (RFC 7914) in STATE/web/users.json.

A guess costs 32 MiB and some 60 ms, for an unknown user as for a known one, and one is tried at a time: guessing from
outside can neither tell users apart nor fill the memory.
"""

import base64
import hashlib
import hmac
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from nsu.web.roles import Role, role_of
from nsu.web.store import Store, StoreError

PASSWORD_CHARACTERS_MIN = 8
PASSWORD_CHARACTERS_MAX = 1024
LOG2_N, R, P = 15, 8, 1
"""The cost of one hash: 2**15 * 8 * 128 bytes = 32 MiB."""
MEMORY_BYTES_MAX = 64 << 20
_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in."""

    name: str
    role: Role
    stamp: str
    """Changes with the password and the role: sessions from before it are over."""


class Users:
    """The users of one STATE folder."""

    def __init__(self, state_dir: Path) -> None:
        self.store = Store(state_dir / "web" / "users.json")

    def known(self) -> list[User]:
        """Give all users, by name. Raises StoreError."""
        return [_user(name, row) for name, row in sorted(self.store.rows().items())]

    def find(self, name: str) -> User | None:
        """Give the user of this name. Raises StoreError."""
        row = self.store.rows().get(name)
        return None if row is None else _user(name, row)

    def check(self, name: str, password: str) -> User | None:
        """Give the user whose password this is. Takes as long when there is none. Raises StoreError."""
        row = self.store.rows().get(name)
        with _AT_A_TIME:
            is_right = is_password(password, str(row["password"]) if row else _NOBODYS)
        return _user(name, row) if row is not None and is_right else None

    def put(self, name: str, password: str, role: Role) -> None:
        """Make the user, or give him another password and role. Raises StoreError with what is wrong."""
        if not name.isprintable() or not name.strip() or len(name) > 64:
            raise StoreError("a user's name has 1 to 64 printable characters")
        if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
            raise StoreError(f"a password has {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters")
        with self.store.change() as rows:
            rows[name] = {"password": hash_password(password), "role": role.word, "set_at": time.time()}

    def remove(self, name: str) -> None:
        """Take the user away. Raises StoreError: there is none."""
        with self.store.change() as rows:
            if rows.pop(name, None) is None:
                raise StoreError(f"there is no user {name}; there are: {', '.join(sorted(rows)) or 'none'}")


def _user(name: str, row: dict[str, object]) -> User:
    return User(name, role_of(str(row["role"])), f"{row['set_at']}")


def hash_password(password: str) -> str:
    """Give the hash as it is kept: kind, cost, salt, key."""
    salt = os.urandom(16)
    words = [base64.b64encode(data).decode() for data in (salt, _scrypt(password, salt, LOG2_N, R, P))]
    return f"scrypt${LOG2_N}${R}${P}${words[0]}${words[1]}"


def is_password(password: str, kept: str) -> bool:
    """Whether `kept` is the hash of this password."""
    _, log2_n, r, p, salt, key = kept.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(log2_n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(key))


def _scrypt(password: str, salt: bytes, log2_n: int, r: int, p: int) -> bytes:
    secret = password.encode(errors="surrogatepass")
    return hashlib.scrypt(secret, salt=salt, n=1 << log2_n, r=r, p=p, maxmem=MEMORY_BYTES_MAX, dklen=32)


_NOBODYS = f"scrypt${LOG2_N}${R}${P}${base64.b64encode(bytes(16)).decode()}${base64.b64encode(bytes(32)).decode()}"
"""Stands in for the hash of a user that is not there."""
