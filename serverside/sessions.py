"""Sessions: what one authenticated configuration socket owns, and how it is brought to an end.

The rule (traps 8, 21, 22): a new session of a host is granted only when nothing of its old ones can still be applied.
"Applied" ends in three steps, always in this order: the SRW is killed, it is REAPED (a killed process inside pwrite is
gone only then), and the array's driver process has worked off what the SRW had posted to it. A `Burial` waits for the
first two and is told by the third.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ipc.child import Child
from protocol.dialogue import ServerDialogue
from serverside.settings import HostSettings

TICKET_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to open one path, once."""

    nonce: bytes
    until_s: float


@dataclass(slots=True)
class Srw:
    """One SRW process and the place it has taken."""

    child: Child
    path: int
    seat: int
    port: tuple[str, int]
    peer: str
    host_name: str
    began_s: float


@dataclass(slots=True)
class Session:
    """What one configuration socket authenticates. `epoch` never comes again."""

    number: int
    epoch: int
    version: int
    host: HostSettings
    peer_address: str
    dialogue: ServerDialogue
    close_socket: Callable[[], None]
    began_s: float
    tickets: dict[int, Ticket] = field(default_factory=dict)
    srws: dict[int, Srw] = field(default_factory=dict)
    """Path number -> its SRW. 0x01 has no path numbers: the server counts them itself."""
    ended: bool = False
    asked_ports: bool = False
    """Step (10) is done: from now on its data ports listen for it."""
    marker: int = 0
    """0x02: the random magic of the path that is just being opened."""

    def free_path(self) -> int:
        """Give the lowest path number not in use (0x01)."""
        number = 0
        while number in self.srws:
            number += 1
        return number


class Burial:
    """Waits until every SRW of a set is reaped, then calls `done`, once."""

    def __init__(self, srws: list[Srw], done: Callable[[], None]) -> None:
        self.waiting = {srw.child.pid for srw in srws}
        self.done = done

    def reaped(self, pid: int) -> bool:
        """Take note that `pid` is reaped; True when that was the last."""
        self.waiting.discard(pid)
        return not self.waiting


class Burials:
    """All burials that are waiting."""

    def __init__(self) -> None:
        self.open: list[Burial] = []

    def begin(self, srws: list[Srw], done: Callable[[], None]) -> None:
        """Kill `srws`; call `done` when all are reaped (at once when there are none)."""
        if not srws:
            done()
            return
        for srw in srws:
            srw.child.signal(9)
        self.open.append(Burial(srws, done))

    def reaped(self, pid: int) -> None:
        """Take note of a reaped SRW and finish what waited for it."""
        finished = [burial for burial in self.open if burial.reaped(pid)]
        self.open = [burial for burial in self.open if burial not in finished]
        for burial in finished:
            burial.done()
