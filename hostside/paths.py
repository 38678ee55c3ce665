"""The life of a server's paths, as a table: pure thinking, no sockets, no processes, no clock of its own.

A path is a place in which one agent after another lives. There are as many places as CONNECTIONS_MAX, and some to
spare: a path is moved to another network by opening its successor first (balance.py). The order in which a dead path is
buried is what keeps data right (trap 8), and it is this file's reason to exist:

  1. the agent is dead AND reaped: nothing of it can write into a slot any more;
  2. the server says, by FENCE over the configuration socket or by granting a new session, that its SRW is reaped too
     and what it had posted is done: nothing of the path can still be applied;
  3. only then the disks are told LOST, and send the path's constituents again elsewhere.

A path that is closed because there are enough (CLOSING) goes the same way: its agent finishes what it was given, and
ends.

Version 0x01 has no FENCE. Its strongest order is note (2) of Appendix D: close the configuration socket, whereupon the
NSU closes all data sockets of this host, and treat the next session's grant as the fence of everything before it. Only
an agent that ended as asked, with no answer outstanding, needs no fence.

```
 IDLE ──ask──▶ TICKET ──ticket──▶ STARTING ──ready──▶ UP ──close──▶ CLOSING
  ▲             │ refused          │ exited            │ exited      │ exited
  │◀────────────┘                  ▼                   ▼             │
  │◀───────── fenced ──────────── FENCING ◀────────────┴─────────────┘
  │                                │ session lost
  └────── session granted ─────── ORPHANED ◀── reaped ── DYING ◀── session lost (the agent is killed)
```
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, auto

from hostside.networks import Network
from ipc.backoff import Backoff
from protocol.records import DataPort


class PathState(Enum):
    """Where a path is in its life."""

    IDLE = auto()
    TICKET = auto()
    STARTING = auto()
    UP = auto()
    CLOSING = auto()
    """It carries what it was given, takes nothing more, and ends: there are enough without it."""
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
    CLOSE = auto()
    EXITED = auto()
    FENCED = auto()
    SESSION_LOST = auto()
    SESSION_GRANTED = auto()


_S, _E = PathState, PathEvent

NEXT: dict[PathState, dict[PathEvent, PathState]] = {
    _S.IDLE: {_E.ASK: _S.TICKET, _E.SESSION_LOST: _S.IDLE, _E.SESSION_GRANTED: _S.IDLE},
    _S.TICKET: {_E.TICKET: _S.STARTING, _E.REFUSED: _S.IDLE, _E.SESSION_LOST: _S.IDLE},
    _S.STARTING: {_E.READY: _S.UP, _E.EXITED: _S.FENCING, _E.SESSION_LOST: _S.DYING},
    _S.UP: {_E.CLOSE: _S.CLOSING, _E.EXITED: _S.FENCING, _E.SESSION_LOST: _S.DYING},
    _S.CLOSING: {_E.EXITED: _S.FENCING, _E.SESSION_LOST: _S.DYING},
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


@dataclass(slots=True)
class Path:
    """One place and what is known of it."""

    number: int
    state: PathState = PathState.IDLE
    incarnation: int = 0
    network: Network | None = None
    """Over which it runs, or ran last."""
    since_s: float = 0.0
    """When it came into its state."""
    reason: str = ""
    """Why the last agent ended, in words."""

    @property
    def port(self) -> DataPort | None:
        return None if self.network is None else self.network.port


@dataclass(slots=True)
class PathTable:
    """All paths of one server. `told_lost` is called with (path, incarnation) exactly when the order above allows."""

    count: int
    """Places."""
    wanted: int
    """Paths to keep up, as far as the server has places for them."""
    new_backoff: Callable[[], Backoff]
    told_lost: Callable[[int, int], None]
    paths: list[Path] = field(init=False)
    networks: list[Network] = field(default_factory=list)
    """One for each data port that the server has told, in its order."""

    def __post_init__(self) -> None:
        self.paths = [Path(number) for number in range(self.count)]

    def move(self, path: Path, event: PathEvent, now_s: float) -> None:
        """Take `event`; tell LOST when the path comes home to IDLE from a life in which it held constituents."""
        before, lived_s = path.state, now_s - path.since_s
        try:
            path.state = NEXT[before][event]
        except KeyError:
            raise AssertionError(f"path {path.number} can't take {event.name} in {before.name}") from None
        path.since_s = now_s
        self._learn(path.network, before, event, lived_s, now_s)
        if path.state is PathState.IDLE and before not in (PathState.IDLE, PathState.TICKET):
            self.told_lost(path.number, path.incarnation)
        if path.state is PathState.STARTING:
            path.incarnation = (path.incarnation + 1) & 0xFFFF

    def _learn(
        self, network: Network | None, before: PathState, event: PathEvent, lived_s: float, now_s: float
    ) -> None:
        """Take from what happened to a path what it says of its network."""
        if network is None:
            return
        if before is PathState.STARTING and event is PathEvent.READY:
            network.came_up(now_s)
        elif before is PathState.UP and event is PathEvent.EXITED:
            network.lost_one(lived_s, now_s)
        elif event is PathEvent.REFUSED or (before is PathState.STARTING and event is PathEvent.EXITED):
            network.failed(now_s)

    # -- networks ------------------------------------------------------------------------------------------------

    def begin(self, now_s: float) -> None:
        """A session is granted."""
        for network in self.networks:
            network.begin(now_s)

    def set_ports(self, ports: Iterable[DataPort], now_s: float) -> None:
        """Take what the server tells; a port that was there before is known as well as before."""
        known = {(network.port.address, network.port.port): network for network in self.networks}
        told: dict[tuple[str, int], Network] = {}
        for port in ports:
            key = (port.address, port.port)
            network = known.get(key) or Network(port, self.new_backoff(), doubted_s=now_s, probe_at_s=now_s)
            network.port = port
            told[key] = network
        self.networks = list(told.values())

    def try_now(self, now_s: float) -> None:
        """Something has changed that may have brought networks back."""
        for network in self.networks:
            network.try_now(now_s)

    # -- telling -------------------------------------------------------------------------------------------------

    @property
    def places(self) -> int:
        """How many paths the server's ports take."""
        return sum(network.port.connections_max for network in self.networks)

    def in_use(self) -> list[Path]:
        """Give the paths that somebody should see: those that live, and places of those that are missing."""
        missing = self.wanted - sum(path.state is not PathState.IDLE for path in self.paths)
        idle = [path for path in self.paths if path.state is PathState.IDLE]
        shown = {path.number for path in idle[: max(0, missing)]}
        return [path for path in self.paths if path.state is not PathState.IDLE or path.number in shown]

    @property
    def unburied(self) -> bool:
        """Is there a path whose former life may still write into a slot or be applied?"""
        return any(path.state in _UNBURIED for path in self.paths)

    @property
    def up_count(self) -> int:
        """Paths that take I/O now."""
        return sum(path.state is PathState.UP for path in self.paths)
