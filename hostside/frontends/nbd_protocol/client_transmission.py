"""The transmission phase, the client's side: pieces out, replies in, payload received where it belongs.

The machine says where the next bytes go (`target`), the edge receives there and says how many came
(`received`). Any number of pieces may be outstanding; replies may come in any order, in one message or in
chunks. Whatever a server may not say ends in FrameInDoubtError: after that nothing it says can be trusted.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from hostside.frontends.nbd_protocol.errors import FrameInDoubtError
from hostside.frontends.nbd_protocol.numbers import (
    CHUNK_DONE,
    CHUNK_ERROR_BIT,
    REQUEST_MAGIC,
    SIMPLE_REPLY_MAGIC,
    STRING_BYTES_MAX,
    STRUCTURED_REPLY_MAGIC,
    Chunk,
    Command,
)
from hostside.frontends.nbd_protocol.transmission_layout import (
    CHUNK,
    CHUNK_OFFSET,
    ERROR_HEAD,
    HOLE,
    REQUEST,
    SIMPLE_REPLY,
)

_ERROR_BYTES_MAX = ERROR_HEAD.size + STRING_BYTES_MAX + CHUNK_OFFSET.size
_SCRATCH_BYTES = max(CHUNK.size, _ERROR_BYTES_MAX)


@dataclass(slots=True)
class Piece:
    """One request on the wire, at most the server's payload maximum long."""

    command: Command
    offset_bytes: int
    length_bytes: int
    flags: int = 0
    view: memoryview = field(default_factory=lambda: memoryview(b""))
    """A read's target, a write's data."""
    missing_bytes: int = 0
    """Of a read: not received yet."""
    error: int = 0
    sentence: str = ""


