"""What both roles of the configuration dialogue do: bytes in, whole messages on, states by a table, bytes
out.
"""

from abc import ABC, abstractmethod

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import Event
from protocol.limits import HEADER_BYTES
from protocol.states import Config, ConfigTable, Happening


class Dialogue(ABC):
    """One end of a configuration socket."""

    _table: ConfigTable

    def __init__(self, state: Config) -> None:
        self.state = state
        """One of `Config`."""
        self.version: int | None = None
        """The version that was chosen."""
        self.challenge = 0
        """The 32-bit number of step 2; in version 0x01 the token of every data socket."""
        self._inbox = bytearray()
        self._outbox = bytearray()

    def data_to_send(self) -> bytes:
        """Give what is to be sent and forget it."""
        data = bytes(self._outbox)
        self._outbox.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes and say what they meant.

        RemoteProtocolError when the other side broke frame or dialogue; the machine is CLOSED then.
        """
        events: list[Event] = []
        self._inbox += data
        try:
            while self.state is not Config.CLOSED and len(self._inbox) >= self._due_bytes():
                event = self._message(self._take(self._due_bytes()))
                if event is not None:
                    events.append(event)
        except RemoteProtocolError:
            self.state = Config.CLOSED
            raise
        if self.state is Config.CLOSED:
            self._inbox.clear()
        return events

    def _due_bytes(self) -> int:
        """Say how long the next message is."""
        return HEADER_BYTES

    @abstractmethod
    def _message(self, message: bytes) -> Event | None:
        """Act on one whole message, or on the list behind one; say what it meant."""

    def _take(self, count: int) -> bytes:
        message = bytes(self._inbox[:count])
        del self._inbox[:count]
        return message

    def _move(self, happening: Happening) -> None:
        """Follow the table; what it lacks is our own caller's mistake."""
        following = self._table[self.state].get(happening)
        if following is None:
            raise LocalProtocolError(f"{happening.value!r} has no place in state {self.state.name}.")
        self.state = following
