"""What the configuration dialogue tells its edge: plain frozen values, one class for each thing that
happens.
"""

from dataclasses import dataclass
from enum import IntEnum

from protocol.records import DataPort, UnitRecord


class Notice(IntEnum):
    """What a version 0x02 server pushes, so that a change need not cut anyone off."""

    UNITS_CHANGED = 1
    SHUTTING_DOWN = 2
    PORTS_CHANGED = 3
    EVICTED = 4
    """Another login of this host ends the session; the sentence says from where. The NSU closes after it."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened on the configuration socket."""


# Told to the server's edge.


@dataclass(frozen=True, slots=True)
class LoginProven(Event):
    """Appendix D (5) holds, or the version 0x02 proof does: the edge calls `grant` or `refuse`."""

    version: int
    login: str
    """Empty in version 0x01, whose hosts are known by their address alone."""


@dataclass(frozen=True, slots=True)
class LoginFailed(Event):
    """The answer -1 is queued already: the edge sends it and closes."""

    sentence: str


@dataclass(frozen=True, slots=True)
class AskStartTime(Event):
    """Appendix D (6): answer with `answer_starttime`."""


@dataclass(frozen=True, slots=True)
class AskCapacities(Event):
    """Appendix D (8): answer with `answer_capacities`."""


@dataclass(frozen=True, slots=True)
class AskDataPorts(Event):
    """Appendix D (10): answer with `answer_dataports`."""


@dataclass(frozen=True, slots=True)
class AskUnits(Event):
    """Version 0x02: answer with `answer_units`."""


@dataclass(frozen=True, slots=True)
class AskPath(Event):
    """Version 0x02: the host wants to open a data socket by this number; `answer_path` or `refuse_path`."""

    path: int


@dataclass(frozen=True, slots=True)
class AskFence(Event):
    """Version 0x02: `answer_fence` once nothing of the path can still be applied."""

    path: int


# Told to the host's edge.


@dataclass(frozen=True, slots=True)
class Granted(Event):
    """Logged in. Version 0x01 has no session, epoch, name or verifier: 0, 0, empty and 0."""

    version: int
    session: int
    epoch: int
    nsu_name: str
    verifier: int = 0
    """Another one than at the last session: what was acknowledged and not flushed may be lost. 0: not told."""


@dataclass(frozen=True, slots=True)
class StartTime(Event):
    """Appendix D (7): drivers "should only test old and new values of the cookie for equality or
    inequality".
    """

    cookie: int


@dataclass(frozen=True, slots=True)
class Capacities(Event):
    """Appendix D (9): bytes of each unit, in the order of `zn_zlun`."""

    sizes_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DataPorts(Event):
    """Appendix D (11)."""

    ports: tuple[DataPort, ...]


@dataclass(frozen=True, slots=True)
class Units(Event):
    """Version 0x02: every unit of this host."""

    units: tuple[UnitRecord, ...]


@dataclass(frozen=True, slots=True)
class PathTicket(Event):
    """Version 0x02: the path may be opened; its single-use token is made from `nonce`."""

    path: int
    nonce: bytes


@dataclass(frozen=True, slots=True)
class PathRefused(Event):
    """Version 0x02: the path may not be opened."""

    path: int
    status: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Fenced(Event):
    """Version 0x02: nothing of the path can still be applied."""

    path: int


@dataclass(frozen=True, slots=True)
class Pong(Event):
    """Version 0x02: the server is alive."""


@dataclass(frozen=True, slots=True)
class Notified(Event):
    """Version 0x02: the server tells of a change."""

    kind: Notice
    value: int
    sentence: str = ""
    """For people; may be empty."""
