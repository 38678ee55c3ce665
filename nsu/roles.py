"""What nsu.conf makes of this machine: the mains of its role processes. Here the parts are put together, and only here."""

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
from serverside.errors import SettingsError, StateError
from serverside.drives.base import DriveError
from serverside.server import run_server
from serverside.settings import ServerSettings

Main = Callable[[Life], int]

PASSING = frozenset({EADDRINUSE, EBUSY})
"""Errors at a start that pass by themselves: a killed predecessor's processes may still hold a port or a drive."""


def mains(conf_path: Path, loaded: Loaded) -> dict[str, Main]:
    """Give the main of each role's process, by role."""
    found: dict[str, Main] = {}
    server, host = loaded.server, loaded.host
    if server is not None:
        watch = ConfWatch(conf_path, loaded)
        found["server"] = lambda life: start_server(life, server, watch)
    if host is not None:
        found["host"] = lambda life: run_host(life, host)
    return found


def start_server(life: Life, server: ServerSettings, watch: "ConfWatch") -> int:
    """Run the server role; what only a person can mend ends it for good, with a sentence."""
    try:
        return run_server(life, server, watch.fresh)
    except (SettingsError, StateError) as error:
        print(f"nsu: server: {error}", file=sys.stderr, flush=True)
        return Exit.NEVER_AGAIN
    except (DriveError, OSError) as error:
        print(f"nsu: server: {getattr(error, 'strerror', None) or error}", file=sys.stderr, flush=True)
        return Exit.FAILED if error.errno in PASSING else Exit.NEVER_AGAIN


class ConfWatch:
    """Looks whether nsu.conf has changed, and loads it when it has. A bad file changes nothing: the old settings stay."""

    def __init__(self, path: Path, loaded: Loaded) -> None:
        self.path = path
        self.seen = stamp(path)
        self.settings = loaded.server

    def fresh(self) -> ServerSettings | None:
        """Give new settings of the server role, or None."""
        now = stamp(self.path)
        if now == self.seen or now is None:
            return None
        self.seen = now
        try:
            server = load_file(self.path).server
        except ConfErrors as error:
            print(f"nsu: {self.path} is not good, the old settings stay in force:\n{error}", file=sys.stderr)
            return None
        if server is None or server == self.settings:
            return None
        self.settings = server
        return server


def stamp(path: Path) -> tuple[int, int, int] | None:
    """Give what changes whenever a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
