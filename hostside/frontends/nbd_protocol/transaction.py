"""Requests of a client that take more than one step: large reads, writes whose payload is still coming,
zeroing by hand.

One NBD request may move 32 MiB; the buffer pool is shared by all, and may be smaller than that. So a large
request is carried by parts of at most `part_bytes`, each a request of the host driver, and answered when
all parts have ended. Nobody holds slots while waiting for the next part but those whose parts are on their
way: no deadlock.

A transaction stands at the head of its client's input until `take` has had all of it; then the next header
is read, while its parts may still be under way. It is answered exactly once; the first failure is the one
that is told.
"""

from abc import ABC, abstractmethod

from hostside.driver.request import Request
from hostside.frontends.nbd_protocol.account import Account
from hostside.frontends.nbd_protocol.checks import Refusal
from hostside.frontends.nbd_protocol.errors import nbd_error


class Transaction(ABC):
    """One request at the head of a client's input."""

    def __init__(self, account: Account, cookie: int, offset_bytes: int, length_bytes: int, fua: bool) -> None:
        self.account = account
        self.cookie = cookie
        self.fua = fua
        self.refusal: Refusal | None = None
        self.next_bytes = offset_bytes
        """Where the next part begins."""
        self.end_bytes = offset_bytes + length_bytes
        self.under_way = 0
        """Parts submitted and not done."""
        self.waits_for_room = False

    @property
    @abstractmethod
    def complete(self) -> bool:
        """No more input belongs to it, and no more parts will be asked for."""

    @abstractmethod
    def take(self, view: memoryview, start: int, end: int) -> int:
        """Go on as far as input (`view[start:end]`) and room permit; give where the rest of it starts."""

    def targets(self) -> list[memoryview]:
        """Where the next bytes may be received directly; none: into the common buffer."""
        return []

    def advance(self, size: int) -> int:
        """Take note of `size` bytes received, targets first; give how many were not for these."""
        return size

    def abandon(self) -> None:
        """The client has vanished: no more input comes, and no more parts are worth asking for."""
        self.next_bytes = self.end_bytes
        self.finish_if_ended()

    @abstractmethod
    def answer(self) -> None:
        """All has ended: say so."""

    def ask_part(self, op: int) -> Request | None:
        """Take the request of the next part, and move on behind it."""
        length_bytes = min(self.account.part_bytes, self.end_bytes - self.next_bytes)
        request = self.account.ask(op, self.next_bytes, length_bytes, self.fua, self.part_done)
        self.waits_for_room = request is None
        if request is not None:
            self.next_bytes += length_bytes
        return request

    def submit(self, request: Request) -> None:
        """Send a part on its way."""
        self.under_way += 1
        self.account.submit(request)

    def part_done(self, request: Request) -> None:
        """Take note of a part's end; subclasses use its data here."""
        self.under_way -= 1
        if request.status and self.refusal is None:
            self.refusal = Refusal(nbd_error(request.status), request.sentence)
        self.use(request)
        self.finish_if_ended()

    def use(self, request: Request) -> None:
        """Do with a part that has ended what is to be done, and release it."""
        self.account.release(request)

    def finish_if_ended(self) -> None:
        """Answer, when nothing is missing any more."""
        if self.complete and not self.under_way:
            self.answer()
