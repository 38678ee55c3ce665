"""What nsu.conf makes of this machine: the mains of its role processes. Here the parts are put together, and only here.

The server role follows a changed nsu.conf (`ConfWatch`). One rule protects data: a server never starts with settings
that are older than those its predecessor may have used. STATE describes the partitions of the newest settings; taken
back to older ones, it would forget what has come since: what was written to a ZERO partition that has taken another
one's place would read as zeros.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import replace
from errno import EACCES, EADDRINUSE, EBUSY
from functools import partial
from pathlib import Path
from typing import Any

from hostside.config_client import Newest, newest_known
from hostside.host import run_host
from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from ipc.child import Life
from ipc.control import ControlError
from ipc.exits import Exit
from nsu.conf import keys
from nsu.conf.errors import ConfErrors
from nsu.conf.keys import SERVER_SECRET_FILE
from nsu.conf.load import Loaded, digest_of, load_file, load_text, read_text, resolve_by_system
from nsu.conf.secrets import read_secret
from nsu.conf.server_role import Resolve
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Document, same_kind
from nsu.conf.values import ValueWrong
from nsu.history import note_by_hand
from nsu.last_words import LastWords
from nsu.say import say
from serverside.drives.base import DriveError
from serverside.errors import SettingsError, StateError
from serverside.server import run_server
from serverside.settings import ServerSettings

Main = Callable[[Life], int]
Stamp = tuple[int, int, int]

PASSING = frozenset({EADDRINUSE, EBUSY})
"""Errors at a start that pass by themselves: a killed predecessor's processes may still hold a port or a drive."""


ERRORS_TOLD = 4
"""Of a bad nsu.conf, in a warning; `nsu check` tells all."""

HINTS = {
    EACCES: "; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
}
"""What a person does about a port that can't be opened."""


def mains(conf_path: Path, loaded: Loaded, seen: Stamp | None, words: LastWords) -> dict[str, Main]:
    """Give the main of each role's process, by role. `seen`: the file's stamp from before it was loaded.

    Why a role ends, it leaves in `words`.
    """
    found: dict[str, Main] = {}
    server, host = loaded.server, loaded.host
    if server is not None:
        state_dir = server.state_dir
        watch = ConfWatch(conf_path, server, seen, lambda text: note_by_hand(state_dir, text, time.time()))
        found["server"] = lambda life: start_server(life, watch, words)
    if host is not None:
        found["host"] = lambda life: start_host(life, host, words, NewestSecrets(conf_path))
    machine = loaded.machine
    if machine.web is not None and found:
        found["web"] = lambda life: start_web(life, conf_path, machine, words)
    if machine.setup or machine.addresses:
        found["setup"] = lambda life: start_setup(life, conf_path, machine, words)
    return found


def start_server(life: Life, watch: "ConfWatch", words: LastWords) -> int:
    """Run the server role; what only a person can mend ends it for good, with a sentence."""
    words.put("server", "")
    settings = watch.newest()
    if settings is None:
        words.put("server", f"{watch.path} is not good: see `nsu check`")
        return Exit.FAILED
    try:
        return run_server(life, settings, watch.fresh, watch.describe, watch.note_in_force)
    except (SettingsError, StateError) as error:
        words.put("server", str(error))
        say(f"nsu: server: {error}")
        return Exit.NEVER_AGAIN
    except (DriveError, OSError) as error:
        words.put("server", sentence_of(error))
        say(f"nsu: server: {sentence_of(error)}")
        return Exit.FAILED if error.errno in PASSING else Exit.NEVER_AGAIN


def start_host(life: Life, settings: HostRoleSettings, words: LastWords, newest: Newest = newest_known) -> int:
    """Run the host role; what keeps it from starting is told, and tried again."""
    words.put("host", "")
    try:
        return run_host(life, settings, newest)
    except (ControlError, OSError) as error:
        sentence = sentence_of(error) if isinstance(error, OSError) else str(error)
        words.put("host", sentence)
        say(f"nsu: host: {sentence}")
        return Exit.FAILED


