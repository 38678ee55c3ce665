"""The NBD front-end: a Unix socket by which any NBD client (libnbd, qemu, fio) uses one disk.

How its clients are served is in nbd_clients.py, what they say in nbd_protocol/. The socket file is made with its final
mode, replaces a dead one, never a living one, and is removed at the end.
"""

import errno
from pathlib import Path

from hostside.frontends.base import Driver
from hostside.frontends.listener import identity, listen
from hostside.frontends.nbd_clients import NbdClients
from hostside.frontends.nbd_protocol.transmission import HELD_BYTES_MAX, PART_BYTES
from ipc.loop import Loop

SOCKET_MODE = 0o600
ACCEPT_PAUSE_S = 0.1
"""After accept failed for want of descriptors or memory."""


class NbdFrontend(NbdClients):
    """Serve the disk `name`, which `driver` carries, on the Unix socket `at`.

    Args:
        loop: the process's event loop; everything happens in its callbacks.
        driver: the host driver below (its `on_room` is taken).
        at: path of the socket, at most 107 bytes.
        name: the export's name; the empty name means it too.
        mode: permission bits of the socket file: who may use the disk.
        part_bytes: the most that one driver request moves; must fit the driver's buffer pool.
        held_bytes_max: the most that one client holds of the pool, and may leave unread.

    Raises:
        FileExistsError: something that is no socket is at `at`.
        OSError: EADDRINUSE when a living process serves at `at`; or the socket cannot be made there.

    """

    def __init__(
        self,
        loop: Loop,
        driver: Driver,
        at: Path,
        name: str,
        *,
        mode: int = SOCKET_MODE,
        part_bytes: int = PART_BYTES,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        super().__init__(loop, driver, name, part_bytes=part_bytes, held_bytes_max=held_bytes_max)
        self.at = at
        self._listener = listen(at, mode)
        self._identity = identity(at)
        loop.watch(self._listener, on_readable=self._accept)

    def stop_taking(self) -> None:
        """Close the listener and remove its file. Harmless twice."""
        if self._listener.fileno() < 0:
            return
        self._loop.forget(self._listener)
        self._listener.close()
        if identity(self.at) == self._identity:
            self.at.unlink()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError, InterruptedError):
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                    raise
                self._pause_accepting()
                return
            self.take(accepted)

    def _pause_accepting(self) -> None:
        """Without a descriptor to spare, the readable listener would wake us for ever."""
        self._loop.forget(self._listener)
        self._loop.call_later(ACCEPT_PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener, on_readable=self._accept)
