"""The NBD front-end: a Unix socket by which any NBD client (libnbd, qemu, fio) uses one disk.

How its clients are served is in nbd_clients.py, what they say in nbd_protocol/. The socket file is reached by nobody
who may not use the disk (listener.py), replaces a dead one, never a living one, and is removed at the end.
"""

import errno
from collections import Counter
from pathlib import Path

from hostside.frontends.base import OWN, Driver
from hostside.frontends.listener import identity, listen, remove
from hostside.frontends.nbd_clients import NbdClients
from hostside.frontends.nbd_protocol.transmission import HELD_BYTES_MAX, PART_BYTES
from ipc.loop import Loop
from ipc.sizes import size

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
        mode: permission bits of the socket file: who may write it may use the disk.
        owner: (uid, gid) of the socket file; -1: this process's own.
        part_bytes: the most that one driver request moves; must fit the driver's buffer pool.
        held_bytes_max: the most that one client holds of the pool, and may leave unread.

    Raises:
        FileExistsError: something that is no socket is at `at`.
        OSError: EADDRINUSE when a living process serves at `at`; EPERM when the socket cannot be given to `owner`; or
            it cannot be made there.

    """

    def __init__(
        self,
        loop: Loop,
        driver: Driver,
        at: Path,
        name: str,
        *,
        mode: int = SOCKET_MODE,
        owner: tuple[int, int] = OWN,
        part_bytes: int = PART_BYTES,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        super().__init__(loop, driver, name, part_bytes=part_bytes, held_bytes_max=held_bytes_max)
        self.at = at
        self._listener = listen(at, mode, owner)
        self._identity = identity(at)
        loop.watch(self._listener, on_readable=self._accept)

    @property
    def outdated_clients(self) -> Counter[int]:
        """Former sizes of the disk, in bytes -> how many clients were told it when they connected, and see it still."""
        told = Counter(client.connection.told_size_bytes or 0 for client in self._clients if client.is_open)
        del told[0], told[self._driver.unit.size_bytes]
        return told

    def notices(self) -> list[str]:
        """See base.Frontend."""
        return [_outdated(count, size_bytes) for size_bytes, count in sorted(self.outdated_clients.items())]

    def stop_taking(self) -> None:
        """Close the listener and remove its file. Harmless twice."""
        if self._listener.fileno() < 0:
            return
        self._loop.forget(self._listener)
        remove(self.at, self._identity)
        self._listener.close()

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


def _outdated(count: int, size_bytes: int) -> str:
    who, they = ("1 client sees", "it connects") if count == 1 else (f"{count} clients see", "they connect")
    return f"{who} {size(size_bytes)} until {they} again"
