"""Journals in STATE, a JSON object on each line: who did what (audit), and what happened (events).

A line is on the drive before `note` comes back, so that nothing is done that the audit log has not. At HALF_BYTES a
file becomes NAME.old in place of the former one: a journal never takes more than twice that.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HALF_BYTES = 4 << 20


class Journal:
    """Lines in the file `path`. One process writes; any may read. For several threads."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.clock = clock
        self._lock = threading.Lock()

    def note(self, **facts: Any) -> dict[str, Any]:
        """Write a line, with the time as `at`, and give it. Raises OSError."""
        entry = {"at": round(self.clock(), 3), **facts}
        with self._lock:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(descriptor, json.dumps(entry, default=str).encode() + b"\n")
                os.fdatasync(descriptor)
                is_full = os.fstat(descriptor).st_size >= HALF_BYTES
            finally:
                os.close(descriptor)
            if is_full:
                os.rename(self.path, self.older)
        return entry

    @property
    def older(self) -> Path:
        """Where what came before the file is."""
        return self.path.with_name(self.path.name + ".old")

    def newest(self, most: int) -> list[dict[str, Any]]:
        """Give the last `most` lines, the newest first. A line that was cut off by a power failure is left out."""
        lines = list(_lines(self.path))
        if len(lines) < most:
            lines = [*_lines(self.older), *lines]
        return lines[: -most - 1 : -1]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "at" in entry:
            yield entry
