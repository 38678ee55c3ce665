"""Option haggling, the server's side: newstyle fixed negotiation (doc/proto.md, "Newstyle negotiation").

Bytes in by `receive`, bytes out by `data_to_send`; `phase` says what to do with the connection. Bytes that
come after the option that ends the handshake are the transmission phase's: they stay in `unread`.

Rules
  * An option we do not know, or do not have (metadata contexts, TLS), is answered NBD_REP_ERR_UNSUP with a
    sentence and costs nothing else.
  * An option that we know and that is malformed is answered NBD_REP_ERR_INVALID with a sentence.
  * Where the specification leaves no answer (unknown client flags, a wrong magic, an unknown export asked
    for by NBD_OPT_EXPORT_NAME) the connection ends.
  * No more than one option is kept, and none longer than OPTION_BYTES_MAX.
"""

from collections.abc import Callable
from enum import Enum, auto
from typing import Any

from construct import Construct, ConstructError

from hostside.frontends.nbd_protocol.errors import FrameInDoubtError
from hostside.frontends.nbd_protocol.export import Export
from hostside.frontends.nbd_protocol.handshake_layout import (
    CLIENT_FLAGS,
    CLIENT_FLAGS_BYTES,
    EXPORT_ANSWER,
    EXPORT_QUERY,
    GREETING,
    INFO_BLOCK_SIZE,
    INFO_EXPORT,
    INFO_TEXT,
    OPTION,
    OPTION_BYTES,
    OPTION_REPLY,
    SERVER_ENTRY,
)
from hostside.frontends.nbd_protocol.numbers import (
    BLOCK_BYTES_MIN,
    BLOCK_BYTES_PREFERRED,
    EXPORT_NAME_PADDING_BYTES,
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
    """Where option haggling stands."""

    CLIENT_FLAGS = auto()
    """The greeting is out; the client's flags are awaited."""
    OPTIONS = auto()
    """Haggling."""
    TRANSMISSION = auto()
    """An export is open: the transmission phase has begun."""
    ENDED = auto()
    """Send what there is to send, then hang up."""


class Event(Enum):
    """What moves it."""

    FLAGS_ACCEPTED = auto()
    OPTION_ANSWERED = auto()
    EXPORT_OPENED = auto()
    ABORTED = auto()
    """NBD_OPT_ABORT: "The server MUST reply with NBD_REP_ACK"."""
    VIOLATED = auto()
    """There is no answer to this but to hang up."""


TRANSITIONS: dict[Phase, dict[Event, Phase]] = {
    Phase.CLIENT_FLAGS: {
        Event.FLAGS_ACCEPTED: Phase.OPTIONS,
        Event.VIOLATED: Phase.ENDED,
    },
    Phase.OPTIONS: {
        Event.OPTION_ANSWERED: Phase.OPTIONS,
        Event.EXPORT_OPENED: Phase.TRANSMISSION,
        Event.ABORTED: Phase.ENDED,
        Event.VIOLATED: Phase.ENDED,
    },
    Phase.TRANSMISSION: {},
    Phase.ENDED: {},
}

OUR_FLAGS = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES


class ServerHandshake:
    """One client's handshake. `describe` gives the export as it is at the moment of asking."""

    def __init__(self, describe: Callable[[], Export]) -> None:
        self.phase = Phase.CLIENT_FLAGS
        self.unread = bytearray()
        """What has come and was not taken yet."""
        self.structured = False
        """Structured replies were negotiated."""
        self.export: Export | None = None
        """What the client was told of the export it opened."""
        self._describe = describe
        self._no_zeroes = False
        self._out = bytearray(GREETING.build({"flags": int(OUR_FLAGS)}))

    def data_to_send(self) -> bytes:
        """Take what is to be sent."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes, in whatever pieces they come."""
        self.unread += data
        try:
            while self._step():
                pass
        except FrameInDoubtError:
            self._move(Event.VIOLATED)

    def _move(self, event: Event) -> None:
        self.phase = TRANSITIONS[self.phase][event]

    def _take(self, count: int) -> bytes:
        data = bytes(self.unread[:count])
        del self.unread[:count]
        return data

    def _step(self) -> bool:
        """Take one message; False when there is none whole, or nothing more to take here."""
        if self.phase is Phase.CLIENT_FLAGS:
            return self._client_flags()
        return self.phase is Phase.OPTIONS and self._option()

    def _client_flags(self) -> bool:
        if len(self.unread) < CLIENT_FLAGS_BYTES:
            return False
        flags = CLIENT_FLAGS.parse(self._take(CLIENT_FLAGS_BYTES)).flags
        if flags & ~int(OUR_FLAGS):
            # "the server MUST drop the TCP connection if the client sets an unknown flag"
            raise FrameInDoubtError(f"client flags {flags:#x}")
        self._no_zeroes = bool(flags & HandshakeFlag.NO_ZEROES)
        self._move(Event.FLAGS_ACCEPTED)
        return True

    def _option(self) -> bool:
        if len(self.unread) < OPTION_BYTES:
            return False
        header = _parse(OPTION, bytes(self.unread[:OPTION_BYTES]))
        if header is None:
            raise FrameInDoubtError("this is no option")
        if header.length_bytes > OPTION_BYTES_MAX:
            raise FrameInDoubtError(f"an option of {header.length_bytes} bytes")
        if len(self.unread) < OPTION_BYTES + header.length_bytes:
            return False
        self._take(OPTION_BYTES)
        data = self._take(header.length_bytes)
        self._move(ANSWERS.get(header.option, _unsupported)(self, header.option, data))
        return True

    def reply(self, option: int, reply: Reply, data: bytes = b"") -> None:
        """Queue one reply to `option`."""
        self._out += OPTION_REPLY.build({"option": option, "reply": int(reply), "length_bytes": len(data)}) + data

    def refuse(self, option: int, reply: Reply, sentence: str) -> Event:
        """Answer `option` with an error, "an error message string suitable for display to the user"."""
        self.reply(option, reply, sentence.encode()[:STRING_BYTES_MAX])
        return Event.OPTION_ANSWERED

    def find(self, name: bytes) -> Export | None:
        """The export of that name; the empty name "is reserved for a default export", and means it too."""
        export = self._describe()
        return export if name in (b"", export.name.encode()) else None

    def flags_of(self, export: Export) -> int:
        """Transmission flags; SEND_DF must be clear "if structured replies have not been negotiated"."""
        return int(export.flags | TransmissionFlag.SEND_DF if self.structured else export.flags)

    def open_by_name(self, name: bytes) -> Event:
        """NBD_OPT_EXPORT_NAME, which has no way to say no."""
        export = self.find(name)
        if export is None:
            raise FrameInDoubtError("no such export")  # "the server MUST terminate the session"
        self._out += EXPORT_ANSWER.build({"size_bytes": export.size_bytes, "flags": self.flags_of(export)})
        if not self._no_zeroes:
            self._out += bytes(EXPORT_NAME_PADDING_BYTES)
        self.export = export
        return Event.EXPORT_OPENED

    def inform(self, option: int, export: Export, queries: list[int]) -> None:
        """Queue the NBD_REP_INFO replies and the ACK.

        The block size goes out unasked too: "The server MAY send information requests back which are not
        explicitly requested", and we do enforce 512.
        """
        facts = [
            INFO_EXPORT.build({"size_bytes": export.size_bytes, "flags": self.flags_of(export)}),
            INFO_BLOCK_SIZE.build(
                {
                    "minimum_bytes": BLOCK_BYTES_MIN,
                    "preferred_bytes": BLOCK_BYTES_PREFERRED,
                    "payload_bytes_max": PAYLOAD_BYTES_MAX,
                }
            ),
        ]
        if Info.NAME in queries:
            facts.append(INFO_TEXT.build({"info": int(Info.NAME), "text": export.name.encode()}))
        for fact in facts:
            self.reply(option, Reply.INFO, fact)
        self.reply(option, Reply.ACK)


def _parse(layout: Construct, data: bytes) -> Any:
    try:
        return layout.parse(data)
    except ConstructError:
        return None


def _export_name(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    del option
    return handshake.open_by_name(data)


def _abort(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    del data  # "a server SHOULD ignore any data sent by the client rather than rejecting"
    handshake.reply(option, Reply.ACK)
    return Event.ABORTED


def _list(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    if data:
        return handshake.refuse(option, Reply.ERR_INVALID, "NBD_OPT_LIST takes no data; send it with length 0.")
    export = handshake.find(b"")
    assert export is not None
    handshake.reply(option, Reply.SERVER, SERVER_ENTRY.build({"name": export.name.encode(), "description": b""}))
    handshake.reply(option, Reply.ACK)
    return Event.OPTION_ANSWERED


def _structured_reply(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    if data:
        sentence = "NBD_OPT_STRUCTURED_REPLY takes no data; send it with length 0."
        return handshake.refuse(option, Reply.ERR_INVALID, sentence)
    handshake.structured = True
    handshake.reply(option, Reply.ACK)
    return Event.OPTION_ANSWERED


def _info_or_go(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    query = _parse(EXPORT_QUERY, data)
    if query is None:
        sentence = "The data must be a name with its length and a list of queries with its count, and nothing more."
        return handshake.refuse(option, Reply.ERR_INVALID, sentence)
    export = handshake.find(query.name)
    if export is None:
        return handshake.refuse(option, Reply.ERR_UNKNOWN, _unknown(query.name, handshake))
    handshake.inform(option, export, list(query.queries))
    if option == Option.INFO:
        return Event.OPTION_ANSWERED
    handshake.export = export
    return Event.EXPORT_OPENED


def _unknown(name: bytes, handshake: ServerHandshake) -> str:
    ours = handshake.find(b"")
    assert ours is not None
    shown = name[:64].decode(errors="replace")
    return f"There is no export {shown!r} here; this socket has {ours.name!r}, and the empty name means it too."


def _unsupported(handshake: ServerHandshake, option: int, data: bytes) -> Event:
    del data
    return handshake.refuse(option, Reply.ERR_UNSUP, f"This server does not have option {option}.")


ANSWERS: dict[int, Callable[[ServerHandshake, int, bytes], Event]] = {
    Option.EXPORT_NAME: _export_name,
    Option.ABORT: _abort,
    Option.LIST: _list,
    Option.INFO: _info_or_go,
    Option.GO: _info_or_go,
    Option.STRUCTURED_REPLY: _structured_reply,
}
"""What we have; anything else, NBD_OPT_STARTTLS and the metadata contexts among it, is NBD_REP_ERR_UNSUP."""
