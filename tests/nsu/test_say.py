"""Proves that a sentence is one line in a log, wrapped between words at a terminal, and JSON on request."""

import json
import os
import pty
import subprocess
import sys
from datetime import datetime, timedelta

import pytest

from nsu.say import wrapped

LONG = "nsu: " + "a sentence with /a/path/that/is-long-and-has-hyphens and more words " * 3


@pytest.mark.parametrize("columns", [None, 20])
def test_without_a_terminal_a_sentence_is_one_line(columns: int | None) -> None:
    assert wrapped(LONG, columns) == LONG


@pytest.mark.parametrize("columns", [40, 80, 132])
def test_lines_fit_and_no_word_is_broken(columns: int) -> None:
    text = wrapped(LONG, columns)
    assert max(map(len, text.splitlines())) <= columns
    assert text.split() == LONG.split()
    assert all(line.startswith("  ") for line in text.splitlines()[1:])


def test_lines_of_their_own_stay_so_and_a_word_too_long_stays_whole() -> None:
    word = "x" * 90
    assert wrapped(f"one\ntwo {word}\n\nthree", 40).splitlines() == ["one", "two", f"  {word}", "", "three"]


def test_at_a_real_terminal_it_is_wrapped_and_a_gone_one_ends_nobody() -> None:
    script = f"from nsu.say import say; say({LONG!r}); import os; os.close(2); say('nobody hears'); print('alive')"
    ours, theirs = pty.openpty()
    try:
        os.set_inheritable(theirs, True)
        stty = f"stty cols 60 < /dev/fd/{theirs}"
        subprocess.run(["sh", "-c", stty], pass_fds=[theirs], check=True)
        done = subprocess.run([sys.executable, "-c", script], stderr=theirs, stdout=subprocess.PIPE, check=True)
        said = os.read(ours, 4096).decode().split("\r\n")
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.stdout == b"alive\n"
    assert len(said) > 3
    assert max(map(len, said)) <= 60


def test_on_request_each_line_is_an_object_that_names_who_speaks() -> None:
    script = (
        "from nsu.say import say, write_json; from ipc.child import name_process; import os\n"
        "write_json(on=True); name_process('nsu: supervisor'); say('one\\n«two»')\n"
        "if os.fork() == 0: name_process('nsu: server'); say('three'); os._exit(0)\n"
        "os.wait(); write_json(on=False); say('four')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stderr=subprocess.PIPE, check=True, text=True)
    *objects, last = done.stderr.splitlines()
    said = [json.loads(line) for line in objects]
    assert [(one["process"], one["message"]) for one in said] == [
        ("nsu: supervisor", "one\n«two»"),
        ("nsu: server", "three"),
    ]
    assert said[0]["pid"] != said[1]["pid"]
    assert datetime.fromisoformat(said[0]["time"]).utcoffset() == timedelta(0)
    assert last == "four"
