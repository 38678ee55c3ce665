"""What is to be sent to one client, and the slots that are free once it was.

A read's answer is its header and the slots themselves, never a copy; so each slot stays taken until the
last of its bytes was sent. Buffers are sent in the order they were pushed; requests are freed in the same
order.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice

from hostside.driver.request import Request

Buffer = bytes | bytearray | memoryview


class Outbox:
    """The unsent answers to one client. `release` gets each request whose bytes were sent, or dropped."""

    __slots__ = ("_buffers", "_closed", "_owed", "_pushed_bytes", "_release", "unsent_bytes")

    def __init__(self, release: Callable[[Request], None]) -> None:
        self.unsent_bytes = 0
        self._buffers: deque[Buffer] = deque()
        self._closed = False
        self._release = release
        self._pushed_bytes = 0
        """Ever pushed; a position in the stream of answers."""
        self._owed: deque[tuple[int, Request]] = deque()
        """(position after its last byte, request)."""

    def push(self, data: Buffer) -> None:
        """Queue bytes that no slot is behind. They must not change until they were sent."""
        size = len(data)
        if self._closed or not size:
            return
        self._buffers.append(data)
        self.unsent_bytes += size
        self._pushed_bytes += size

    def push_read(self, header: bytes, request: Request) -> None:
        """Queue `header` and the views of `request`, which is released when they were sent."""
        if self._closed:
            self._release(request)
            return
        self._buffers.append(header)
        self._buffers.extend(request.views)
        size = len(header) + request.length_bytes
        self.unsent_bytes += size
        self._pushed_bytes += size
        self._owed.append((self._pushed_bytes, request))

    def first(self, count: int) -> Sequence[Buffer]:
        """Give at most `count` buffers to send next, in order, without taking them."""
        return list(islice(self._buffers, count))

    def sent(self, size: int) -> None:
        """Take note that the next `size` bytes were sent, and free the slots behind them."""
        self.unsent_bytes -= size
        assert self.unsent_bytes >= 0
        if self.unsent_bytes:
            self._cut(size)
        else:
            self._buffers.clear()
        reached = self.sent_bytes
        owed = self._owed
        while owed and owed[0][0] <= reached:
            self._release(owed.popleft()[1])

    def _cut(self, size: int) -> None:
        buffers = self._buffers
        while size >= len(buffers[0]):
            size -= len(buffers.popleft())
        if size:
            buffers[0] = memoryview(buffers[0])[size:]

    @property
    def sent_bytes(self) -> int:
        """Ever sent."""
        return self._pushed_bytes - self.unsent_bytes

    def detach(self) -> None:
        """Copy what is unsent, and free the slots behind it: the client keeps us waiting."""
        if not self._owed:
            return
        self._buffers = deque([b"".join(self._buffers)])
        while self._owed:
            self._release(self._owed.popleft()[1])

    def close(self) -> None:
        """Forget everything, and whatever is pushed from now on: nobody is there to read it."""
        self._closed = True
        self._buffers.clear()
        self.unsent_bytes = 0
        while self._owed:
            self._release(self._owed.popleft()[1])
