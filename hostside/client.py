"""The Python API: read and write one disk of this host.

    import hostside

    with hostside.open_disk("unit_1") as disk:
        disk.pwrite(b"\0" * 4096, 0, fua=True)
        block = disk.pread(512, 0)
        disk.flush()

It is a small NBD client over the disk's Unix socket, so what holds for every NBD client holds here. Rules
  * All offsets and lengths are in bytes, and multiples of the block size (512).
  * One call moves any amount: it is cut into requests of at most PIECE_BYTES, WINDOW of them on the way at
    a time.
  * A call that fails has ended: nothing of it is on the way any more. A write that fails may have been done
    in part.
  * What `pwrite`, `trim` and `write_zeroes` report done is durable after the next `flush`, or at once with
    `fua`. `close` does not flush.
  * A disk is not safe for use by several threads at once; open it once per thread instead: a flush covers
    all.
  * Every failure is an OSError with an errno number and the server's sentence, an argument that can never
    be right a ValueError.
"""

import errno
import os
import socket
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hostside.frontends.nbd_protocol.client_handshake import ClientHandshake, Opened, Phase
from hostside.frontends.nbd_protocol.client_transmission import ClientTransmission, Piece
from hostside.frontends.nbd_protocol.errors import ExportRefusedError, FrameInDoubtError
from hostside.frontends.nbd_protocol.numbers import Command, CommandFlag, TransmissionFlag
from ipc.control import ControlError, control_call

STATE_DIR = Path("/var/lib/nsu")
HANDSHAKE_MOST_S = 10.0
PIECE_BYTES = 1 << 20
"""Smaller than NBD's 32 MiB, so that a large call keeps all paths busy."""
WINDOW = 16
NO_PAYLOAD_PIECE_BYTES = 1 << 30
"""TRIM and WRITE_ZEROES: NBD has 32 bits for the length."""

ReadableBuffer = bytes | bytearray | memoryview
WritableBuffer = bytearray | memoryview


def open_disk(name: str = "", *, state_dir: str | Path = STATE_DIR, at: str | Path | None = None) -> "Disk":
    """Open a disk of this host.

    Args:
        name: the disk's name in nsu.conf. With `at` it may be left out.
        state_dir: STATE of the MACHINE in nsu.conf; the host role is asked there where the disk is.
        at: the disk's socket, when it is known; nobody is asked then.

    Raises:
        FileNotFoundError: there is no such disk, or no socket at `at`.
        ConnectionError: nobody answers: the host role or the disk is not running, or the disk waits for its server.
        TimeoutError: who answers at the socket is no NBD server.
        OSError: EOPNOTSUPP: the disk is not shown as a socket; open what it is shown as. EACCES: not
        permitted.

    """
    return Disk(_find(name, Path(state_dir)) if at is None else Path(at), name)


def _find(name: str, state_dir: Path) -> Path:
    control = state_dir / "host.sock"
    try:
        disks: list[dict[str, Any]] = control_call(control, "disks")["disks"]
    except ControlError as error:
        sentence = (
            f"the host role does not answer: {error}; is `nsu run` running with this STATE? "
            f"Another one is named by open_disk(…, state_dir=…)"
        )
        raise ConnectionRefusedError(errno.ECONNREFUSED, sentence) from error
    for disk in disks:
        if disk["name"] == name:
            if disk["show"] != "socket":
                sentence = f"the disk {name} is shown as {disk['show']} at {disk['at']}; open that instead"
                raise OSError(errno.EOPNOTSUPP, sentence)
            if not disk.get("shown", True):
                sentence = f"the disk {name} is not there yet: {disk.get('trouble') or 'waiting for the server'}"
                raise ConnectionRefusedError(errno.ECONNREFUSED, sentence)
            return Path(disk["at"])
    known = ", ".join(sorted(disk["name"] for disk in disks)) or "none"
    raise FileNotFoundError(errno.ENOENT, f"there is no disk {name!r} on this host; there are: {known}")


