"""Words for people on standard error, one line for one event: the one door through which a process speaks.

Events that others can cause at will must not fill a disk. So the same words are said at most MOST_ALIKE times in
WINDOW_S; what is held back is counted, and the count is said when the window is over: by the next `say`, or by
`say_held`, which a process that minds such a door calls now and then. Different words have a bound together,
DIFFERENT_MAX in a window.

Never on a data path: a terminal that stands still holds whoever speaks to it. A terminal that is gone ends nobody.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

WINDOW_S = 60.0
MOST_ALIKE = 5
DIFFERENT_MAX = 100
ELSEWISE = ""
"""Stands for all words beyond DIFFERENT_MAX."""


@dataclass(slots=True)
class Heard:
    """What has been said of one thing in its window."""

    sentence: str
    until_s: float
    said: int = 0
    held: int = 0


class Voice:
    """Holds back what repeats itself. `write` gets each line; `clock` gives seconds."""

    def __init__(self, write: Callable[[str], object], clock: Callable[[], float]) -> None:
        self.write = write
        self.clock = clock
        self.heard: dict[str, Heard] = {}

    def say(self, sentence: str, about: str | None = None) -> None:
        """Say it, or count it. `about` counts sentences that differ as one, for what a stranger can vary."""
        self.say_held()
        key = sentence if about is None else about
        if key not in self.heard and len(self.heard) >= DIFFERENT_MAX:
            key = ELSEWISE
        heard = self.heard.setdefault(key, Heard(sentence, self.clock() + WINDOW_S))
        if key == ELSEWISE or heard.said >= MOST_ALIKE:
            heard.held += 1
            return
        heard.said += 1
        self.write(sentence)

    def say_held(self) -> None:
        """Tell what was held back in the windows that are over."""
        now_s = self.clock()
        for key in [key for key, heard in self.heard.items() if heard.until_s <= now_s]:
            heard = self.heard.pop(key)
            if heard.held:
                what = "other lines were left out" if key == ELSEWISE else f"times more: {heard.sentence}"
                self.write(f"nsu: {heard.held} {what} (in the last {WINDOW_S:g} s)")


def write_line(line: str) -> None:
    """Write a line where whoever runs us (systemd, a terminal) keeps it."""
    with suppress(OSError, ValueError):
        # The end of the line in the same write: many processes speak to one place, and Python may be unbuffered.
        print(f"{line}\n", end="", file=sys.stderr, flush=True)


voice = Voice(write_line, time.monotonic)
"""Of this process. A child begins with what its parent had said."""


def say(sentence: str, about: str | None = None) -> None:
    """Say one line, for people. See `Voice.say`."""
    voice.say(sentence, about)


def say_held() -> None:
    """See `Voice.say_held`."""
    voice.say_held()
