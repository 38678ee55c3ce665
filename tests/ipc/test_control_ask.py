"""Proves that whoever asks from the loop hears once: the answer, a refusal, or why there is none."""

import os
import signal
import time
from pathlib import Path

import pytest

from ipc.control import ControlError, RefusedError
from ipc.control_ask import ControlAsk
from ipc.control_connection import Answer
from ipc.loop import Loop
from tests.ipc.conftest import Nursery
from tests.ipc.control_world import start


def ask(path: Path, verb: str, timeout_s: float = 5.0, **arguments: object) -> list[Answer | ControlError]:
    """Run a loop until the answer is there, and a turn longer."""
    loop = Loop()
    heard: list[Answer | ControlError] = []

    def on_answer(answer: Answer | ControlError) -> None:
        heard.append(answer)
        loop.call_later(0.02, loop.stop)

    ControlAsk(loop, path, verb, on_answer, timeout_s=timeout_s, **arguments)
    loop.run()
    loop.close()
    return heard


def test_an_answer_comes_back_though_it_takes_long(nursery: Nursery, tmp_path: Path) -> None:
    start(nursery, tmp_path / "control.sock")
    assert ask(tmp_path / "control.sock", "echo", a=[1, "ü"]) == [{"a": [1, "ü"]}]
    assert ask(tmp_path / "control.sock", "later", delay_s=0.05) == [{"late": 0.05}]
    assert ask(tmp_path / "control.sock", "long", bytes=900_000) == [{"text": "x" * 900_000}]


def test_a_refusal_is_told_from_silence(nursery: Nursery, tmp_path: Path) -> None:
    start(nursery, tmp_path / "control.sock")
    (refusal,) = ask(tmp_path / "control.sock", "refuse")
    assert isinstance(refusal, RefusedError)
    assert str(refusal) == "it is Sunday"


def test_where_nobody_listens_that_is_the_answer(tmp_path: Path) -> None:
    (said,) = ask(tmp_path / "nobody.sock", "echo")
    assert isinstance(said, ControlError)
    assert "no process answers at" in str(said)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
def test_who_stops_answering_is_not_waited_for(nursery: Nursery, tmp_path: Path, number: int) -> None:
    child = start(nursery, tmp_path / "control.sock")
    os.kill(child.pid, number)
    began_s = time.monotonic()
    (said,) = ask(tmp_path / "control.sock", "echo", timeout_s=0.3)
    assert not isinstance(said, dict)
    assert not isinstance(said, RefusedError)
    assert time.monotonic() - began_s < 3


def test_who_has_cancelled_hears_nothing(nursery: Nursery, tmp_path: Path) -> None:
    start(nursery, tmp_path / "control.sock")
    loop = Loop()
    heard: list[Answer | ControlError] = []
    asked = ControlAsk(loop, tmp_path / "control.sock", "echo", heard.append, timeout_s=0.1)
    asked.cancel()
    asked.cancel()
    loop.call_later(0.2, loop.stop)
    loop.run()
    loop.close()
    assert heard == []
