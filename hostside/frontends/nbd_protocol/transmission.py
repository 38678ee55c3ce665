"""The transmission phase of one client, the server's side: request headers in, driver requests, replies out.

Rules
  * Every request with a certain frame gets exactly one reply, refused or not, and the connection lives; a
    frame in doubt (a wrong magic, a write of more than 32 MiB) ends it.
  * Replies come in the order in which the requests end, not in which they came: "The server MAY process
    commands out of order, and MAY reply out of order". What must be ordered (FLUSH after the writes it
    covers, overlapping writes) is the driver's promise.
  * A client holds at most `held_bytes_max` of the slots, whether its data is on the way or waits to be
    sent, and is not listened to while it leaves more than that unread: what it asked for stays in the
    buffer, and the socket fills up.
  * After `drain` each new request is answered NBD_ESHUTDOWN. A request whose header was taken before is
    finished.
  * When the client has vanished, what is with the driver is finished and released all the same; only nobody
    is told.

The hot path is a read or a write that is whole in the buffer: one header unpacked, one check, one driver
request, and when it is done one reply pushed. Everything longer is a Transaction (transaction.py).
"""

from functools import partial
from typing import Final

from hostside.frontends.nbd_protocol.account import Account
from hostside.frontends.nbd_protocol.checks import Border, Refusal
from hostside.frontends.nbd_protocol.errors import FrameInDoubtError
from hostside.frontends.nbd_protocol.export import Export
from hostside.frontends.nbd_protocol.incoming_write import IncomingWrite
from hostside.frontends.nbd_protocol.large_read import ChunkedRead, GatheredRead
from hostside.frontends.nbd_protocol.numbers import (
    PAYLOAD_BYTES_MAX,
    REQUEST_MAGIC,
    Command,
    CommandFlag,
    NbdError,
    TransmissionFlag,
)
from hostside.frontends.nbd_protocol.transaction import Transaction
from hostside.frontends.nbd_protocol.transmission_layout import (
    REQUEST,
    REQUEST_BYTES,
    none_chunk,
)
from hostside.frontends.nbd_protocol.zero_write import ZeroWrite
from protocol.ops import Op

PART_BYTES: Final = 1 << 20
HELD_BYTES_MAX: Final = 16 << 20

_OP_READ: Final = int(Op.READ)
_OP_WRITE: Final = int(Op.WRITE)
_OPS_WITHOUT_PAYLOAD: Final = {
    int(Command.FLUSH): int(Op.FLUSH),
    int(Command.TRIM): int(Op.TRIM),
    int(Command.WRITE_ZEROES): int(Op.WRITE_ZEROES),
}
_READ: Final = int(Command.READ)
_WRITE: Final = int(Command.WRITE)
_DISC: Final = int(Command.DISC)
_WRITE_ZEROES: Final = int(Command.WRITE_ZEROES)
_FUA: Final = int(CommandFlag.FUA)
_NO_HOLE: Final = int(CommandFlag.NO_HOLE)
_DF: Final = int(CommandFlag.DF)
_NO_ROOM: Final = -1
_SHUTDOWN: Final = Refusal(NbdError.ESHUTDOWN, "The disk is being shut down; connect again when it is back.")

_unpack_request: Final = REQUEST.unpack_from


