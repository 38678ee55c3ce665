"""What every request handler of the pages and of REST needs, put together once."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nsu.alarms import Alarm
from nsu.conf.settings import MachineSettings
from nsu.gather import gather
from nsu.web.attempts import Attempts
from nsu.web.journal import Journal
from nsu.web.passwords import Users
from nsu.web.sessions import Sessions
from nsu.web.tokens import Tokens
from nsu.web.watcher import Watcher


@dataclass(frozen=True, slots=True)
class Site:
    """One machine's pages."""

    conf_path: Path
    machine: MachineSettings
    users: Users
    tokens: Tokens
    sessions: Sessions
    attempts: Attempts
    audit: Journal
    events: Journal
    watcher: Watcher

    @property
    def has_tls(self) -> bool:
        return self.machine.web_tls is not None

    @property
    def state_dir(self) -> Path:
        return self.machine.state_dir


def make_site(conf_path: Path, machine: MachineSettings, ask: Callable[[Path], dict[str, Any]] = gather) -> Site:
    """Put the site of a machine together; `ask` gives what `nsu status` tells, of a STATE folder."""
    folder = machine.state_dir / "web"
    events = Journal(folder / "events.jsonl")

    def note(event: Alarm) -> None:
        events.note(**event._asdict())

    return Site(
        conf_path,
        machine,
        Users(machine.state_dir),
        Tokens(machine.state_dir),
        Sessions(time.monotonic),
        Attempts(time.monotonic),
        Journal(folder / "audit.jsonl"),
        events,
        Watcher(lambda: ask(machine.state_dir), note),
    )