def start_web(life: Life, conf_path: Path, machine: MachineSettings, words: LastWords) -> int:
    """Run the pages. Whatever becomes of them, the roles that move data go on: it is tried again, and told."""
    # Here, not above: none of the kit behind the pages comes into the processes that move data.
    from nsu.web.process import WebError, run_web

    words.put("web", "")
    try:
        return run_web(life, conf_path, machine)
    except (WebError, ConfErrors, OSError) as error:
        sentence = sentence_of(error) if isinstance(error, OSError) else str(error)
        words.put("web", sentence)
        say(f"nsu: web: {sentence}")
        return Exit.FAILED


def start_setup(life: Life, conf_path: Path, machine: MachineSettings, words: LastWords) -> int:
    """Run set-up. Whatever becomes of it, the roles that move data go on: it is tried again, and told."""
    # Here, not above: pyroute2 comes into no process that moves data.
    from nsu.claiming import carry_out
    from serverside.setup import SetupSettings, run_setup

    words.put("setup", "")
    state_dir = machine.state_dir
    settings = SetupSettings(state_dir, machine.setup, machine.addresses)
    try:
        return run_setup(life, settings, partial(carry_out, conf_path=conf_path, state_dir=state_dir))
    except (StateError, ControlError, OSError) as error:
        sentence = sentence_of(error) if isinstance(error, OSError) else str(error)
        words.put("setup", sentence)
        say(f"nsu: setup: {sentence}")
        return Exit.FAILED