class ClientTransmission:
    """What is outstanding on one connection."""

    def __init__(self, *, structured: bool) -> None:
        self.outstanding: dict[int, Piece] = {}
        """By cookie."""
        self._failed: Piece | None = None
        """The first piece that ended with an error."""
        self._structured = structured
        self._next_cookie = 0
        self._scratch = memoryview(bytearray(_SCRATCH_BYTES))
        self._await_head()

    def request(self, piece: Piece) -> bytes:
        """Make `piece` outstanding; give the header to send (a write's data follows it)."""
        cookie = self._next_cookie
        self._next_cookie += 1
        piece.missing_bytes = piece.length_bytes if piece.command is Command.READ else 0
        self.outstanding[cookie] = piece
        return REQUEST.pack(
            REQUEST_MAGIC, piece.flags, int(piece.command), cookie, piece.offset_bytes, piece.length_bytes
        )

    @property
    def has_failed(self) -> bool:
        """A piece has ended with an error."""
        return self._failed is not None

    def take_failed(self) -> Piece | None:
        """Give the first piece that ended with an error since this was asked last."""
        failed, self._failed = self._failed, None
        return failed

    def target(self) -> memoryview:
        """Where the next bytes are to be received; never empty."""
        return self._target[self._filled :]

    def received(self, size: int) -> None:
        """Take note of `size` bytes received into `target()`."""
        self._filled += size
        if self._filled == len(self._target):
            self._take()

    def _await_head(self) -> None:
        self._await(self._scratch[: SIMPLE_REPLY.size], self._take_head)

    def _await(self, target: memoryview, take: Callable[[], None]) -> None:
        self._target = target
        self._filled = 0
        self._take = take

    def _piece(self, cookie: int) -> Piece:
        piece = self.outstanding.get(cookie)
        if piece is None:
            raise FrameInDoubtError(f"the server answers a request that nobody made (cookie {cookie})")
        return piece

    def _end(self, cookie: int) -> None:
        piece = self.outstanding.pop(cookie)
        if piece.error:
            self._failed = self._failed or piece
        elif piece.missing_bytes:
            raise FrameInDoubtError(f"the server has left out {piece.missing_bytes} bytes of a read")

    def _take_head(self) -> None:
        magic, error, cookie = SIMPLE_REPLY.unpack_from(self._scratch)
        if magic == STRUCTURED_REPLY_MAGIC and self._structured:
            self._target = self._scratch[: CHUNK.size]
            self._take = self._take_chunk_head
            return
        if magic != SIMPLE_REPLY_MAGIC:
            raise FrameInDoubtError(f"{magic:#x} where a reply begins")
        piece = self._piece(cookie)
        self._await_head()
        if error or piece.command is not Command.READ:
            piece.error = error
            self._end(cookie)
        elif self._structured:
            raise FrameInDoubtError("the server answers a read without a structured reply, which it granted")
        else:
            self._await_data(cookie, piece.view, done=True)

    def _await_data(self, cookie: int, view: memoryview, *, done: bool) -> None:
        def take() -> None:
            self._piece(cookie).missing_bytes -= len(view)
            self._chunk_over(cookie, done=done)

        self._await(view, take)

    def _chunk_over(self, cookie: int, *, done: bool) -> None:
        self._await_head()
        if done:
            self._end(cookie)

    def _take_chunk_head(self) -> None:
        _, flags, kind, cookie, length_bytes = CHUNK.unpack_from(self._scratch)
        piece, done = self._piece(cookie), bool(flags & CHUNK_DONE)
        if kind == Chunk.NONE and length_bytes == 0:
            self._chunk_over(cookie, done=done)
        elif kind & CHUNK_ERROR_BIT and ERROR_HEAD.size <= length_bytes <= _ERROR_BYTES_MAX:
            self._await(self._scratch[:length_bytes], lambda: self._take_error(cookie, length_bytes, done))
        elif kind == Chunk.OFFSET_DATA and CHUNK_OFFSET.size < length_bytes:
            size = length_bytes - CHUNK_OFFSET.size
            self._await(self._scratch[: CHUNK_OFFSET.size], lambda: self._take_data_head(cookie, size, done))
        elif kind == Chunk.OFFSET_HOLE and length_bytes == HOLE.size:
            self._await(self._scratch[: HOLE.size], lambda: self._take_hole(cookie, done))
        else:
            wrong = f"a chunk of type {kind} and {length_bytes} bytes in answer to {piece.command.name}"
            raise FrameInDoubtError(f"the server sends {wrong}")

    def _take_error(self, cookie: int, length_bytes: int, done: bool) -> None:
        piece = self._piece(cookie)
        error, text_bytes = ERROR_HEAD.unpack_from(self._scratch)
        if not error or ERROR_HEAD.size + text_bytes > length_bytes:
            raise FrameInDoubtError("the server's error does not fit its frame")
        if not piece.error:
            piece.error = error
            text = self._scratch[ERROR_HEAD.size : ERROR_HEAD.size + text_bytes]
            piece.sentence = bytes(text).decode(errors="replace")
        self._chunk_over(cookie, done=done)

    def _take_data_head(self, cookie: int, size: int, done: bool) -> None:
        (offset_bytes,) = CHUNK_OFFSET.unpack_from(self._scratch)
        self._await_data(cookie, self._part(cookie, offset_bytes, size), done=done)

    def _take_hole(self, cookie: int, done: bool) -> None:
        offset_bytes, size = HOLE.unpack_from(self._scratch)
        view = self._part(cookie, offset_bytes, size)
        view[:] = bytes(size)
        self._piece(cookie).missing_bytes -= size
        self._chunk_over(cookie, done=done)

    def _part(self, cookie: int, offset_bytes: int, size: int) -> memoryview:
        """Give the part of a read's target that a chunk is for."""
        piece = self._piece(cookie)
        start = offset_bytes - piece.offset_bytes
        if piece.command is not Command.READ or start < 0 or size > piece.length_bytes - start:
            raise FrameInDoubtError(f"the server sends {size} bytes from {offset_bytes}, which were not asked for")
        return piece.view[start : start + size]
