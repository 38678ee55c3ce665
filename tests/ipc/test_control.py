"""Questions and refusals travel and are answered in words; no socket file is left or stolen."""

import os
import signal
import socket
import stat
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ipc.child import Life
from ipc.control import CONNECTIONS_MAX, ControlError, ControlServer, control_call
from ipc.control_connection import LINE_BYTES_MAX, Answer
from ipc.loop import Loop
from tests.ipc.conftest import Nursery
from tests.ipc.control_world import start


@pytest.fixture
def path(nursery: Nursery, tmp_path: Path) -> Path:
    """A socket that is served."""
    start(nursery, tmp_path / "control.sock")
    return tmp_path / "control.sock"


def test_an_answer_comes_back_with_every_kind_of_argument(path: Path) -> None:
    arguments: dict[str, Any] = {"path": 3, "verb": "v", "list": [1, None, "ü"], "object": {"a": 1.5}}
    assert control_call(path, "echo", **arguments) == arguments
    assert control_call(str(path), "echo") == {}


def test_a_refusal_is_a_sentence_and_raises(path: Path) -> None:
    with pytest.raises(ControlError, match=r"^it is Sunday$"):
        control_call(path, "refuse")


def test_an_unknown_verb_is_told_the_known_ones(path: Path) -> None:
    with pytest.raises(ControlError, match="no verb 'dance'; there are: at_once, echo, later, long, refuse"):
        control_call(path, "dance")


def test_wrong_arguments_are_a_sentence_and_the_server_serves_on(path: Path) -> None:
    with pytest.raises(ControlError, match="long: KeyError: 'bytes'"):
        control_call(path, "long")
    with pytest.raises(ControlError, match="long: TypeError"):
        control_call(path, "long", bytes="many")
    assert control_call(path, "echo", still="here") == {"still": "here"}


def test_a_line_of_just_the_limit_is_answered(path: Path) -> None:
    text = "x" * (LINE_BYTES_MAX - len(b'{"verb":"echo","arguments":{"text":""}}\n'))
    assert control_call(path, "echo", text=text) == {"text": text}
    with pytest.raises(ControlError, match=r"question has 1048577 bytes"):
        control_call(path, "echo", text=text + "x")


def ask_until_answered(path: Path) -> Answer:
    """Ask for 5 s at most: the server hears of a freed place and of the next asker in any order."""
    deadline_s = time.monotonic() + 5
    while True:
        try:
            return control_call(path, "echo", a=1)
        except ControlError:
            assert time.monotonic() < deadline_s
            time.sleep(0.01)


def test_one_asker_too_many_is_closed_and_a_freed_place_is_given_again(path: Path) -> None:
    with ExitStack() as stack:
        askers = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(CONNECTIONS_MAX)]
        for asker in askers:
            asker.connect(os.fspath(path))
        with pytest.raises(ControlError, match="cannot ask"):
            control_call(path, "echo")
        askers.pop().close()
        assert ask_until_answered(path) == {"a": 1}


def test_a_silent_server_is_given_up_in_time(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(os.fspath(tmp_path / "s"))
        silent.listen()
        started_s = time.monotonic()
        with pytest.raises(ControlError, match=r"no answer from .* within 0.05 s"):
            control_call(tmp_path / "s", "echo", timeout_s=0.05)
        assert time.monotonic() - started_s < 1


@pytest.mark.parametrize("answer", [b"noise\n", b"[]\n", b"half"])
def test_an_answer_that_is_none_raises(nursery: Nursery, tmp_path: Path, answer: bytes) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(tmp_path / "s"))
    listener.listen()

    def main(_: Life) -> int:
        accepted, _address = listener.accept()
        accepted.recv(1000)
        accepted.sendall(answer)
        accepted.close()
        return 0

    nursery.fork(main, keep=[listener.fileno()])
    with pytest.raises(ControlError, match=r"no JSON|ended before it answered"):
        control_call(tmp_path / "s", "echo")
    listener.close()


# The socket file


def test_nobody_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"no process answers at .*/none"):
        control_call(tmp_path / "none", "echo")


def test_only_the_owner_may_ask(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_mode_of_other_files_is_not_touched(tmp_path: Path) -> None:
    former = os.umask(0o022)
    loop = Loop()
    server = ControlServer(loop, tmp_path / "s", {})
    (tmp_path / "file").touch()
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644
    os.umask(former)
    server.close()
    loop.close()


def test_sigterm_removes_the_file_and_kill_9_leaves_it_to_the_next(nursery: Nursery, tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    start(nursery, path).kill_and_reap()
    assert path.is_socket()
    with pytest.raises(ControlError, match="no process answers"):
        control_call(path, "echo")
    successor = start(nursery, path)
    assert control_call(path, "echo", a=1) == {"a": 1}
    successor.signal(signal.SIGTERM)
    assert successor.wait(5) == 0
    assert not path.exists()


def test_a_socket_that_is_answered_is_not_taken_over(path: Path) -> None:
    loop = Loop()
    with pytest.raises(ControlError, match="another process answers"):
        ControlServer(loop, path, {})
    loop.close()
    assert control_call(path, "echo", a=1) == {"a": 1}


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "diary"
    path.write_text("dear diary")
    loop = Loop()
    with pytest.raises(ControlError, match="no socket"):
        ControlServer(loop, path, {})
    loop.close()
    assert path.read_text() == "dear diary"


def test_close_does_not_remove_what_has_become_anothers(tmp_path: Path) -> None:
    path = tmp_path / "s"
    loop = Loop()
    server = ControlServer(loop, path, {})
    path.rename(tmp_path / "aside")
    path.write_text("another's")
    server.close()
    server.close()
    assert path.read_text() == "another's"
    loop.close()


def test_a_path_too_long_for_a_socket_is_refused_in_words(tmp_path: Path) -> None:
    loop = Loop()
    with pytest.raises(ControlError, match="107 bytes at most"):
        ControlServer(loop, tmp_path / ("x" * 108), {})
    loop.close()
