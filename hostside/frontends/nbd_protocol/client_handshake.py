"""Option haggling, the client's side: what hostside.client needs to open one export with structured replies.

Bytes in by `receive`, bytes out by `data_to_send`, as in handshake.py. It insists on the fixed newstyle
handshake and on NBD_OPT_GO, which every server of the last years has; structured replies are asked for and
used when granted.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from errno import ENOENT, EPROTO
from typing import Any

from construct import ConstructError

from hostside.frontends.nbd_protocol.errors import ExportRefusedError, FrameInDoubtError
from hostside.frontends.nbd_protocol.handshake_layout import (
    CLIENT_FLAGS,
    EXPORT_QUERY,
    GREETING,
    GREETING_BYTES,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    INFO_KIND,
    OPTION,
    OPTION_REPLY,
    OPTION_REPLY_BYTES,
)
from hostside.frontends.nbd_protocol.numbers import (
    BLOCK_BYTES_MIN,
    OPTION_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    STRING_BYTES_MAX,
    HandshakeFlag,
    Info,
    Option,
    Reply,
    TransmissionFlag,
)


class Phase(Enum):
    """Where the client stands."""

    GREETING = auto()
    STRUCTURED_REPLY = auto()
    """NBD_OPT_STRUCTURED_REPLY is out."""
    GO = auto()
    """NBD_OPT_GO is out."""
    TRANSMISSION = auto()


class Event(Enum):
    """What moves it; whatever else the server says ends in an exception."""

    GREETED = auto()
    STRUCTURED_ANSWERED = auto()
    INFORMED = auto()
    OPENED = auto()


TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.GREETING: {Event.GREETED: Phase.STRUCTURED_REPLY},
    Phase.STRUCTURED_REPLY: {Event.STRUCTURED_ANSWERED: Phase.GO},
    Phase.GO: {Event.INFORMED: Phase.GO, Event.OPENED: Phase.TRANSMISSION},
    Phase.TRANSMISSION: {},
}


@dataclass(slots=True)
class Opened:
    """What the server has said of the export."""

    size_bytes: int = -1
    flags: TransmissionFlag = TransmissionFlag.HAS_FLAGS
    structured: bool = False
    block_bytes_min: int = BLOCK_BYTES_MIN
    payload_bytes_max: int = PAYLOAD_BYTES_MAX


class ClientHandshake:
    """Open the export `name` (empty: the server's only one).

    Raises, out of `receive`:
        FrameInDoubtError: this is no NBD server, or none with the fixed newstyle handshake.
        ExportRefusedError: it will not open the export; with its sentence.
    """

    def __init__(self, name: str) -> None:
        self.phase = Phase.GREETING
        self.opened = Opened()
        self._name = name
        self._unread = bytearray()
        self._out = bytearray()

    def data_to_send(self) -> bytes:
        """Take what is to be sent."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def missing_bytes(self) -> int:
        """How many bytes, at least 1, to receive next, so that none of the transmission phase is taken."""
        have = len(self._unread)
        if self.phase is Phase.GREETING:
            return GREETING_BYTES - have
        if have < OPTION_REPLY_BYTES:
            return OPTION_REPLY_BYTES - have
        length_bytes: int = self._parse(OPTION_REPLY, self._unread[:OPTION_REPLY_BYTES]).length_bytes
        if length_bytes > OPTION_BYTES_MAX:
            raise FrameInDoubtError(f"the server's answer has {length_bytes} bytes, far too many")
        return OPTION_REPLY_BYTES + length_bytes - have

    def receive(self, data: bytes) -> None:
        """Take bytes: at most `missing_bytes()` of them."""
        self._unread += data
        if self.missing_bytes():
            return
        message = bytes(self._unread)
        self._unread.clear()
        self.phase = TRANSITIONS[self.phase][_TAKE[self.phase](self, message)]

    @staticmethod
    def _parse(layout: Any, data: bytes | bytearray) -> Any:
        try:
            return layout.parse(bytes(data))
        except ConstructError as error:
            raise FrameInDoubtError("what answers there does not speak the newstyle NBD protocol") from error

    def _greeting(self, message: bytes) -> Event:
        flags = HandshakeFlag(self._parse(GREETING, message).flags)
        if not flags & HandshakeFlag.FIXED_NEWSTYLE:
            raise FrameInDoubtError("the server has only the handshake from before 2011 (not fixed newstyle)")
        ours = flags & (HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES)
        self._out += CLIENT_FLAGS.build({"flags": int(ours)})
        self._ask(Option.STRUCTURED_REPLY, b"")
        return Event.GREETED

    def _ask(self, option: Option, data: bytes) -> None:
        self._out += OPTION.build({"option": int(option), "length_bytes": len(data)}) + data

    def _answer(self, option: Option, message: bytes) -> tuple[int, bytes]:
        """Split an answer to `option` into its type and its data."""
        head = self._parse(OPTION_REPLY, message[:OPTION_REPLY_BYTES])
        if head.option != option:
            raise FrameInDoubtError(f"the server answers option {head.option}; it was asked option {int(option)}")
        return int(head.reply), message[OPTION_REPLY_BYTES:]

    def _structured_answer(self, message: bytes) -> Event:
        reply, _ = self._answer(Option.STRUCTURED_REPLY, message)
        self.opened.structured = reply == Reply.ACK
        query = {"name": self._name.encode(), "queries": [int(Info.BLOCK_SIZE)]}
        self._ask(Option.GO, EXPORT_QUERY.build(query))
        return Event.STRUCTURED_ANSWERED

    def _go_answer(self, message: bytes) -> Event:
        reply, data = self._answer(Option.GO, message)
        if reply == Reply.INFO:
            self._take_info(data)
            return Event.INFORMED
        if reply != Reply.ACK:
            raise _refused(self._name, reply, data)
        if self.opened.size_bytes < 0:
            raise FrameInDoubtError("the server has opened the export without telling its size")
        return Event.OPENED

    def _take_info(self, data: bytes) -> None:
        kind = self._parse(INFO_KIND, data).info
        if kind == Info.EXPORT:
            fact = self._parse(INFO_EXPORT, data)
            self.opened.size_bytes = fact.size_bytes
            self.opened.flags = TransmissionFlag(fact.flags)
        elif kind == Info.BLOCK_SIZE:
            sizes = self._parse(INFO_BLOCK_SIZE, data)
            self.opened.block_bytes_min = sizes.minimum_bytes
            self.opened.payload_bytes_max = sizes.payload_bytes_max


_TAKE: dict[Phase, Callable[[ClientHandshake, bytes], Event]] = {
    Phase.GREETING: ClientHandshake._greeting,
    Phase.STRUCTURED_REPLY: ClientHandshake._structured_answer,
    Phase.GO: ClientHandshake._go_answer,
}


def _refused(name: str, reply: int, data: bytes) -> ExportRefusedError:
    number = ENOENT if reply == Reply.ERR_UNKNOWN else EPROTO
    said = data[:STRING_BYTES_MAX].decode(errors="replace")
    return ExportRefusedError(number, said or f"The server does not open {name!r} (answer {reply:#x}).")
