"""Proves how times and rates are written for people, and where a login leads back to."""

import time

from starlette.requests import Request

from nsu.web.pages.render import LoginNeeded, ago, prefixed, speed, when


def test_words() -> None:
    assert when(1e9) == "2001-09-09 01:46:40 UTC"
    assert speed(2048.0) == "2 KiB/s"
    assert prefixed("host1", "host:") == "host:host1"
    now_s = time.time()
    past = {5: "5 s", 200: "3 min", 3 * 3600: "3 h", 3 * 86400: "3 d", -5: "0 s"}
    assert {seconds: ago(now_s - seconds) for seconds in past} == past


def request(method: str, path: str, query: str = "") -> Request:
    scope = {"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": []}
    return Request({**scope, "server": ("127.0.0.1", 80), "scheme": "http"})


def test_a_login_leads_back_to_what_was_asked_for() -> None:
    assert LoginNeeded(request("GET", "/arrays", "a=b&c=d")).where == "/login?next=%2Farrays%3Fa%3Db%26c%3Dd"
    assert LoginNeeded(request("POST", "/partitions/delete")).where == "/login?next=%2F", "a form is not sent again"
