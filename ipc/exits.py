"""What a process says by its exit status: the one table that parents and children share.

A parent decides by the number alone whether a child is started again, so the number, not the log, is the
message.
"""

from enum import IntEnum


class Exit(IntEnum):
    """Exit statuses of our processes; `sentence` says each in words."""

    OK = 0
    FAILED = 1
    MISUSE = 2
    NEVER_AGAIN = 3
    PATH_LOST = 10
    PATH_REFUSED = 11
    DETACHED = 12
    LEFT_BUSY = 13

    @property
    def sentence(self) -> str:
        """The status in words."""
        return _SENTENCES[self]


_SENTENCES = {
    Exit.OK: "it did what it was asked and ended",
    Exit.FAILED: "it failed; its last words are in the log",
    Exit.MISUSE: "it was started wrongly, and would be again",
    Exit.NEVER_AGAIN: "it must not be started again until a person has acted",
    Exit.PATH_LOST: "its connection was lost",
    Exit.PATH_REFUSED: "its connection was refused by the other side",
    Exit.DETACHED: "it was detached as asked, with nothing left in flight",
    Exit.LEFT_BUSY: "it was detached as asked, with requests in flight",
}

assert _SENTENCES.keys() == set(Exit)


def describe_exit(status: int) -> str:
    """Say in words how a process ended. `status` is as `Child.poll` gives it: negative for a signal."""
    if status < 0:
        return f"it was killed by signal {-status}"
    try:
        return f"{Exit(status).sentence} (exit status {status})"
    except ValueError:
        return f"it ended with exit status {status}"
