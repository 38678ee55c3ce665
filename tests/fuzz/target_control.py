"""Questions at a control socket, and the answers of whoever sits there."""

import json
from contextlib import suppress

from ipc.control import ControlError, ControlServer, checked_answer
from ipc.control_connection import Answer, line_of


def seeds() -> list[bytes]:
    return [b'{"verb":"status","arguments":{"disk":"unit_1"}}', b'{"verb":"status"}', b'{"error":"no"}', b"[1e999,{}]"]


def status(arguments: dict[str, object]) -> Answer:
    return {"arguments": arguments, "disk": str(arguments["disk"]), "number": int(str(arguments.get("number", 1)))}


def server() -> ControlServer:
    """One without its socket: what stands behind a whole line."""
    made = ControlServer.__new__(ControlServer)
    made._verbs = {"status": status}
    return made


def one_input(data: bytes) -> None:
    line = data.partition(b"\n")[0][:8192]
    answer = server()._ask(line)
    assert isinstance(answer, dict)
    assert line_of(answer).count(b"\n") == 1
    assert json.loads(line_of(answer)).keys() == answer.keys()
    with suppress(ControlError):
        assert isinstance(checked_answer(line, "/nowhere"), dict)
