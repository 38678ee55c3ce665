"""The life of a server's paths, as a table: pure thinking, no sockets, no processes, no clock of its own.

A path is a place (0 .. CONNECTIONS-1) in which one agent after another lives. The order in which a dead path is buried
is what keeps data right (trap 8), and it is this file's reason to exist:

  1. the agent is dead AND reaped: nothing of it can write into a slot any more;
  2. the server says, by FENCE over the configuration socket or by granting a new session, that its SRW is reaped too
     and what it had posted is done: nothing of the path can still be applied;
  3. only then the disks are told LOST, and send the path's constituents again elsewhere.

Version 0x01 has no FENCE. Its strongest order is note (2) of Appendix D: close the configuration socket, whereupon the
NSU closes all data sockets of this host, and treat the next session's grant as the fence of everything before it.

```
 IDLE ──ask──▶ TICKET ──ticket──▶ STARTING ──ready──▶ UP
  ▲             │ refused          │ exited            │ exited
  │◀────────────┘                  ▼                   ▼
  │◀───────── fenced ──────────── FENCING ◀────────────┘
  │                                │ session lost
  └────── session granted ─────── ORPHANED ◀── reaped ── DYING ◀── session lost (STARTING, UP: the agent is killed)
```
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum, auto

from ipc.backoff import Backoff
from protocol.records import DataPort


class PathState(Enum):
    """Where a path is in its life."""

    IDLE = auto()
    TICKET = auto()
    STARTING = auto()
    UP = auto()
    FENCING = auto()
    DYING = auto()
    ORPHANED = auto()
    FENCED_DYING = auto()
    """A new session has been granted, so the server's end is gone; our agent is killed but not yet reaped."""


class PathEvent(Enum):
    """What can happen to a path."""

    ASK = auto()
    TICKET = auto()
    REFUSED = auto()
    READY = auto()
    EXITED = auto()
    FENCED = auto()
    SESSION_LOST = auto()
    SESSION_GRANTED = auto()


_S, _E = PathState, PathEvent

NEXT: dict[PathState, dict[PathEvent, PathState]] = {
    _S.IDLE: {_E.ASK: _S.TICKET, _E.SESSION_LOST: _S.IDLE, _E.SESSION_GRANTED: _S.IDLE},
    _S.TICKET: {_E.TICKET: _S.STARTING, _E.REFUSED: _S.IDLE, _E.SESSION_LOST: _S.IDLE},
    _S.STARTING: {_E.READY: _S.UP, _E.EXITED: _S.FENCING, _E.SESSION_LOST: _S.DYING},
    _S.UP: {_E.EXITED: _S.FENCING, _E.SESSION_LOST: _S.DYING},
    _S.FENCING: {_E.FENCED: _S.IDLE, _E.SESSION_LOST: _S.ORPHANED},
    _S.DYING: {
        _E.EXITED: _S.ORPHANED,
        _E.READY: _S.DYING,
        _E.SESSION_LOST: _S.DYING,
        _E.SESSION_GRANTED: _S.FENCED_DYING,
    },
    _S.ORPHANED: {_E.SESSION_GRANTED: _S.IDLE, _E.SESSION_LOST: _S.ORPHANED},
    _S.FENCED_DYING: {_E.EXITED: _S.IDLE, _E.READY: _S.FENCED_DYING, _E.SESSION_LOST: _S.FENCED_DYING},
}

_UNBURIED = frozenset({_S.FENCING, _S.DYING, _S.ORPHANED, _S.FENCED_DYING})

SHORT_LIFE_S = 1.0
"""A path that was up for less rests before its next try, longer each time, so that nothing flaps at full speed."""


@dataclass(slots=True)
class Path:
    """One place and what is known of it."""

    number: int
    backoff: Backoff
    state: PathState = PathState.IDLE
    incarnation: int = 0
    port: DataPort | None = None
    not_before_s: float = 0.0
    since_s: float = 0.0
    reason: str = ""
    """Why the last agent ended, in words."""


@dataclass(slots=True)
class PathTable:
    """All paths of one server. `told_lost` is called with (path, incarnation) exactly when the order above allows."""

    count: int
    new_backoff: Callable[[], Backoff]
    told_lost: Callable[[int, int], None]
    paths: list[Path] = field(init=False)
    ports: tuple[DataPort, ...] = ()
    troubled_until_s: dict[DataPort, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.paths = [Path(number, self.new_backoff()) for number in range(self.count)]

    def move(self, path: Path, event: PathEvent, now_s: float) -> None:
        """Take `event`; tell LOST when the path comes home to IDLE from a life in which it held constituents."""
        before = path.state
        try:
            path.state = NEXT[before][event]
        except KeyError:
            raise AssertionError(f"path {path.number} can't take {event.name} in {before.name}") from None
        if before is PathState.UP and now_s - path.since_s >= SHORT_LIFE_S:
            path.backoff.reset()
        path.since_s = now_s
        if path.state is PathState.IDLE and before not in (PathState.IDLE, PathState.TICKET):
            self.told_lost(path.number, path.incarnation)
        if path.state is PathState.STARTING:
            path.incarnation = (path.incarnation + 1) & 0xFFFF

    def rest(self, path: Path, now_s: float) -> None:
        """Let a path that failed rest a while before its next try; the data port it failed on is left alone as long."""
        pause_s = path.backoff.next()
        path.not_before_s = now_s + pause_s
        if path.port is not None:
            self.troubled_until_s[path.port] = now_s + pause_s

    def wanting(self, now_s: float) -> Iterator[Path]:
        """Give the paths that could be opened now: as many as there are places on the server's ports."""
        places = sum(port.connections_max for port in self.ports)
        used = sum(path.state is not PathState.IDLE for path in self.paths)
        for path in self.paths:
            if used >= places:
                return
            if path.state is PathState.IDLE and path.not_before_s <= now_s:
                used += 1
                yield path

    def choose_port(self, now_s: float) -> DataPort | None:
        """Choose the port with the smallest share of its places used, those in trouble last: networks fill evenly."""
        used = dict.fromkeys(self.ports, 0)
        for path in self.paths:
            if path.state is not PathState.IDLE and path.port in used:
                used[path.port] += 1
        free = [port for port in self.ports if used[port] < port.connections_max]
        return min(
            free,
            key=lambda port: (
                self.troubled_until_s.get(port, 0.0) > now_s,
                used[port] / port.connections_max,
                self.ports.index(port),
            ),
            default=None,
        )

    def next_at(self, now_s: float) -> float | None:
        """Give when a resting path may be tried again."""
        waiting = [p.not_before_s for p in self.paths if p.state is PathState.IDLE and p.not_before_s > now_s]
        return min(waiting, default=None)

    @property
    def unburied(self) -> bool:
        """Is there a path whose former life may still write into a slot or be applied?"""
        return any(path.state in _UNBURIED for path in self.paths)

    @property
    def up_count(self) -> int:
        """Paths that carry I/O now."""
        return sum(path.state is PathState.UP for path in self.paths)
