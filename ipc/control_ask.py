"""Ask another process a question at its control socket, from the loop: what `control_call` is for those who may wait.

Guarantee: `on_answer` is called exactly once, from the loop, unless `cancel` came first: with the answer, or with a
ControlError whose text is a sentence for people (nobody answers, not in time, or a refusal).
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ipc.control import ControlError, checked_answer
from ipc.control_connection import LINE_BYTES_MAX, RECEIVE_BYTES, Answer, line_of
from ipc.loop import Loop


class ControlAsk:
    """One question on its way."""

    def __init__(
        self,
        loop: Loop,
        path: Path,
        verb: str,
        on_answer: Callable[[Answer | ControlError], None],
        *,
        timeout_s: float,
        **arguments: Any,
    ) -> None:
        self.path = path
        self.on_answer = on_answer
        self.loop = loop
        self.received = bytearray()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self.timer = loop.call_later(timeout_s, lambda: self.fail(f"no answer from {path} within {timeout_s:g} s"))
        try:
            self.socket.connect(os.fspath(path))
            self.socket.send(line_of({"verb": verb, "arguments": arguments}))  # a line fits into a fresh socket
        except OSError as error:  # EAGAIN too: the backlog of who listens is full, so it does not work them off
            sentence = f"no process answers at {path}: {error.strerror}"
            loop.call_later(0, lambda: self.fail(sentence))
        else:
            loop.watch(self.socket, on_readable=self.receive)

    def receive(self) -> None:
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.received += data
        if not data or len(self.received) > LINE_BYTES_MAX:
            self.fail(f"{self.path} ended before it answered")
        elif self.received.endswith(b"\n"):
            self.end(self.outcome())

    def outcome(self) -> Answer | ControlError:
        try:
            return checked_answer(bytes(self.received), self.path)
        except ControlError as error:
            return error

    def fail(self, sentence: str) -> None:
        self.end(ControlError(sentence))

    def end(self, outcome: Answer | ControlError) -> None:
        if self.socket.fileno() >= 0:
            self.cancel()
            self.on_answer(outcome)

    def cancel(self) -> None:
        """Hear no answer. Harmless when done before."""
        self.timer.cancel()
        if self.socket.fileno() >= 0:
            self.loop.forget(self.socket)
            self.socket.close()
