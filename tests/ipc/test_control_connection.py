"""Every question gets one answer, in order, however it is cut; bad and greedy askers cost only themselves."""

import json
import os
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.control import ControlError, Deferred, control_call
from ipc.control_connection import LINE_BYTES_MAX, Answer
from tests.ipc.conftest import Nursery
from tests.ipc.control_world import start


@pytest.fixture
def path(nursery: Nursery, tmp_path: Path) -> Path:
    """A socket that is served."""
    start(nursery, tmp_path / "control.sock")
    return tmp_path / "control.sock"


@pytest.fixture
def asker(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as asker:
        asker.settimeout(5)
        asker.connect(os.fspath(path))
        yield asker


def lines(asker: socket.socket, count: int) -> list[Answer]:
    with asker.makefile("rb") as file:
        return [json.loads(file.readline()) for _ in range(count)]


def question(verb: str, **arguments: object) -> bytes:
    return json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n"


def test_a_late_answer_holds_up_nobody_else(path: Path, asker: socket.socket) -> None:
    asker.sendall(question("later", delay_s=0.3) + question("echo", number=2))
    assert control_call(path, "echo", number=1) == {"number": 1}
    assert not select.select([asker], [], [], 0)[0], "the late one is still to come"
    assert lines(asker, 2) == [{"late": 0.3}, {"number": 2}], "and the same asker's come in order"


def test_a_deferred_may_be_done_before_it_is_returned(path: Path) -> None:
    assert control_call(path, "at_once", a=1) == {"a": 1}


def test_questions_byte_by_byte_and_many_in_one_piece_and_with_a_tail(asker: socket.socket) -> None:
    for byte in question("echo", number=0):
        asker.sendall(bytes([byte]))
    assert lines(asker, 1) == [{"number": 0}]
    whole = b"".join(question("echo", number=number) for number in range(300))
    asker.sendall(whole + question("echo", number=300)[:-5])
    assert lines(asker, 300) == [{"number": number} for number in range(300)]
    asker.sendall(question("echo", number=300)[-5:])
    assert lines(asker, 1) == [{"number": 300}]


def test_a_line_without_end_is_refused_and_closed(path: Path, asker: socket.socket) -> None:
    asker.sendall(b"x" * LINE_BYTES_MAX)
    assert lines(asker, 1) == [{"error": "a line has at most 1048576 bytes"}]
    assert asker.recv(1) == b""
    assert control_call(path, "echo", a=1) == {"a": 1}


@pytest.mark.parametrize(
    "line",
    [b"", b"noise", b"[]", b"7", b"{}", b'{"verb": 7}', b'{"verb": "echo", "arguments": []}', b"\xff\xfe",
     b"[" * 100_000, b'{"verb": ["echo"]}'],
)  # fmt: skip
def test_a_line_that_is_no_question_is_answered_with_a_sentence(asker: socket.socket, line: bytes) -> None:
    asker.sendall(line + b"\n" + question("echo", next=1))
    answers = lines(asker, 2)
    assert "a question is one line" in answers[0]["error"]
    assert answers[1] == {"next": 1}


def test_an_answer_longer_than_a_line_is_a_sentence(path: Path) -> None:
    text = control_call(path, "long", bytes=LINE_BYTES_MAX - 20)["text"]
    assert len(text) == LINE_BYTES_MAX - 20
    with pytest.raises(ControlError, match="the answer has 1048588 bytes"):
        control_call(path, "long", bytes=LINE_BYTES_MAX)


def flood(asker: socket.socket, questions: bytes) -> None:
    """Send 100 MB at most."""
    for _ in range(100_000_000 // len(questions)):
        asker.sendall(questions)


def test_who_asks_without_reading_is_bounded(path: Path, asker: socket.socket) -> None:
    """Its questions stay in its own socket: the server keeps one answer, and reads no more."""
    asker.settimeout(0.2)
    with pytest.raises(TimeoutError):
        flood(asker, question("long", bytes=100_000) * 100)
    assert control_call(path, "echo", a=1) == {"a": 1}


def test_who_floods_while_an_answer_is_pending_is_closed(path: Path, asker: socket.socket) -> None:
    asker.sendall(question("later", delay_s=60))
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        flood(asker, question("echo") * 3000)
    assert control_call(path, "echo", a=1) == {"a": 1}


def test_an_asker_that_goes_while_its_answer_is_pending_costs_nothing(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    server = start(nursery, path)
    folder = f"/proc/{server.pid}/fd"
    before = len(os.listdir(folder))
    for _ in range(20):
        with pytest.raises(ControlError, match="no answer"):
            control_call(path, "later", timeout_s=0.005, delay_s=0.05)
    deadline_s = time.monotonic() + 5
    while len(os.listdir(folder)) > before:
        assert time.monotonic() < deadline_s, "connections are left"
        time.sleep(0.01)
    time.sleep(0.06)  # all late answers are done by now, to nobody
    assert control_call(path, "echo", a=1) == {"a": 1}
    assert server.poll() is None


def test_a_deferred_is_answered_once() -> None:
    deferred = Deferred()
    deferred.done({})
    with pytest.raises(AssertionError, match="once"):
        deferred.done({})
