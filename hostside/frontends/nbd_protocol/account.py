"""What one client holds and is owed: slots of the pool, and answers.

Every request of the driver that is made for a client goes through here, and every answer; so the bounds are
kept here. A client holds at most `held_bytes_max` in slots, whether being filled, on the way, or waiting to
be sent. One request is always allowed, or a small bound would mean "never".
"""

from collections.abc import Callable
from typing import Final

from hostside.driver.request import Request
from hostside.frontends.base import Driver
from hostside.frontends.nbd_protocol.checks import Refusal
from hostside.frontends.nbd_protocol.errors import nbd_error
from hostside.frontends.nbd_protocol.numbers import (
    CHUNK_DONE,
    SIMPLE_REPLY_MAGIC,
    STRUCTURED_REPLY_MAGIC,
    Chunk,
)
from hostside.frontends.nbd_protocol.outbox import Outbox
from hostside.frontends.nbd_protocol.transmission_layout import (
    DATA_CHUNK,
    SIMPLE_REPLY,
    error_chunk,
    simple_error,
    simple_reply,
)
from protocol.ops import Op

_OP_WRITE: Final = int(Op.WRITE)
_DATA: Final = int(Chunk.OFFSET_DATA)

_pack_simple: Final = SIMPLE_REPLY.pack
_pack_data: Final = DATA_CHUNK.pack


class Account:
    """One client's. `wake()` is called when there is something to send, or room to go on."""

    def __init__(
        self,
        driver: Driver,
        outbox: Outbox,
        wake: Callable[[], None],
        *,
        structured: bool,
        part_bytes: int,
        held_bytes_max: int,
    ) -> None:
        self.driver = driver
        self.outbox = outbox
        self.structured = structured
        self.part_bytes = part_bytes
        """The most that one driver request moves."""
        self.held_bytes_max = held_bytes_max
        self.held_bytes = 0
        """In slots of this client."""
        self.unanswered = 0
        """Requests whose header was taken and whose answer is not queued."""
        self.stalled = False
        """The client's input waits for room."""
        self._wake = wake

    def ask(
        self, op: int, offset_bytes: int, length_bytes: int, fua: bool, on_done: Callable[[Request], None]
    ) -> Request | None:
        """Take slots, within this client's share; one request is always allowed."""
        held_bytes = self.held_bytes
        if held_bytes and held_bytes + length_bytes > self.held_bytes_max:
            return None
        request = self.driver.request(op, offset_bytes, length_bytes, fua=fua, on_done=on_done)
        if request is not None:
            self.held_bytes = held_bytes + length_bytes
        return request

    def submit(self, request: Request) -> None:
        """Hand a request over to the driver."""
        self.driver.submit(request)

    def release(self, request: Request) -> None:
        """Give slots back."""
        self.held_bytes -= request.length_bytes
        self.driver.release(request)
        if self.stalled:
            self._wake()

    def send_read(self, header: bytes, request: Request) -> None:
        """Queue the data of a read that has ended well."""
        self.outbox.push_read(header, request)
        self._wake()

    def answer(self, cookie: int, refusal: Refusal | None) -> None:
        """Queue a reply without data. "The server SHOULD prefer sending errors via a structured reply"."""
        if refusal is None:
            self.outbox.push(simple_reply(cookie))
        else:
            build = error_chunk if self.structured else simple_error
            self.outbox.push(build(cookie, refusal.error, refusal.sentence))
        self.ended()

    def ended(self) -> None:
        """One request more is answered."""
        self.unanswered -= 1
        self._wake()

    def read_done(self, cookie: int, request: Request) -> None:
        """Answer a read that is one part; the driver calls it."""
        if request.status:
            self.release(request)
            self.answer(cookie, Refusal(nbd_error(request.status), request.sentence))
            return
        if self.structured:
            size = 8 + request.length_bytes
            header = _pack_data(STRUCTURED_REPLY_MAGIC, CHUNK_DONE, _DATA, cookie, size, request.offset_bytes)
        else:
            header = _pack_simple(SIMPLE_REPLY_MAGIC, 0, cookie)
        self.unanswered -= 1
        self.send_read(header, request)

    def plain_done(self, cookie: int, request: Request) -> None:
        """Answer a write that is one part, or a request without payload; the driver calls it."""
        status, sentence = request.status, request.sentence
        if request.op == _OP_WRITE:
            self.release(request)
        else:
            self.driver.release(request)
        if status:
            self.answer(cookie, Refusal(nbd_error(status), sentence))
            return
        self.unanswered -= 1
        self.outbox.push(_pack_simple(SIMPLE_REPLY_MAGIC, 0, cookie))
        self._wake()
