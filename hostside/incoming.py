"""Where the answers of one path go, byte for byte, and which of them are whole. Pure: the agent has the socket.

Answers come in the order of the requests, and a good one's size is known before it comes. Hence two ways:
  * Small answers: one receive takes as many as have come into one buffer, and data is copied from there to its slot.
  * Large READs that are due next: one receive scatters them ahead of their coming, each header into the buffer, each
    data straight into its slot; nothing is copied.

What may come otherwise: a refused READ has no data behind its header, so what was scattered behind it are the next
answers' bytes. They are brought together in the buffer and read from there (`_straighten`; rare, so plain).
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Final

from ipc.vectors import rest_after
from protocol.data_base import READ, Answer, HostData
from protocol.limits import HEADER_BYTES, SPLIT_BYTES

Command = tuple[int, ...]
"""The fields of a COMMAND packet."""
Sent = tuple[memoryview, Command, int, int]
"""On the wire: the header in use, the command, how many bytes were queued when it was behind all of them, and when its
turn began, in nanoseconds."""
Finished = tuple[Sent, Answer | None]
"""A request and its answer; None for the good answer to a plain request, which says nothing more."""

RECEIVE_BYTES: Final = 256 << 10
LARGE_BYTES: Final = 16 << 10
"""Below this, a copy out of the buffer costs less than a place of its own in the receive."""
AHEAD_MAX: Final = 8
"""So many large READs are scattered by one receive."""


class Incoming:
    """The bytes of one path's answers. `slot_of` gives where the data of a READ belongs; `sent` is the agent's."""

    def __init__(self, machine: HostData, sent: deque[Sent], slot_of: Callable[[Command], memoryview]) -> None:
        self._machine = machine
        self._sent = sent
        self._slot_of = slot_of
        # All that was scattered may have to be brought together here, behind the rest of a small answer.
        self._buffer = bytearray(RECEIVE_BYTES + AHEAD_MAX * (HEADER_BYTES + SPLIT_BYTES))
        self._view = memoryview(self._buffer)
        self._start = 0
        self._end = 0
        self._ahead: deque[memoryview] = deque()
        """The slots of the answers that are scattered, from the one that is coming on."""
        self._rest: list[memoryview] = []
        """What is still to be filled of their headers and slots."""
        self._header_at = 0
        """Where in the buffer the header of the first of them is."""
        self._got_bytes = 0
        """Of the first of them, and whatever came behind it."""
        self._due: tuple[Answer | None] | None = None
        """The first one's answer, once its header has come."""

    def targets(self) -> list[memoryview]:
        """Where the next bytes belong."""
        if not self._rest:
            if self._start == self._end:
                self._start = self._end = 0
                self._scatter(0)
            elif self._start:
                rest_bytes = self._end - self._start
                self._buffer[:rest_bytes] = self._buffer[self._start : self._end]
                self._start, self._end = 0, rest_bytes
        return self._rest or [self._view[self._end : self._end + RECEIVE_BYTES]]

    def took(self, count: int) -> list[Finished]:
        """Take note of `count` bytes that came into the targets; give what is finished by them, in order."""
        finished: list[Finished] = []
        if self._rest:
            self._rest = rest_after(self._rest, count)
            self._got_bytes += count
            self._look_ahead(finished)
        else:
            self._end += count
        self._parse(finished)
        return finished

    # -- answers in the buffer -----------------------------------------------------------------------------------

    def _parse(self, finished: list[Finished]) -> None:
        """Take every answer that the buffer holds; the data of the last one as far as it has come."""
        while True:
            self._take_plain(finished)
            answer = self._machine.next(self._view, self._start, self._end)
            if answer is None:
                return
            self._start += HEADER_BYTES
            if answer.payload_bytes:
                slot = self._slot_of(self._sent[0][1])
                have_bytes = min(len(slot), self._end - self._start)
                slot[:have_bytes] = self._view[self._start : self._start + have_bytes]
                self._start += have_bytes
                if have_bytes < len(slot):
                    self._await(answer, slot, have_bytes)
                    return
            finished.append((self._sent.popleft(), answer))

    def _take_plain(self, finished: list[Finished]) -> None:
        """Take the good answers to plain requests that are whole: the hot loop; `_parse` is its plain twin."""
        is_plain, buffer, view, sent, end = self._machine.is_plain, self._buffer, self._view, self._sent, self._end
        start = self._start
        while sent:
            command = sent[0][1]
            data_at = start + HEADER_BYTES
            after = data_at + command[7] if command[1] == READ else data_at
            if after > end or not is_plain(buffer, start, end):
                break
            if after > data_at:
                self._slot_of(command)[:] = view[data_at:after]
            finished.append((sent.popleft(), None))
            start = after
        self._start = start

    def _await(self, answer: Answer, slot: memoryview, have_bytes: int) -> None:
        """Have the rest of `slot` filled next, and whatever large READs follow it."""
        self._start = self._end = 0
        self._ahead.append(slot)
        self._rest.append(slot[have_bytes:])
        self._header_at = 0
        self._got_bytes = HEADER_BYTES + have_bytes
        self._due = (answer,)
        self._scatter(1)

    # -- answers scattered ahead of their coming -----------------------------------------------------------------

    def _scatter(self, first: int) -> None:
        """Lay out the places of the large READs that come next, from the `first` of those sent on."""
        for number, (_, command, _, _) in enumerate(islice(self._sent, first, AHEAD_MAX), first):
            if command[1] != READ or command[7] < LARGE_BYTES:
                return
            slot = self._slot_of(command)
            self._ahead.append(slot)
            self._rest += (self._view[number * HEADER_BYTES : (number + 1) * HEADER_BYTES], slot)
            if number == 0:
                self._header_at = self._got_bytes = 0

    def _look_ahead(self, finished: list[Finished]) -> None:
        """Take the scattered answers that are whole."""
        while self._ahead and self._got_bytes >= HEADER_BYTES:
            if self._due is None and not self._judge(finished):
                return
            size_bytes = HEADER_BYTES + len(self._ahead[0])
            if self._got_bytes < size_bytes:
                return
            assert self._due is not None
            finished.append((self._sent.popleft(), self._due[0]))
            self._due = None
            self._ahead.popleft()
            self._header_at += HEADER_BYTES
            self._got_bytes -= size_bytes

    def _judge(self, finished: list[Finished]) -> bool:
        """Look at the header that has come; False: it is not what was hoped for, and nothing is scattered any more."""
        start, end = self._header_at, self._header_at + HEADER_BYTES
        if self._machine.is_plain(self._buffer, start, end):
            self._due = (None,)
            return True
        answer = self._machine.next(self._view, start, end)
        assert answer is not None
        if answer.payload_bytes:
            self._due = (answer,)
            return True
        finished.append((self._sent.popleft(), answer))
        self._straighten()
        return False

    def _straighten(self) -> None:
        """Bring together in the buffer what came behind a header without data."""
        places: list[memoryview] = []
        for slot in self._ahead:
            places += (self._view[self._header_at : self._header_at + HEADER_BYTES], slot)
            self._header_at += HEADER_BYTES
        stray = b"".join(places)[HEADER_BYTES : self._got_bytes]
        self._buffer[: len(stray)] = stray
        self._start, self._end = 0, len(stray)
        self._ahead.clear()
        self._rest = []