class ConfWatch:
    """Looks whether nsu.conf has changed, and loads it when it has. A bad file changes nothing.

    `note` gets each text that came into force, the one of the start too: a good one that the server refused is none.
    """

    def __init__(
        self,
        path: Path,
        settings: ServerSettings,
        seen: Stamp | None,
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.note = note
        self.resolve: Resolve = resolve_by_system
        self.path = path
        self.settings = settings
        self.seen = seen
        self.is_gone = False
        self.digest = ""
        """SHA-256 of the text that was judged last."""
        self.errors: tuple[str, ...] = ()
        """What is wrong with it."""
        self.text = ""
        """The good text that was loaded last."""
        self.is_in_force = True
        """The server goes by it."""

    def describe(self) -> dict[str, Any]:
        """Give what was found at the last look, for whoever waits for a change."""
        return {"path": str(self.path), "digest": self.digest, "errors": list(self.errors)}

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
            self.note_in_force()
        elif not self.digest:
            self.note_start()
        return self.settings

    def note_start(self) -> None:
        """Note what the first start goes by."""
        with contextlib.suppress(ConfErrors):
            self.text = read_text(self.path)
            self.digest = digest_of(self.text)
            self.note_in_force()

    def note_in_force(self) -> None:
        """Hear that the server goes by what was loaded last."""
        self.is_in_force = True
        self.note(self.text)

    def fresh(self) -> ServerSettings | None:
        """Give new settings of the server role, or None."""
        now = stamp(self.path)
        self.tell_if_gone(now is None)
        if now == self.seen or now is None:
            return None
        self.seen = now
        server = self.load()
        if server is None:
            say("nsu: server: the old settings stay in force")
            return None
        if server == self.settings:
            if self.is_in_force:  # a comment: of a text that was refused it is refused, too
                self.note_in_force()
            return None
        self.settings, self.is_in_force = server, False
        return server

    def tell_if_gone(self, is_gone: bool) -> None:
        """Say once that there is no file any more."""
        if is_gone and not self.is_gone:
            say(f"nsu: server: {self.path} is not there any more; the settings it had stay in force")
        self.is_gone = is_gone

    def resolver(self) -> Resolve:
        """Resolve names, and where the name service is down, go on with what a HOST's name was: it may be logged in."""
        blocks = same_kind(Document(self.text).blocks, "HOST")
        by_name = {one.name for one in blocks if all(entry.key != keys.HOST_ADDRESS.name for entry in one.entries)}
        known = {host.name: host.addresses for host in self.settings.hosts if host.name in by_name}
        return lambda name: self.resolve(name) or known.get(name, ())

    def load(self) -> ServerSettings | None:
        """Load the file; say why it is not good for a server, and give None, when it is not."""
        self.errors = ()
        try:
            text = read_text(self.path)
            self.digest = digest_of(text)
            server = load_text(text, self.path, resolve=self.resolver()).server
        except (ConfErrors, OSError) as error:
            # OSError: no error of reading is worth more than what runs.
            self.errors = tuple(map(str, error.errors)) if isinstance(error, ConfErrors) else (sentence_of(error),)
            say(f"nsu: server: {self.path} is not good:\n{error}")
            return None
        if server is None:
            self.errors = (f"{self.path} gives this machine no server role any more",)
            say(f"nsu: server: {self.errors[0]}")
        else:
            self.text = text
        return server


class NewestSecrets:
    """Gives the secrets of SERVER blocks as their files have them now. One that can't be read is told of, once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told = ""

    def __call__(self, entry: ServerEntry) -> bytes:
        """Give the newest; where there is none to be had, the one of the start."""
        assert entry.secret is not None
        try:
            secret = secret_of_server(read_text(self.path), entry.name) or entry.secret
        except (ConfErrors, ValueWrong) as error:
            if str(error) != self.told:
                say(f"nsu: host: the key for {entry.name} can't be read again; the one of the start is used: {error}")
            self.told = str(error)
            return entry.secret
        self.told = ""
        return secret


def secret_of_server(text: str, name: str) -> bytes | None:
    """Read the secret of a SERVER; None: the text names none. Raises ValueWrong."""
    entries = [entry for block in Document(text).blocks if block.label == f"SERVER {name}" for entry in block.entries]
    path = next((entry.value for entry in entries if entry.key == SERVER_SECRET_FILE.name), None)
    return None if path is None else read_secret(SERVER_SECRET_FILE.type.read(path))


class HostWatch:
    """Looks whether nsu.conf says something else of what takes effect at the next start only, and warns."""

    def __init__(self, path: Path, loaded: Loaded, seen: Stamp | None) -> None:
        self.path = path
        self.loaded = loaded
        self.seen = seen
        self.found: tuple[str, ...] = ()

    def warnings(self) -> tuple[str, ...]:
        """Give the warnings; each is said when it appears."""
        now = stamp(self.path)
        if now == self.seen or now is None:
            return self.found
        self.seen = now
        found = self.look()
        for sentence in found:
            if sentence not in self.found:
                say(f"nsu: warning: {sentence}")
        self.found = found
        return found

    def look(self) -> tuple[str, ...]:
        """Compare the file with what was started."""
        try:
            loaded = load_file(self.path, resolve=lambda _: ())
        except ConfErrors as found:
            told = ". ".join(map(str, found.errors[:ERRORS_TOLD]))
            more = f". And {len(found.errors) - ERRORS_TOLD} more" if len(found.errors) > ERRORS_TOLD else ""
            return (
                f"nsu.conf is not good now; what runs keeps its former settings. {told}{more}."
                " See: nsu check, nsu rollback",
            )
        changed = []
        if bare(servers_of(loaded)) != bare(servers_of(self.loaded)):
            changed.append("its SERVER blocks have")
        if replace(loaded.machine, addresses=()) != replace(self.loaded.machine, addresses=()):
            changed.append("its MACHINE block has")
        if self.loaded.server is None and loaded.server is not None:
            changed.append("its server role has")
        later = [f"{self.path}: {what} changed; that takes effect at the next start" for what in changed]
        if not changed and disks_of(loaded) != disks_of(self.loaded):
            later.append(
                f"{self.path}: its DISK blocks have changed; `nsu attach` and `nsu detach` follow them now, "
                "or the next start does"
            )
        return tuple(later)


def bare(servers: tuple[ServerEntry, ...]) -> tuple[ServerEntry, ...]:
    """Give the SERVER blocks without what can change while they are in use: disks, and which key it is."""
    return tuple(replace(entry, disks=(), secret=None if entry.secret is None else b"") for entry in servers)


def disks_of(loaded: Loaded) -> list[tuple[DiskSettings, ...]]:
    """Give the DISK blocks of each SERVER."""
    return [entry.disks for entry in servers_of(loaded)]


def servers_of(loaded: Loaded) -> tuple[ServerEntry, ...]:
    """Give the SERVER blocks."""
    return () if loaded.host is None else loaded.host.servers


def sentence_of(error: DriveError | OSError) -> str:
    """Give the error in words, with the file it is about."""
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    words: str = getattr(error, "strerror", None) or str(error)
    about_a_port = isinstance(error, OSError) and words.startswith("can't open ")
    return words + (HINTS.get(error.errno or 0, "") if about_a_port else "")


def stamp(path: Path) -> Stamp | None:
    """Give what changes whenever a file is written or replaced; None when it is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ino, status.st_size
