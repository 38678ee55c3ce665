"""Sentences on standard error, for whoever runs us. At a terminal they are wrapped at its width, between words.

In a log or a pipe a sentence stays one line, so that it can be searched for. A terminal that is gone ends nobody.
"""

import contextlib
import os
import sys
import textwrap
from typing import TextIO

COLUMNS_LEAST = 40
"""A narrower terminal wraps by itself."""


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    with contextlib.suppress(OSError, ValueError):
        print(wrapped(sentence, columns_of(sys.stderr)), file=sys.stderr, flush=True)


def columns_of(stream: TextIO) -> int | None:
    """Give the terminal's width; None when the stream is no terminal."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def wrapped(text: str, columns: int | None) -> str:
    """Give the text with no line longer than `columns`, but for a word that is; further lines are indented."""
    if columns is None or columns < COLUMNS_LEAST:
        return text
    lines = (
        textwrap.wrap(line, columns, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "\n".join("\n".join(line) for line in lines)
