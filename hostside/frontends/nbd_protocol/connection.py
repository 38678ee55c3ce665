"""One client of an NBD server from greeting to goodbye, without a socket.

The edge that has the socket does three things, and knows nothing of NBD:

    receive into `targets()` while `wants_input`, and say how much it was:   connection.received(size)
    send what `outbox` holds, and say how much it took:                      connection.outbox.sent(size)
    hang up when `settled`; say `lost()` when the client has hung up first.

`wake()` is called when there is something to send, to go on with (`resume`), or to look at (`settled`).
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from hostside.driver.request import Request
from hostside.frontends.base import Driver
from hostside.frontends.nbd_protocol.account import Account
from hostside.frontends.nbd_protocol.errors import FrameInDoubtError
from hostside.frontends.nbd_protocol.export import Export
from hostside.frontends.nbd_protocol.handshake import Phase as HandshakePhase
from hostside.frontends.nbd_protocol.handshake import ServerHandshake
from hostside.frontends.nbd_protocol.outbox import Outbox
from hostside.frontends.nbd_protocol.transmission import HELD_BYTES_MAX, PART_BYTES, Transmission

BUFFER_BYTES: Final = 256 << 10
"""The common buffer of a client: sixty writes of 4 KiB in one recv. Larger payloads bypass it but for their
first piece."""


class Phase(Enum):
    """Where a client stands."""

    HANDSHAKE = auto()
    TRANSMISSION = auto()
    CLOSING = auto()
    """Nothing more is read; what is under way is finished and sent."""
    CLOSED = auto()
    """Nothing more is read or sent; what is with the driver still comes back."""


class Event(Enum):
    """What moves it."""

    EXPORT_OPENED = auto()
    HANDSHAKE_ENDED = auto()
    DISCONNECTED = auto()
    """NBD_CMD_DISC: "The server MUST handle all outstanding requests [...] and close"."""
    LOST = auto()
    """The client has hung up, or must be hung up on: its frames are in doubt."""


TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.HANDSHAKE: {
        Event.EXPORT_OPENED: Phase.TRANSMISSION,
        Event.HANDSHAKE_ENDED: Phase.CLOSING,
        Event.LOST: Phase.CLOSED,
    },
    Phase.TRANSMISSION: {Event.DISCONNECTED: Phase.CLOSING, Event.LOST: Phase.CLOSED},
    Phase.CLOSING: {Event.LOST: Phase.CLOSED},
    Phase.CLOSED: {},
}


class Connection:
    """One client. See the module's text for how to drive it."""

    def __init__(
        self,
        driver: Driver,
        describe: Callable[[], Export],
        wake: Callable[[], None],
        *,
        part_bytes: int = PART_BYTES,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        self.phase = Phase.HANDSHAKE
        self.draining = False
        self.outbox = Outbox(self._release)
        self._driver = driver
        self._wake = wake
        self._part_bytes = part_bytes
        self._held_bytes_max = held_bytes_max
        self._handshake = ServerHandshake(describe)
        self._account: Account | None = None
        self._transmission: Transmission | None = None
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._start = 0
        self._end = 0
        self.outbox.push(self._handshake.data_to_send())

    @property
    def told_size_bytes(self) -> int | None:
        """The disk's size as it was told when the client opened the export, for NBD has no way to tell it again."""
        export = self._handshake.export
        return None if export is None else export.size_bytes

    @property
    def stalled(self) -> bool:
        """Input waits for room: call `resume` when there may be some."""
        return self._transmission is not None and self._transmission.stalled

    @property
    def wants_input(self) -> bool:
        """More may be received."""
        return (self.phase is Phase.TRANSMISSION and not self.stalled) or self.phase is Phase.HANDSHAKE

    @property
    def idle(self) -> bool:
        """Nothing that was asked is under way; a client who was lost is idle when all its slots are free."""
        return self._account is None or self._account.unanswered == 0

    @property
    def settled(self) -> bool:
        """There is nothing more to do for this client: hang up."""
        if self.phase is Phase.CLOSED:
            return True
        if self.stalled or (self.phase is not Phase.CLOSING and not self.draining):
            return False
        return self.idle and self.outbox.unsent_bytes == 0

    def targets(self) -> list[memoryview]:
        """Where the next bytes are to be received: slots of a large write first, then the buffer."""
        free = self._buffer[self._end :]
        if self._transmission is None:
            return [free]
        return [*self._transmission.targets(), free]

    def received(self, size: int) -> None:
        """Take note of `size` bytes, more than 0, received into `targets()`."""
        if self._transmission is None:
            self._haggle(self._buffer[:size])
        else:
            self._end += self._transmission.advance(size)
            self.resume()

    def resume(self) -> None:
        """Go on with the input as far as there is room."""
        transmission = self._transmission
        if transmission is None or self.phase is not Phase.TRANSMISSION:
            return
        try:
            self._start = transmission.consume(self._buffer, self._start, self._end)
        except FrameInDoubtError:
            self.lost()
            return
        if transmission.disconnected:
            self._move(Event.DISCONNECTED)
            self._wake()
        self._make_space()

    def drain(self) -> None:
        """Finish and answer what is under way, refuse what comes meanwhile, then be settled."""
        self.draining = True
        if self._transmission is not None:
            self._transmission.draining = True
            self.resume()  # what waits for room needs none to be refused
        self._wake()

    def lost(self) -> None:
        """The client is gone. What is with the driver comes back in time; all other slots are free now."""
        if self.phase is Phase.CLOSED:
            return
        self._move(Event.LOST)
        if self._transmission is not None:
            self._transmission.abandon()
        self.outbox.close()
        self._wake()

    def _move(self, event: Event) -> None:
        self.phase = TRANSITIONS[self.phase][event]

    def _haggle(self, data: memoryview) -> None:
        handshake = self._handshake
        handshake.receive(data)
        self.outbox.push(handshake.data_to_send())
        self._wake()
        if handshake.phase is HandshakePhase.ENDED:
            self._move(Event.HANDSHAKE_ENDED)
        elif handshake.phase is HandshakePhase.TRANSMISSION:
            self._begin_transmission()

    def _begin_transmission(self) -> None:
        handshake = self._handshake
        assert handshake.export is not None
        self._move(Event.EXPORT_OPENED)
        self._account = Account(
            self._driver,
            self.outbox,
            self._wake,
            structured=handshake.structured,
            part_bytes=self._part_bytes,
            held_bytes_max=self._held_bytes_max,
        )
        self._transmission = Transmission(self._account, handshake.export)
        self._transmission.draining = self.draining
        # Bytes after the option that ended the handshake all came with its last piece, so they fit the
        # buffer.
        self._end = len(handshake.unread)
        self._buffer[: self._end] = handshake.unread
        self.resume()

    def _make_space(self) -> None:
        """Move what is left of the input, half a header unless we are stalled, to the buffer's start."""
        start, end = self._start, self._end
        if start == 0:
            return
        self._buffer[: end - start] = self._buffer[start:end]
        self._start, self._end = 0, end - start

    def _release(self, request: Request) -> None:
        assert self._account is not None
        self._account.release(request)
