"""One asker of a control socket: lines of JSON in, lines out, one question at a time.

A question that is pending (`Deferred`) holds up the next one of the same asker, and of nobody else. What an
asker may make us keep is bounded: one line of questions, one line of answers.
"""

import json
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

from ipc.loop import Loop

LINE_BYTES_MAX: Final = 1 << 20
RECEIVE_BYTES: Final = 65536

Answer = dict[str, Any]


def line_of(message: Mapping[str, Any]) -> bytes:
    """One message as it travels."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


class Deferred:
    """An answer that comes later: a verb returns it and calls `done` once, when it knows."""

    def __init__(self) -> None:
        self._answer: Answer | None = None
        self._deliver: Callable[[Answer], None] | None = None

    def done(self, answer: Answer) -> None:
        """Answer; {"error": sentence} refuses. When the asker has gone, nobody hears it."""
        assert self._answer is None, "a question is answered once"
        self._answer = answer
        if self._deliver is not None:
            self._deliver(answer)

    def _deliver_to(self, deliver: Callable[[Answer], None]) -> None:
        if self._answer is not None:
            deliver(self._answer)
        else:
            self._deliver = deliver


class Connection:
    """One asker: lines in, lines out, one question at a time."""

    def __init__(
        self,
        loop: Loop,
        connected: socket.socket,
        ask: Callable[[bytes], Answer | Deferred],
        on_close: Callable[["Connection"], None],
    ) -> None:
        self._loop = loop
        self._socket = connected
        self._ask = ask
        self._on_close = on_close
        self._received = bytearray()
        self._to_send = b""
        self._is_waiting = False
        self._is_last = False
        self._is_closed = False
        self._watch()

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Hear it no more. Harmless when done before."""
        if not self._is_closed:
            self._is_closed = True
            self._loop.forget(self._socket)
            self._socket.close()
            self._on_close(self)

    def _watch(self) -> None:
        if self._to_send:
            self._loop.watch(self._socket, on_writable=self._send)
        else:
            # Also while a Deferred is pending: that the asker has gone should be noticed.
            self._loop.watch(self._socket, on_readable=self._receive)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._received += data
        self._next_question()

    def _next_question(self) -> None:
        if self._is_waiting:
            if len(self._received) > LINE_BYTES_MAX:
                self.close()
            return
        end = self._received.find(b"\n", 0, LINE_BYTES_MAX)
        if end >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            self._answer_line(line)
        elif len(self._received) >= LINE_BYTES_MAX:
            self._is_last = True
            self._answer({"error": f"a line has at most {LINE_BYTES_MAX} bytes"})

    def _answer_line(self, line: bytes) -> None:
        self._is_waiting = True
        answer = self._ask(line)
        if isinstance(answer, Deferred):
            answer._deliver_to(self._answer)
        else:
            self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        if self._is_closed:
            return
        line = line_of(answer)
        if len(line) > LINE_BYTES_MAX:
            line = line_of({"error": f"the answer has {len(line)} bytes; a line has at most {LINE_BYTES_MAX}"})
        self._to_send += line
        self._send()

    def _send(self) -> None:
        try:
            sent_bytes = self._socket.send(self._to_send)
        except BlockingIOError:
            sent_bytes = 0
        except OSError:
            self.close()
            return
        self._to_send = self._to_send[sent_bytes:]
        if not self._to_send:
            self._answered()
        else:
            self._watch()

    def _answered(self) -> None:
        if self._is_last:
            self.close()
            return
        self._is_waiting = False
        self._watch()
        if self._received:
            # By way of the loop: an asker with a thousand questions in one line waits between them like
            # others.
            self._loop.enqueue(self._resume)

    def _resume(self) -> None:
        if not self._is_closed:
            self._next_question()