class Disk:
    """One open disk: a connection of its own. Made by `open_disk`; use it in a `with` statement."""

    def __init__(self, at: Path, name: str) -> None:
        self.at = at
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._opened = self._open(name)
        except BaseException:
            self._socket.close()
            raise
        self.name = name
        self._transmission = ClientTransmission(structured=self._opened.structured)

    @property
    def size_bytes(self) -> int:
        """Size in bytes, when it was opened."""
        return self._opened.size_bytes

    @property
    def read_only(self) -> bool:
        """Writes will be refused."""
        return bool(self._opened.flags & TransmissionFlag.READ_ONLY)

    @property
    def block_bytes(self) -> int:
        """Offsets and lengths must be multiples of this many bytes."""
        return self._opened.block_bytes_min

    def pread(self, length_bytes: int, offset_bytes: int) -> bytes:
        """Read `length_bytes` bytes from `offset_bytes`: all of them, never fewer.

        Raises:
            OSError: EINVAL past the end; EIO; ESHUTDOWN the disk is being shut down.
            ValueError: a number below 0 or no multiple of the block size.

        """
        if length_bytes < 0:
            raise ValueError(f"a length of {length_bytes} bytes; it must be 0 or more")
        data = bytearray(length_bytes)
        self.pread_into(data, offset_bytes)
        return bytes(data)

    def pread_into(self, buffer: WritableBuffer, offset_bytes: int) -> None:
        """Read into the whole of `buffer`, a contiguous one, from `offset_bytes`. Raises as `pread` does."""
        view = memoryview(buffer).cast("B")
        self._check(offset_bytes, len(view))
        self._run(self._pieces(Command.READ, offset_bytes, len(view), 0, view))

    def pwrite(self, data: ReadableBuffer, offset_bytes: int, fua: bool = False) -> None:
        """Write all of `data` at `offset_bytes`; with `fua` it is durable when this returns.

        Raises:
            OSError: ENOSPC past the end; EPERM the disk is read-only; EIO; ESHUTDOWN.
            ValueError: an offset below 0, or no multiples of the block size.

        """
        view = memoryview(data).cast("B")
        self._check(offset_bytes, len(view))
        self._change(Command.WRITE, offset_bytes, len(view), fua, view)

    def flush(self) -> None:
        """Make everything durable that was reported done before, by anybody who has this disk open.

        Raises:
            OSError: EIO: it is not sure what is durable.

        """
        self._run(iter([Piece(Command.FLUSH, 0, 0)]))

    def trim(self, offset_bytes: int, length_bytes: int, fua: bool = False) -> None:
        """Say that a range is not needed any more; what is read there afterwards is not defined.

        Raises:
            OSError: EINVAL past the end, or the server has no TRIM; EPERM the disk is read-only; EIO.
            ValueError: as `pwrite`.

        """
        self._check(offset_bytes, length_bytes)
        self._change(Command.TRIM, offset_bytes, length_bytes, fua)

    def write_zeroes(self, offset_bytes: int, length_bytes: int, fua: bool = False) -> None:
        """Have a range read as zeroes, without sending them. Space may be given back.

        Raises:
            OSError: ENOSPC past the end; EINVAL the server has no WRITE ZEROES; EPERM; EIO.
            ValueError: as `pwrite`.

        """
        self._check(offset_bytes, length_bytes)
        self._change(Command.WRITE_ZEROES, offset_bytes, length_bytes, fua)

    def close(self) -> None:
        """Say goodbye and hang up. Harmless twice. Does not flush."""
        if self._socket.fileno() < 0:
            return
        try:
            self._socket.sendall(self._transmission.request(Piece(Command.DISC, 0, 0)))
        except OSError:
            pass  # nobody is there to be told
        finally:
            self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    # Opening

    def _open(self, name: str) -> Opened:
        handshake = ClientHandshake(name)
        # Only the handshake has a limit: a request waits as long as the disk does (ON_NO_PATH).
        self._socket.settimeout(HANDSHAKE_MOST_S)
        try:
            self._socket.connect(os.fspath(self.at))
            while handshake.phase is not Phase.TRANSMISSION:
                self._socket.sendall(handshake.data_to_send())
                data = self._socket.recv(handshake.missing_bytes())
                if not data:
                    raise FrameInDoubtError("it hung up during the handshake")
                handshake.receive(data)
        except TimeoutError as error:
            sentence = f"{self.at} did not greet as an NBD server within {HANDSHAKE_MOST_S:g} s; name the disk's AT"
            raise TimeoutError(errno.ETIMEDOUT, sentence) from error
        except FrameInDoubtError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, f"{self.at}: {error}") from error
        except ExportRefusedError as error:
            raise OSError(error.number, f"{self.at}: {error.sentence}") from error
        except OSError as error:
            raise OSError(error.errno, f"the disk at {self.at} cannot be opened: {error.strerror or error}") from error
        self._socket.settimeout(None)
        return handshake.opened

    # Moving

    def _check(self, offset_bytes: int, length_bytes: int) -> None:
        """Refuse what would be refused in the middle of a call, when part of it was done already."""
        block_bytes = self._opened.block_bytes_min
        if min(offset_bytes, length_bytes) < 0 or offset_bytes % block_bytes or length_bytes % block_bytes:
            right = f"multiples of {block_bytes} bytes, 0 or more"
            raise ValueError(f"offset {offset_bytes} and length {length_bytes} must be {right}")

    def _change(
        self,
        command: Command,
        offset_bytes: int,
        length_bytes: int,
        fua: bool,
        view: memoryview | None = None,
    ) -> None:
        has_fua = bool(self._opened.flags & TransmissionFlag.SEND_FUA)
        flags = int(CommandFlag.FUA) if fua and has_fua else 0
        self._run(self._pieces(command, offset_bytes, length_bytes, flags, view))
        if fua and not has_fua:
            self.flush()

    def _pieces(
        self, command: Command, offset_bytes: int, length_bytes: int, flags: int, view: memoryview | None
    ) -> Iterator[Piece]:
        most_bytes = NO_PAYLOAD_PIECE_BYTES
        if view is not None:
            most_bytes = min(PIECE_BYTES, self._opened.payload_bytes_max)
        for start in range(0, length_bytes, most_bytes):
            size = min(most_bytes, length_bytes - start)
            part = memoryview(b"") if view is None else view[start : start + size]
            yield Piece(command, offset_bytes + start, size, flags, part)

    def _run(self, pieces: Iterator[Piece]) -> None:
        """Have all pieces done, WINDOW at a time; after a failure begin no more, and await those begun."""
        if self._socket.fileno() < 0:
            raise OSError(errno.EBADF, f"the disk {self.name} is closed; open it again")
        transmission = self._transmission
        try:
            for piece in pieces:
                self._await_at_most(WINDOW - 1)
                if transmission.has_failed:
                    break
                self._send(piece)
            self._await_at_most(0)
        except FrameInDoubtError as error:
            raise ConnectionAbortedError(errno.ECONNABORTED, f"the disk {self.name} is lost: {error}") from error
        finally:
            if transmission.outstanding:
                self._socket.close()  # interrupted half-way: the next reply would not be ours
        failed = transmission.take_failed()
        if failed is not None:
            raise OSError(failed.error, failed.sentence or os.strerror(failed.error))

    def _send(self, piece: Piece) -> None:
        buffers: deque[memoryview] = deque([memoryview(self._transmission.request(piece))])
        if piece.command is Command.WRITE:
            buffers.append(piece.view)
        while buffers:
            size = self._socket.sendmsg(buffers)
            while buffers and size >= len(buffers[0]):
                size -= len(buffers.popleft())
            if size:
                buffers[0] = buffers[0][size:]

    def _await_at_most(self, count: int) -> None:
        transmission = self._transmission
        while len(transmission.outstanding) > count:
            size = self._socket.recv_into(transmission.target())
            if size == 0:
                raise FrameInDoubtError("it hung up")
            transmission.received(size)
