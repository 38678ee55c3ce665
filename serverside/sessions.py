"""Sessions: what one authenticated configuration socket owns.

The rule (traps 8, 21, 22): a new session of a host is granted only when nothing of its old ones can still be applied.
`srws.py` says when that is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from ipc.child import Child
from protocol.dialogue import ServerDialogue
from protocol.states import Config
from serverside.settings import HostSettings

TICKET_LIFE_S = 10.0


@dataclass(frozen=True, slots=True)
class Ticket:
    """Leave to open one path, once."""

    nonce: bytes
    until_s: float


@dataclass(slots=True, eq=False)
class Srw:
    """One SRW process and the place it has taken."""

    child: Child
    session: "Session"
    path: int
    seat: int
    port: tuple[str, int]
    peer: str
    began_s: float
    reaped: bool = False
    """Its process is gone; what it had posted to the drivers is being waited for."""
    buried: bool = False
    """That is done too: nothing of it can be applied any more."""
    killed: bool = False
    """We have killed it, or asked it to go."""

    @property
    def host_name(self) -> str:
        return self.session.host.name


@dataclass(slots=True, eq=False)
class Session:
    """What one configuration socket authenticates. `epoch` never comes again."""

    number: int
    epoch: int
    version: int
    host: HostSettings
    peer_address: str
    dialogue: ServerDialogue
    send: Callable[[], None]
    """Have what the dialogue has queued sent."""
    close_socket: Callable[[], None]
    finish_socket: Callable[[], None]
    """Close it when what the dialogue has queued has gone out."""
    began_s: float
    tickets: dict[int, Ticket] = field(default_factory=dict)
    srws: dict[int, Srw] = field(default_factory=dict)
    """Path number -> its SRW. 0x01 has no path numbers: the server counts them itself."""
    over_tls: bool = False
    key: str = ""
    """The fingerprint of the secret that its host has proven; empty in version 0x01."""
    ended: bool = False
    asked_ports: bool = False
    """Step (10) is done: from now on its data ports listen for it."""

    @property
    def awaits_grant(self) -> bool:
        """Whether it may be granted: it has neither ended nor broken its dialogue while it waited."""
        return not self.ended and self.dialogue.state is Config.PROVEN

    @property
    def is_open(self) -> bool:
        """Whether it may be told something: it is granted, and its dialogue is in order."""
        return not self.ended and self.dialogue.state is Config.OPEN

    @property
    def places(self) -> int:
        """How many data sockets it may have at once, over all its ports."""
        return sum(port.connections_max for port in self.host.data_ports)

    def free_path(self) -> int:
        """Give the lowest path number not in use (0x01)."""
        number = 0
        while number in self.srws:
            number += 1
        return number

    def give_ticket(self, path: int, nonce: bytes, now_s: float) -> None:
        """Give leave to open `path`; an older leave is worth nothing from now on."""
        self.tickets = {number: ticket for number, ticket in self.tickets.items() if ticket.until_s > now_s}
        self.tickets[path] = Ticket(nonce, now_s + TICKET_LIFE_S)

    def may_open(self, path: int, now_s: float) -> bool:
        """Whether there is a place for one more path, those included for which there are tickets."""
        given = {number for number, ticket in self.tickets.items() if ticket.until_s > now_s} - {path}
        return len(given | self.srws.keys()) < self.places
