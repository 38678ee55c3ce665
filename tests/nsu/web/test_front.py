"""Proves what is refused before anything is done: too large, to a name that is not ours; and the headers of answers."""

import asyncio
from typing import Any

import pytest

from nsu.web.front import BODY_BYTES_MAX, Front


def ask(
    host: str, *parts: bytes, names: tuple[str, ...] | None = ("localhost", "box1"), length: str | None = None
) -> tuple[int, Any]:
    """Give status and headers of the answer of an app that reads its body and says 200."""
    answers: list[Any] = []
    left = list(parts) or [b""]

    async def receive() -> dict[str, Any]:
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left)}

    async def send(message: Any) -> None:
        answers.append(message)

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    pairs = [(b"host", host.encode()), *([] if length is None else [(b"content-length", length.encode())])]
    asyncio.run(Front(app, names)({"type": "http", "headers": pairs}, receive, send))
    return answers[0]["status"], dict(answers[0]["headers"])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:10080", "[::1]:10080", "localhost", "LOCALHOST:10080", "box1:1", "10.1.1.1"]
)
def test_our_names_are_served(host: str) -> None:
    assert ask(host)[0] == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "", "box12", "127.0.0.1.evil.example", "[::1"]
)
def test_other_names_are_not(host: str) -> None:
    assert ask(host)[0] == 421
    assert ask(host, names=None)[0] == 200, "where a certificate proves the name"


def test_a_body_is_bounded_whether_it_says_its_length_or_not() -> None:
    half = b"x" * (BODY_BYTES_MAX // 2)
    assert ask("localhost", half, half)[0] == 200
    assert ask("localhost", half, half, b"xx")[0] == 413
    assert ask("localhost", length=str(BODY_BYTES_MAX + 1))[0] == 413
    assert ask("localhost", length="many")[0] == 413


def test_every_answer_forbids_what_we_do_not_do() -> None:
    for host in ("localhost", "evil.example"):
        headers = ask(host)[1]
        assert b"default-src 'none'" in headers[b"content-security-policy"]
        assert b"unsafe" not in headers[b"content-security-policy"]
        assert headers[b"x-frame-options"] == b"DENY"
        assert headers[b"cache-control"] == b"no-store"
