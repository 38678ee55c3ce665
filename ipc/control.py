"""Talk with a running process: JSON objects, one per line, over a Unix socket of mode 0600.

    -> {"verb": "status", "arguments": {"disk": "unit_1"}}
    <- {"paths": 8}                      or  {"error": "a sentence"}

Rules: a line is at most 1 MiB. A connection may ask several times; it is answered in order, one at a time.
Whoever may open the socket may ask anything: the file's mode is the gate. A broken line is answered with a
sentence and costs its sender the connection; it costs nobody else anything.
"""

import contextlib
import json
import os
import socket
import stat
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from ipc.control_connection import LINE_BYTES_MAX, RECEIVE_BYTES, Answer, Connection, Deferred, line_of
from ipc.loop import Loop

CONNECTIONS_MAX: Final = 64
_PATH_BYTES_MAX: Final = 107  # unix(7): sun_path has 108, one of them a NUL

__all__ = ["ControlError", "ControlServer", "Deferred", "NobodyError", "RefusedError", "control_call"]

Arguments = dict[str, Any]


class ControlError(Exception):
    """It was refused, or could not be asked; the text is a sentence for people. Verbs raise it to refuse."""


class RefusedError(ControlError):
    """Somebody answered, and said no."""


class NobodyError(ControlError):
    """No process is there: not one that is slow, hangs, or can't be asked."""


Verb = Callable[[Arguments], Answer | Deferred]


class ControlServer:
    """Answers on the Unix socket `path` with `verbs`, from the loop.

    Raises:
        ControlError: another process answers there, or the path cannot be one of a socket.
        OSError: the folder is not there, or not ours to write.

    """

    def __init__(self, loop: Loop, path: Path | str, verbs: Mapping[str, Verb]) -> None:
        self.path: Final = Path(path)
        self._loop = loop
        self._verbs = verbs
        self._connections: set[Connection] = set()
        _remove_stale(self.path)
        self._listener = _listen(self.path)
        self._identity = _identity(self.path)
        loop.watch(self._listener, on_readable=self._accept)

    def descriptors(self) -> tuple[int, ...]:
        """The listening socket and every connection."""
        return (self._listener.fileno(), *(connection.fileno() for connection in self._connections))

    def close(self) -> None:
        """Stop answering and remove the socket file, unless it is another's by now. Harmless twice."""
        if self._listener.fileno() < 0:
            return
        self._loop.forget(self._listener)
        self._listener.close()
        for connection in tuple(self._connections):
            connection.close()
        if _identity(self.path) == self._identity:
            self.path.unlink()

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except OSError:  # the asker has gone again, or no descriptor is left: it may ask again
            return
        if len(self._connections) >= CONNECTIONS_MAX:
            accepted.close()
            return
        accepted.setblocking(False)
        self._connections.add(Connection(self._loop, accepted, self._ask, self._connections.discard))

    def _ask(self, line: bytes) -> Answer | Deferred:
        try:
            question = json.loads(line)
            verb, arguments = question["verb"], question.get("arguments", {})
            if not isinstance(arguments, dict) or not isinstance(verb, str):
                raise TypeError
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return {"error": 'a question is one line: {"verb": "NAME", "arguments": {}}'}
        if verb not in self._verbs:
            return {"error": f"there is no verb {verb!r}; there are: {', '.join(sorted(self._verbs))}"}
        try:
            return self._verbs[verb](arguments)
        except ControlError as refusal:
            return {"error": str(refusal)}
        except (ValueError, TypeError, LookupError, OSError) as error:
            # What wrong arguments look like: the asker's fault must not end the process that serves others.
            return {"error": f"{verb}: {type(error).__name__}: {error}"}


def control_call(path: Path | str, verb: str, /, timeout_s: float = 5.0, **arguments: Any) -> Answer:
    """Ask the process behind `path` and return its answer. `timeout_s` is for all of it.

    Raises:
        NobodyError: no process is there.
        ControlError: nobody answers in time, or the answer is a refusal.

    """
    deadline_s = time.monotonic() + timeout_s
    question = line_of({"verb": verb, "arguments": arguments})
    if len(question) > LINE_BYTES_MAX:
        raise ControlError(f"the question has {len(question)} bytes; a line has at most {LINE_BYTES_MAX}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        try:
            connection.settimeout(timeout_s)
            connection.connect(os.fspath(path))
            connection.sendall(question)
            line = _receiveline_of(connection, deadline_s)
        except TimeoutError:
            raise ControlError(f"no answer from {path} within {timeout_s} s") from None
        except (FileNotFoundError, ConnectionRefusedError):
            raise NobodyError(f"no process answers at {path}") from None
        except OSError as error:
            raise ControlError(f"cannot ask at {path}: {error}") from error
    return checked_answer(line, path)


def _receiveline_of(connection: socket.socket, deadline_s: float) -> bytes:
    received = bytearray()
    while not received.endswith(b"\n"):
        connection.settimeout(max(0.001, deadline_s - time.monotonic()))
        data = connection.recv(RECEIVE_BYTES)
        if not data:
            raise ConnectionResetError("it ended before it answered")
        received += data
        if len(received) > LINE_BYTES_MAX:
            raise ConnectionError(f"its answer is longer than {LINE_BYTES_MAX} bytes")
    return bytes(received)


def checked_answer(line: bytes, path: Path | str) -> Answer:
    """Give the answer that came from `path`. Raises ControlError: it is none, or a refusal."""
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise ControlError(f"the answer from {path} is no JSON: {error}") from error
    if not isinstance(answer, dict):
        raise ControlError(f"the answer from {path} is no JSON object")
    if "error" in answer:
        raise RefusedError(str(answer["error"]))
    return answer


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # By umask, not chmod: there is no moment at which others could connect.
    former_mask = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
        listener.listen(CONNECTIONS_MAX)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(former_mask)
    return listener


def _remove_stale(path: Path) -> None:
    """Remove the socket file of a process that is no more."""
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise ControlError(f"{path} is too long for a socket: {_PATH_BYTES_MAX} bytes at most (unix(7))")
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise ControlError(f"{path} is there and is no socket; it is left alone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.setblocking(False)
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full: somebody is there
    raise ControlError(f"another process answers at {path} already")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
