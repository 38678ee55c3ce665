"""What stands before every request: its size, the name it was sent to, and the headers of each answer.

- A body has at most BODY_BYTES_MAX: more is refused before it is kept.
- Without TLS an address or `localhost` or the machine's name must have been asked for. Another name that leads here is
  one that a page of somebody else has made to (DNS rebinding), and would make him our neighbour.
- Nothing of ours is kept by a cache, shown in a frame, or loads anything from another site.
"""

import json
from collections.abc import Iterable
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 5 << 20
"""The longest nsu.conf has 4 MiB."""

POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
UNCACHED = (b"cache-control", b"no-store")


class TooMuchError(Exception):
    """A body goes on beyond what is allowed."""


class Front:
    """Wraps the app. `names`: the host names it goes by; None: any (TLS proves the name)."""

    def __init__(self, app: ASGIApp, names: Iterable[str] | None) -> None:
        self.app = app
        self.names = None if names is None else frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        headers = dict(scope["headers"])
        answer = Answer(send)
        if not self.is_our_name(headers.get(b"host", b"").decode("latin-1")):
            words = "this name is not ours: use the address in WEB, localhost, or the machine's name"
            await answer.refuse(421, words)
        elif _length(headers) > BODY_BYTES_MAX:
            await answer.refuse(413, f"a request has at most {BODY_BYTES_MAX >> 20} MiB")
        else:
            try:
                await self.app(scope, Counted(receive).receive, answer.send)
            except TooMuchError:
                await answer.refuse(413, f"a request has at most {BODY_BYTES_MAX >> 20} MiB")

    def is_our_name(self, host: str) -> bool:
        if self.names is None:
            return True
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        return name in self.names or _is_address(name)


class Counted:
    """Counts what comes."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.body_bytes = 0

    async def receive(self) -> Message:
        """Give the next part of the request."""
        message = await self._receive()
        self.body_bytes += len(message.get("body", b""))
        if self.body_bytes > BODY_BYTES_MAX:
            raise TooMuchError
        return message


class Answer:
    """Adds our headers to what is sent."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.has_begun = False

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.has_begun = True
            given = {name.lower() for name, _ in message.get("headers", [])}
            added = [pair for pair in (*HEADERS, UNCACHED) if pair[0] not in given]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await self._send(message)

    async def refuse(self, status: int, sentence: str) -> None:
        """Answer with an error, unless an answer has begun."""
        if not self.has_begun:
            body = json.dumps({"error": sentence, "details": []}).encode()
            headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
            await self.send({"type": "http.response.start", "status": status, "headers": headers})
            await self.send({"type": "http.response.body", "body": body})


def _length(headers: dict[bytes, bytes]) -> int:
    try:
        return int(headers.get(b"content-length", b"0"))
    except ValueError:
        return BODY_BYTES_MAX + 1


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
