"""Sessions of people who have logged in: kept in the memory of `nsu: web`, so its end is the end of them all.

A session ends when its user logs out, after IDLE_S without a request or LIFE_S in all, and when his password or role
changes. A cookie holds nothing but 256 random bits; here it is known by its hash.
"""

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from nsu.web.passwords import User

IDLE_S = 30 * 60.0
LIFE_S = 12 * 3600.0
SESSIONS_MAX = 200


@dataclass(slots=True)
class Session:
    """One person at one browser."""

    user: User
    csrf: str
    """What each form of this session carries, and no other site can know."""
    began_s: float
    seen_s: float
    told: str = ""
    """What the next page says on top: what has just been done."""


class Sessions:
    """All sessions. `clock` gives seconds that never go back. For several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_hash: dict[str, Session] = {}
        self._lock = threading.Lock()

    def open(self, user: User) -> tuple[str, Session]:
        """Begin a session; give what the cookie holds. Beyond SESSIONS_MAX the one unused longest ends."""
        cookie, now_s = secrets.token_urlsafe(32), self._clock()
        session = Session(user, secrets.token_urlsafe(32), now_s, now_s)
        with self._lock:
            if len(self._by_hash) >= SESSIONS_MAX:
                del self._by_hash[min(self._by_hash, key=lambda key: self._by_hash[key].seen_s)]
            self._by_hash[_hash(cookie)] = session
        return cookie, session

    def find(self, cookie: str, user_now: Callable[[str], User | None]) -> Session | None:
        """Give the session of a cookie, if it still holds; `user_now` gives the user as he is now, by name."""
        key, now_s = _hash(cookie), self._clock()
        with self._lock:
            session = self._by_hash.get(key)
        if session is None:
            return None
        over = now_s - session.seen_s > IDLE_S or now_s - session.began_s > LIFE_S
        if over or user_now(session.user.name) != session.user:
            self.close(cookie)
            return None
        session.seen_s = now_s
        return session

    def close(self, cookie: str) -> None:
        """End a session. Harmless when there is none."""
        with self._lock:
            self._by_hash.pop(_hash(cookie), None)


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode(errors="surrogatepass")).hexdigest()
