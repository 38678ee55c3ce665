"""The last versions of nsu.conf that came into force: who changed what, when; STATE/history, one file for each.

Rules:
- A version is written whole before it is named (write, fsync, rename), and never changed afterwards. Numbers only grow.
- The text of the newest version is what is in force, or, when nothing runs, what was saved last by one of our verbs.
- A change by hand is a version too: the server notes it when it takes the file. One of our own verbs holds the lock
  while it saves and records, so that its change is not taken for one by hand.
- At most VERSIONS_MOST are kept; the oldest go.
- A file that is damaged or foreign is passed over: a history is of use, but nothing depends on it.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from serverside.identity import write_atomically

VERSIONS_MOST = 100
BY_HAND = "by hand"


class HistoryBusyError(Exception):
    """Somebody else is saving a version now."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of the file."""

    number: int
    at_s: float
    """When it was saved, or seen, in seconds since 1970."""
    who: str
    what: tuple[str, ...]
    text: str


class History:
    """The versions in a folder, which is made when the first is recorded."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / "history"

    def versions(self) -> list[Version]:
        """Give all, the oldest first."""
        numbers = (self._number_of(path) for path in self._files())
        found = (self.get(number) for number in sorted(number for number in numbers if number))
        return [version for version in found if version is not None]

    def newest(self) -> Version | None:
        """Give the last version that can be read."""
        for number in sorted((self._number_of(path) for path in self._files()), reverse=True):
            version = self.get(number) if number else None
            if version is not None:
                return version
        return None

    def get(self, number: int) -> Version | None:
        """Give one version; None: it is not there any more, or not readable."""
        try:
            said = json.loads(self._path(number).read_bytes())
            return Version(
                number, float(said["at_s"]), str(said["who"]), tuple(map(str, said["what"])), str(said["text"])
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def record(self, text: str, *, who: str, what: Sequence[str], at_s: float) -> Version | None:
        """Add a version, under the lock; None: it is the newest already. Raises OSError."""
        newest = self.newest()
        if newest is not None and newest.text == text:
            return None
        number = max((self._number_of(path) for path in self._files()), default=0) + 1
        version = Version(number, at_s, who, tuple(what), text)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._path(number), json.dumps(asdict(version), indent=1).encode())
        for path in self._files():
            if self._number_of(path) <= number - VERSIONS_MOST:
                path.unlink(missing_ok=True)
        return version

    def withdraw(self, version: Version) -> None:
        """Take back a version that did not come into force, under the lock."""
        self._path(version.number).unlink(missing_ok=True)

    @contextmanager
    def locked(self, *, patient: bool = True) -> Iterator[None]:
        """One writer at a time. Raises HistoryBusyError (when not `patient`) and OSError."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if patient else fcntl.LOCK_NB))
            yield
        except BlockingIOError as error:
            raise HistoryBusyError from error
        finally:
            os.close(descriptor)

    def _files(self) -> list[Path]:
        return list(self.folder.glob("*.json"))

    def _number_of(self, path: Path) -> int:
        return int(path.stem) if path.stem.isdecimal() else 0

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06d}.json"


def note_by_hand(state_dir: Path, text: str, at_s: float) -> None:
    """Record a text that is in force, if no verb of ours has put it there. Never waits, never fails."""
    history = History(state_dir)
    try:
        with history.locked(patient=False):
            history.record(text, who=BY_HAND, what=("changed by hand",), at_s=at_s)
    except (HistoryBusyError, OSError):
        return  # whoever has the lock records his own; a full disk costs a version, not the service
