"""Sentences on standard error, for whoever runs us. At a terminal they are wrapped at its width, between words.

In a log or a pipe a sentence stays one line, so that it can be searched for; on request each is an object of JSON, for
programs that collect logs. A terminal that is gone ends nobody.
"""

import contextlib
import json
import os
import sys
import textwrap
from datetime import UTC, datetime
from typing import TextIO

from ipc.child import process_name

COLUMNS_LEAST = 40
"""A narrower terminal wraps by itself."""


_in_json = False


def write_json(*, on: bool) -> None:
    """Have this process, and those it forks, say JSON: an object with time, process, pid and message on each line."""
    global _in_json
    _in_json = on


def say(sentence: str) -> None:
    """Print a sentence on standard error."""
    with contextlib.suppress(OSError, ValueError):
        line = _json_line(sentence) if _in_json else wrapped(sentence, columns_of(sys.stderr))
        # The end of the line in the same write: many processes speak to one place.
        print(f"{line}\n", end="", file=sys.stderr, flush=True)


def _json_line(sentence: str) -> str:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": at, "process": process_name(), "pid": os.getpid(), "message": sentence})


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
