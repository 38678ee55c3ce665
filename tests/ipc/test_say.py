"""Proves that what happens is said at once, and that what happens all the time is counted, not written."""

import sys

import pytest

from ipc import say as door
from ipc.say import DIFFERENT_MAX, MOST_ALIKE, WINDOW_S, Voice


class Rig:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.lines: list[str] = []
        self.voice = Voice(self.lines.append, lambda: self.now_s)

    def pass_time(self, seconds: float) -> list[str]:
        """Give what is said when so much time has gone by."""
        self.now_s += seconds
        self.lines.clear()
        self.voice.say_held()
        return self.lines


def test_the_same_words_are_said_a_few_times_and_then_counted() -> None:
    rig = Rig()
    for _ in range(1000):
        rig.voice.say("it flaps")
    assert rig.lines == ["it flaps"] * MOST_ALIKE
    assert rig.pass_time(WINDOW_S - 1) == []
    assert rig.pass_time(1) == [f"nsu: {1000 - MOST_ALIKE} times more: it flaps (in the last 60 s)"]
    assert rig.pass_time(1000) == []
    rig.voice.say("it flaps")
    assert rig.lines == ["it flaps"], "a new window"


def test_what_was_held_is_told_by_the_next_words_too() -> None:
    rig = Rig()
    for _ in range(MOST_ALIKE + 1):
        rig.voice.say("it flaps")
    rig.lines.clear()
    rig.now_s = WINDOW_S
    rig.voice.say("another thing")
    assert rig.lines == ["nsu: 1 times more: it flaps (in the last 60 s)", "another thing"]


def test_a_stranger_who_varies_his_words_is_counted_as_one() -> None:
    rig = Rig()
    for number in range(1000):
        rig.voice.say(f"login {number} is unknown", about="10.0.0.9")
    assert len(rig.lines) == MOST_ALIKE


def test_all_words_together_have_a_bound() -> None:
    rig = Rig()
    for number in range(10 * DIFFERENT_MAX):
        rig.voice.say(f"thing {number}")
    assert len(rig.lines) == DIFFERENT_MAX
    assert len(rig.voice.heard) == DIFFERENT_MAX + 1
    assert rig.pass_time(WINDOW_S) == [f"nsu: {9 * DIFFERENT_MAX} other lines were left out (in the last 60 s)"]
    assert not rig.voice.heard


def test_the_process_speaks_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    door.say("it is so")
    door.say_held()
    assert capsys.readouterr().err == "it is so\n"


def test_a_terminal_that_is_gone_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone:
        def write(self, text: str) -> int:
            raise BrokenPipeError(32, "Broken pipe")

        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(sys, "stderr", Gone())
    door.write_line("nobody hears this")
