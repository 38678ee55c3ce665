"""A small HTTP client for the pages and REST: keeps a cookie, sends a token, follows nothing by itself."""

import http.client
import json
import re
from typing import Any, NamedTuple
from urllib.parse import urlencode


class Reply(NamedTuple):
    """What was answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def csrf(self) -> str:
        """The token of the page's forms."""
        found = re.search(r'name="csrf" value="([^"]+)"', self.text)
        assert found, self.text
        return found[1]

    @property
    def hidden(self) -> dict[str, str]:
        """The hidden fields of the form in `main`."""
        main = self.text[self.text.index("<main") :]
        return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', main))


class Client:
    """Somebody at 127.0.0.1:`port`."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port = port
        self.token = token
        self.cookie: str | None = None

    def send(self, method: str, path: str, body: bytes | None = None, /, **headers: str) -> Reply:
        """Send a request; `_` in the name of a header stands for `-`."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token is not None:
            given.setdefault("Authorization", f"Bearer {self.token}")
        if self.cookie is not None:
            given.setdefault("Cookie", f"nsu_session={self.cookie}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=40)
        try:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, None, **headers)

    def order(self, path: str, body: object = None, **headers: str) -> Reply:
        """POST JSON to REST."""
        return self.send(
            "POST", f"/api/v1{path}", json.dumps(body).encode(), Content_Type="application/json", **headers
        )

    def post(self, path: str, fields: dict[str, str], **headers: str) -> Reply:
        """POST a form."""
        kind = "application/x-www-form-urlencoded"
        return self.send("POST", path, urlencode(fields).encode(), Content_Type=kind, **headers)

    def log_in(self, name: str, password: str) -> Reply:
        """Log in; keeps the session's cookie when there is one."""
        reply = self.post("/login", {"name": name, "password": password})
        found = re.match(r"nsu_session=([^;]+);", reply.headers.get("Set-Cookie", ""))
        self.cookie = found[1] if found else self.cookie
        return reply

    def told(self, reply: Reply) -> str:
        """Follow to the page that says what was done; give what it says."""
        assert reply.status == 303, reply.text
        page = self.get(reply.headers["Location"]).text
        found = re.search(r'class="told" role="status">(.*?)</p>', page, re.S)
        return found[1] if found else ""
