"""A real supervisor whose roles are small mains that keep a diary: `python -m tests.nsu.small_roles STATE ROLE=MAIN …`.

The diary is STATE/diary: a line for each event, `MONOTONIC_S ROLE WORD PID`, in the order in which it happened.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ipc.backoff import Backoff
from ipc.child import Life
from ipc.exits import Exit
from ipc.supervision import Policy
from nsu.supervisor import Supervisor

POLICY = Policy(
    backoff=Backoff(0.05, 0.4, random=random.random), silent_after_s=2.0, stop_within_s=0.5, steady_after_s=10.0
)
DRAIN_S = 0.1
BEAT_S = 0.02


class Entry(NamedTuple):
    """One line of the diary."""

    at_s: float
    role: str
    word: str
    pid: int


class SmallSupervisor:
    """One such supervisor, its diary, and its end."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.process: subprocess.Popen[str] | None = None

    def start(self, **roles: str) -> None:
        command = [sys.executable, "-m", "tests.nsu.small_roles", str(self.state)]
        command += [f"{role}={main}" for role, main in roles.items()]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def end(self, number: signal.Signals | None = signal.SIGTERM) -> tuple[int, str]:
        """Send the signal, if any, and wait; give exit status and log."""
        assert self.process is not None
        if number is not None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=20)
        return self.process.returncode, said

    def close(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                self.process.kill()
            self.process.wait()
            if self.process.stderr is not None:
                self.process.stderr.close()

    def diary(self) -> list[Entry]:
        path = self.state / "diary"
        lines = path.read_text().splitlines() if path.exists() else []
        fields = (line.split() for line in lines)
        return [Entry(float(at_s), role, word, int(pid)) for at_s, role, word, pid in fields]

    def words(self) -> list[str]:
        return [f"{entry.role} {entry.word}" for entry in self.diary()]

    def wait_for(self, *words: str, count: int = 1) -> list[Entry]:
        """Wait until each of these words is there so often; give the whole diary."""
        wait_until(lambda: all(self.words().count(word) >= count for word in words), self.words)
        return self.diary()


def wait_until(holds: Callable[[], object], tell: Callable[[], object], timeout_s: float = 15.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, tell()
        time.sleep(0.005)


# --- the roles' mains ---


class Diary:
    def __init__(self, state: Path, role: str) -> None:
        self.path = state / "diary"
        self.role = role

    def note(self, word: str) -> None:
        with open(self.path, "a") as file:  # one write of one line: many may append
            file.write(f"{time.monotonic()} {self.role} {word} {os.getpid()}\n")


def live_until_stopped(life: Life, diary: Diary) -> int:
    while not life.stop_asked:
        life.beat()
        time.sleep(BEAT_S)
    diary.note("asked")
    time.sleep(DRAIN_S)
    diary.note("gone")
    return Exit.OK


def steady(life: Life, diary: Diary) -> int:
    signal.signal(signal.SIGHUP, lambda *_: diary.note("hup"))
    diary.note("up")
    life.ready()
    return live_until_stopped(life, diary)


def starting(life: Life, diary: Diary) -> int:
    """Never ready; SIGHUP would end it."""
    diary.note("up")
    return live_until_stopped(life, diary)


def failing(_life: Life, diary: Diary) -> int:
    diary.note("up")
    return Exit.FAILED


def never_again(_life: Life, diary: Diary) -> int:
    diary.note("up")
    return Exit.NEVER_AGAIN


def silent(life: Life, diary: Diary) -> int:
    """Ready, then stuck."""
    diary.note("up")
    life.ready()
    time.sleep(60)
    return Exit.OK


def stubborn(life: Life, diary: Diary) -> int:
    """Deaf to SIGTERM."""
    diary.note("up")
    life.ready()
    while True:
        life.beat()
        time.sleep(BEAT_S)


MAINS = {main.__name__: main for main in (steady, starting, failing, never_again, silent, stubborn)}


def main(state: Path, roles: dict[str, str]) -> int:
    def bound(role: str) -> Callable[[Life], int]:
        return lambda life: MAINS[roles[role]](life, Diary(state, role))

    return Supervisor("small", state, {role: bound(role) for role in roles}, ("a warning",), POLICY).run()


if __name__ == "__main__":
    pairs = (argument.partition("=") for argument in sys.argv[2:])
    sys.exit(main(Path(sys.argv[1]), {role: name for role, _, name in pairs}))