class Transmission:
    """One client in the transmission phase: what comes in. What goes out is its `account`'s business."""

    def __init__(self, account: Account, export: Export) -> None:
        self.account = account
        self.disconnected = False
        """The client has said NBD_CMD_DISC; nothing comes any more."""
        self.draining = False
        self._driver = account.driver
        self._transaction: Transaction | None = None
        """The one that the next input belongs to."""
        offered = export.flags | TransmissionFlag.SEND_DF if account.structured else export.flags
        self._border = Border(offered, self._driver.unit)

    @property
    def stalled(self) -> bool:
        """There is input that waits for room: call `consume` again, and read nothing more until then."""
        return self.account.stalled

    def targets(self) -> list[memoryview]:
        """Where the next bytes of the input go, before the common buffer: slots of a write."""
        return [] if self._transaction is None else self._transaction.targets()

    def advance(self, size: int) -> int:
        """Take note of `size` bytes received; give how many of them lie in the common buffer."""
        return size if self._transaction is None else self._transaction.advance(size)

    def abandon(self) -> None:
        """The client has vanished."""
        if self._transaction is not None:
            self._transaction.abandon()
            self._transaction = None
        self.account.stalled = False
        self.disconnected = True

    def consume(self, view: memoryview, start: int, end: int) -> int:
        """Take from `view[start:end]` whatever can be taken now; give where the rest starts."""
        self.account.stalled = False
        while True:
            transaction = self._transaction
            if transaction is not None:
                start = transaction.take(view, start, end)
                if not transaction.complete:
                    self.account.stalled = transaction.waits_for_room
                    return start
                self._transaction = None
            if self.disconnected or end - start < REQUEST_BYTES:
                return start
            if self.account.outbox.unsent_bytes > self.account.held_bytes_max:
                self.account.stalled = True
                return start
            after = self._take_request(view, start, end)
            if after == _NO_ROOM:
                self.account.stalled = True
                return start
            start = after

    def _take_request(self, view: memoryview, start: int, end: int) -> int:
        """Take one request; give where its input ends, or _NO_ROOM when it must be taken again later."""
        magic, flags, command, cookie, offset_bytes, length_bytes = _unpack_request(view, start)
        if magic != REQUEST_MAGIC:
            raise FrameInDoubtError(f"{magic:#x} where a request begins")
        start += REQUEST_BYTES
        refusal = self._border.refusal_of(command, flags, offset_bytes, length_bytes, self._driver.unit)
        if refusal is not None or self.draining or not length_bytes:
            return self._take_unusual(command, cookie, length_bytes, refusal, start)
        if command == _READ:
            return self._take_read(flags, cookie, offset_bytes, length_bytes, start)
        if command == _WRITE:
            return self._take_write(flags, cookie, offset_bytes, length_bytes, view, start, end)
        return self._take_plain(command, flags, cookie, offset_bytes, length_bytes, start)

    def _take_read(self, flags: int, cookie: int, offset_bytes: int, length_bytes: int, start: int) -> int:
        if length_bytes > self.account.part_bytes:
            self._begin_large_read(flags, cookie, offset_bytes, length_bytes)
            return start
        request = self.account.ask(_OP_READ, offset_bytes, length_bytes, False, partial(self.account.read_done, cookie))
        if request is None:
            return _NO_ROOM
        self.account.unanswered += 1
        self._driver.submit(request)
        return start

    def _begin_large_read(self, flags: int, cookie: int, offset_bytes: int, length_bytes: int) -> None:
        self.account.unanswered += 1
        if self.account.structured and not flags & _DF:
            self._transaction = ChunkedRead(self.account, cookie, offset_bytes, length_bytes, False)
        else:
            self._transaction = GatheredRead(
                self.account, cookie, offset_bytes, length_bytes, structured=self.account.structured
            )

    def _take_write(
        self,
        flags: int,
        cookie: int,
        offset_bytes: int,
        length_bytes: int,
        view: memoryview,
        start: int,
        end: int,
    ) -> int:
        if length_bytes > end - start or length_bytes > self.account.part_bytes:
            if length_bytes > PAYLOAD_BYTES_MAX:
                raise FrameInDoubtError(f"a write of {length_bytes} bytes")
            self.account.unanswered += 1
            fua = bool(flags & _FUA)
            self._transaction = IncomingWrite(self.account, cookie, offset_bytes, length_bytes, fua, None)
            return start
        request = self.account.ask(
            _OP_WRITE,
            offset_bytes,
            length_bytes,
            bool(flags & _FUA),
            partial(self.account.plain_done, cookie),
        )
        if request is None:
            return _NO_ROOM
        at = start
        for target in request.views:
            size = len(target)
            target[:] = view[at : at + size]
            at += size
        self.account.unanswered += 1
        self._driver.submit(request)
        return start + length_bytes

    def _take_plain(
        self, command: int, flags: int, cookie: int, offset_bytes: int, length_bytes: int, start: int
    ) -> int:
        """FLUSH, TRIM, WRITE_ZEROES: no payload, any length."""
        fua = bool(flags & _FUA) and command != int(Command.FLUSH)
        if command == _WRITE_ZEROES and flags & _NO_HOLE:
            self.account.unanswered += 1
            self._transaction = ZeroWrite(self.account, cookie, offset_bytes, length_bytes, fua)
            return start
        request = self._driver.request(
            _OPS_WITHOUT_PAYLOAD[command],
            offset_bytes,
            length_bytes,
            fua=fua,
            on_done=partial(self.account.plain_done, cookie),
        )
        if request is None:
            return _NO_ROOM
        self.account.unanswered += 1
        self._driver.submit(request)
        return start

    def _take_unusual(self, command: int, cookie: int, length_bytes: int, refusal: Refusal | None, start: int) -> int:
        """Disconnect, refuse, or say yes to a request that moves nothing."""
        if command == _DISC:
            self.disconnected = True
            return start
        if command == _WRITE and length_bytes > PAYLOAD_BYTES_MAX:
            raise FrameInDoubtError(f"a write of {length_bytes} bytes")
        if refusal is None:
            if self.draining:
                refusal = _SHUTDOWN
            elif command == int(Command.FLUSH):
                return self._take_plain(command, 0, cookie, 0, 0, start)
        self.account.unanswered += 1
        if command == _WRITE and length_bytes:
            self._transaction = IncomingWrite(self.account, cookie, 0, length_bytes, False, refusal)
        elif refusal is None and command == _READ and self.account.structured:
            self.account.outbox.push(none_chunk(cookie))  # "MUST NOT use a simple reply for NBD_CMD_READ"
            self.account.ended()
        else:
            self.account.answer(cookie, refusal)
        return start
