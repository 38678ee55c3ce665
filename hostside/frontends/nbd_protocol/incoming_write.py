"""A write whose payload does not come whole with its header, is larger than a part, or is not wanted."""

from typing import Final

from hostside.driver.request import Request
from hostside.frontends.nbd_protocol.account import Account
from hostside.frontends.nbd_protocol.checks import Refusal
from hostside.frontends.nbd_protocol.transaction import Transaction
from protocol.ops import Op

_WRITE: Final = int(Op.WRITE)


class IncomingWrite(Transaction):
    """A write whose payload is larger than a part, or not all here yet, or not wanted.

    A payload that is not wanted (a refusal, or a part that failed) is received into the common buffer and
    dropped; the answer waits until it is over, for a client may not understand an answer to a request it is
    still sending.
    """

    def __init__(
        self,
        account: Account,
        cookie: int,
        offset_bytes: int,
        length_bytes: int,
        fua: bool,
        refusal: Refusal | None,
    ) -> None:
        super().__init__(account, cookie, offset_bytes, length_bytes, fua)
        self.refusal = refusal
        self.unread_bytes = length_bytes
        """Payload that has not been received."""
        self._part: Request | None = None
        """The part being filled."""
        self._unfilled: list[memoryview] = []

    @property
    def complete(self) -> bool:
        """The payload is over."""
        return self.unread_bytes == 0

    def targets(self) -> list[memoryview]:
        """See Transaction."""
        return self._unfilled

    def take(self, view: memoryview, start: int, end: int) -> int:
        """See Transaction."""
        self.waits_for_room = False
        while self.unread_bytes:
            if self._part is None and self.refusal is None:
                self._begin_part()
                if self.waits_for_room:
                    break
                continue
            size = min(end - start, self.unread_bytes)
            if size == 0:
                break
            start += self._drop(size) if self._part is None else self._fill(view[start : start + size])
        return start

    def advance(self, size: int) -> int:
        """See Transaction."""
        while size and self._unfilled:
            target = self._unfilled[0]
            step = min(size, len(target))
            size -= step
            self._note_filled(step)
        return size

    def abandon(self) -> None:
        """See Transaction."""
        if self._part is not None:
            self.account.release(self._part)  # half filled: it was never submitted, and never will be
            self._part = None
            self._unfilled = []
        self.unread_bytes = 0
        super().abandon()

    def answer(self) -> None:
        """See Transaction."""
        self.account.answer(self.cookie, self.refusal)

    def _begin_part(self) -> None:
        part = self.ask_part(_WRITE)
        if part is None:
            return
        if not part.views:
            self.submit(part)  # more than all buffers hold: the driver says so
            return
        self._part = part
        self._unfilled = list(part.views)

    def _drop(self, size: int) -> int:
        self.unread_bytes -= size
        self.finish_if_ended()
        return size

    def _fill(self, source: memoryview) -> int:
        target = self._unfilled[0]
        size = min(len(source), len(target))
        target[:size] = source[:size]
        self._note_filled(size)
        return size

    def _note_filled(self, size: int) -> None:
        """Account for bytes put into the first unfilled view; submit the part when it was the last one."""
        self.unread_bytes -= size
        target = self._unfilled[0]
        if size < len(target):
            self._unfilled[0] = target[size:]
            return
        del self._unfilled[0]
        if not self._unfilled:
            part, self._part = self._part, None
            assert part is not None
            self.submit(part)
