"""What nsu.conf makes of this machine: the mains of its role processes. Here the parts are put together, and only here.

The server role follows a changed nsu.conf (`ConfWatch`). One rule protects data: a server never starts with settings
that are older than those its predecessor may have used. STATE describes the partitions of the newest settings; taken
back to older ones, it would forget what has come since: what was written to a ZERO partition that has taken another
one's place would read as zeros.
"""

import os
import sys
from collections.abc import Callable
from errno import EADDRINUSE, EBUSY
from pathlib import Path

from hostside.host import run_host
from ipc.child import Life
from ipc.exits import Exit
from nsu.conf.errors import ConfErrors
from nsu.conf.load import Loaded, load_file
from serverside.drives.base import DriveError
from serverside.errors import SettingsError, StateError
from serverside.server import run_server
from serverside.settings import ServerSettings

Main = Callable[[Life], int]
Stamp = tuple[int, int, int]

PASSING = frozenset({EADDRINUSE, EBUSY})
"""Errors at a start that pass by themselves: a killed predecessor's processes may still hold a port or a drive."""


def mains(conf_path: Path, loaded: Loaded, seen: Stamp | None) -> dict[str, Main]:
    """Give the main of each role's process, by role. `seen`: the file's stamp from before it was loaded."""
    found: dict[str, Main] = {}
    server, host = loaded.server, loaded.host
    if server is not None:
        watch = ConfWatch(conf_path, server, seen)
        found["server"] = lambda life: start_server(life, watch)
    if host is not None:
        found["host"] = lambda life: run_host(life, host)
    return found


def start_server(life: Life, watch: "ConfWatch") -> int:
    """Run the server role; what only a person can mend ends it for good, with a sentence."""
    settings = watch.newest()
    if settings is None:
        return Exit.FAILED
    try:
        return run_server(life, settings, watch.fresh)
    except (SettingsError, StateError) as error:
        say(f"nsu: server: {error}")
        return Exit.NEVER_AGAIN
    except (DriveError, OSError) as error:
        say(f"nsu: server: {sentence_of(error)}")
        return Exit.FAILED if error.errno in PASSING else Exit.NEVER_AGAIN


class ConfWatch:
    """Looks whether nsu.conf has changed, and loads it when it has. A bad file changes nothing."""

    def __init__(self, path: Path, settings: ServerSettings, seen: Stamp | None) -> None:
        self.path = path
        self.settings = settings
        self.seen = seen

    def newest(self) -> ServerSettings | None:
        """Give what the file says now, for a server that starts; None when it says nothing good."""
        now = stamp(self.path)
        if now != self.seen:
            self.seen = now
            server = self.load()
            if server is None:
                say(f"nsu: server: it starts once {self.path} is good again")
                return None
            self.settings = server
        return self.settings

    def fresh(self) -> ServerSettings | None:
        """Give new settings of the server role, or None."""
        now = stamp(self.path)
        if now == self.seen or now is None:
            return None
        self.seen = now
        server = self.load()
        if server is None:
            say("nsu: server: the old settings stay in force")
            return None
        if server == self.settings:
            return None
        self.settings = server
        return server

    def load(self) -> ServerSettings | None:
        """Load the file; say why it is not good for a server, and give None, when it is not."""
        try:
            server = load_file(self.path).server
        except ConfErrors as error:
            say(f"nsu: server: {self.path} is not good:\n{error}")
            return None
        if server is None:
            say(f"nsu: server: {self.path} gives this machine no server role any more")
        return server


def sentence_of(error: DriveError | OSError) -> str:
    """Give the error in words, with the file it is about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return getattr(error, "strerror", None) or str(error)


def stamp(path: Path) -> Stamp | None:
    """Give what changes whenever a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size


def say(sentence: str) -> None:
    """Log a line, for whoever runs us."""
    print(sentence, file=sys.stderr, flush=True)
