"""Reads larger than a part: in chunks where the client can take them, gathered where it can't."""

from typing import Final

from hostside.driver.request import Request
from hostside.frontends.nbd_protocol.account import Account
from hostside.frontends.nbd_protocol.transaction import Transaction
from hostside.frontends.nbd_protocol.transmission_layout import data_chunk, none_chunk, simple_reply
from protocol.ops import Op

_READ: Final = int(Op.READ)


class ChunkedRead(Transaction):
    """A read larger than a part, with structured replies: each part is a chunk, sent once it is there."""

    @property
    def complete(self) -> bool:
        """Every part has been asked for, or one has failed."""
        return self.next_bytes == self.end_bytes or self.refusal is not None

    def take(self, view: memoryview, start: int, end: int) -> int:
        """See Transaction."""
        del view, end
        self.waits_for_room = False
        while not self.complete:
            request = self.ask_part(_READ)
            if request is None:
                break
            self.submit(request)
        return start

    def use(self, request: Request) -> None:
        """Send the chunk, without the DONE flag, which it may not have while an error is still possible."""
        if request.status:
            self.account.release(request)
        else:
            header = data_chunk(self.cookie, request.offset_bytes, request.length_bytes, done=False)
            self.account.send_read(header, request)

    def answer(self) -> None:
        """See Transaction."""
        if self.refusal is not None:
            self.account.answer(self.cookie, self.refusal)
        else:
            self.account.outbox.push(none_chunk(self.cookie))
            self.account.ended()


class GatheredRead(ChunkedRead):
    """A read larger than a part that must be answered in one piece: simple replies, or NBD_CMD_FLAG_DF.

    The parts are copied into memory of its own, so that it holds no slots while it waits for the last of
    them. An error in the last part can then still be told, which it could not behind a header that promised
    success.
    """

    def __init__(
        self, account: Account, cookie: int, offset_bytes: int, length_bytes: int, *, structured: bool
    ) -> None:
        super().__init__(account, cookie, offset_bytes, length_bytes, False)
        self._offset_bytes = offset_bytes
        self._structured = structured
        self._gathered = memoryview(bytearray(length_bytes))

    def use(self, request: Request) -> None:
        """See Transaction."""
        if not request.status:
            at = request.offset_bytes - self._offset_bytes
            for view in request.views:
                self._gathered[at : at + len(view)] = view
                at += len(view)
        self.account.release(request)

    def answer(self) -> None:
        """See Transaction."""
        if self.refusal is not None:
            self.account.answer(self.cookie, self.refusal)
            return
        size = len(self._gathered)
        header = (
            data_chunk(self.cookie, self._offset_bytes, size, done=True)
            if self._structured
            else simple_reply(self.cookie)
        )
        self.account.outbox.push(header)
        self.account.outbox.push(self._gathered)
        self.account.ended()
