"""Proves that what a process wrote is read by its parent after its death, whatever its length."""

import os

from nsu.last_words import WORDS_BYTES, LastWords


def test_a_dead_child_is_quoted_and_each_role_has_its_own_words() -> None:
    words = LastWords(("server", "host"))
    pid = os.fork()
    if pid == 0:
        words.put("host", "«no room»")
        os.kill(os.getpid(), 9)
    os.waitpid(pid, 0)
    assert (words.get("server"), words.get("host")) == ("", "«no room»")
    words.put("host", "")
    assert words.get("host") == ""


def test_a_long_sentence_loses_its_end() -> None:
    words = LastWords(("server",))
    words.put("server", "é" * WORDS_BYTES)
    assert words.get("server") == "é" * (WORDS_BYTES // 2)
    words.put("server", "x" + "é" * WORDS_BYTES)
    assert words.get("server") == "x" + "é" * (WORDS_BYTES // 2 - 1), "no half of a character"
