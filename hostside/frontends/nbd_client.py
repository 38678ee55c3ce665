"""The socket of one client of the NBD front-end: nonblocking, watched for what can be used now."""

import os
import select
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from hostside.frontends.nbd_protocol.connection import Connection
from ipc.loop import Loop

SEND_BUFFER_BYTES: Final = 4 << 20
"""Asked for; the kernel gives what net.core.wmem_max permits."""
_IOV_MAX: Final = os.sysconf("SC_IOV_MAX")
_UCRED: Final = struct.Struct("=3i")
"""struct ucred: pid, uid, gid (unix(7), SO_PEERCRED)."""


class Keeper(Protocol):
    """Who keeps the clients (nbd.NbdFrontend)."""

    def wake(self, client: "Client") -> None:
        """Have `client.flush` called when this turn ends."""

    def note(self, client: "Client") -> None:
        """Its input was taken, as far as there is room: look what that has led to."""

    def forget(self, client: "Client") -> None:
        """It has left, and nothing of it is under way."""


class Client:
    """The socket of one client, and whether it is watched."""

    def __init__(
        self,
        loop: Loop,
        keeper: Keeper,
        accepted: socket.socket,
        make_connection: Callable[[Callable[[], None]], Connection],
    ) -> None:
        self.is_open = True
        self._loop = loop
        self._keeper = keeper
        self._socket = accepted
        self._is_awake = False
        self._send_blocked = False
        self._sent_bytes_then = -1
        self._watched = (False, False)
        accepted.setblocking(False)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._end = select.poll()
        self._end.register(accepted, 0)
        self.connection = make_connection(self.wake)
        self.wake()
        self.update_watch()

    @property
    def who(self) -> str:
        """Name the process that has connected: "fio (pid 7)"."""
        pid, _, _ = _UCRED.unpack(self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
        try:
            return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
        except OSError:  # it has ended, and whoever got its socket is not known
            return f"of a process that has ended (pid {pid})"

    def wake(self) -> None:
        """Have `flush` called when this turn ends."""
        if not self._is_awake:
            self._is_awake = True
            self._keeper.wake(self)

    def flush(self) -> None:
        """Send what can be sent; hang up when nothing is left to do."""
        self._is_awake = False
        if not self.is_open:
            self._forget_if_idle()
            return
        self._send()
        if self.connection.settled:
            self.hang_up()
        else:
            self.update_watch()

    def _send(self) -> None:
        outbox = self.connection.outbox
        self._send_blocked = False
        try:
            while outbox.unsent_bytes:
                outbox.sent(self._socket.sendmsg(outbox.first(_IOV_MAX)))
        except BlockingIOError:
            self._send_blocked = True
        except OSError:
            self.connection.lost()  # whatever it is, there is nobody to tell

    def relieve_if_deaf(self) -> None:
        """Give the slots behind the answers back, when none of them was read since this was asked last."""
        outbox = self.connection.outbox
        if self._send_blocked and outbox.sent_bytes == self._sent_bytes_then:
            outbox.detach()
        self._sent_bytes_then = outbox.sent_bytes

    def _on_readable(self) -> None:
        connection = self.connection
        targets = connection.targets()
        try:
            size = self._receive(targets)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size and not self._has_left():
            connection.received(size)
            self._keeper.note(self)
        else:
            connection.lost()

    def _has_left(self) -> bool:
        """Say whether the other end is closed. What it had asked and we had not taken until then is never done.

        It may have asked again by another connection, had its answer, and written something newer there: the kernel's
        client and QEMU do. Taken now, the first copy would come last.
        """
        return bool(self._end.poll(0))

    def resume(self) -> None:
        """Go on with input that has waited for room."""
        if self.is_open and self._has_left():
            self.connection.lost()
        else:
            self.connection.resume()

    def _receive(self, targets: list[memoryview]) -> int:
        if len(targets) == 1:
            return self._socket.recv_into(targets[0])
        return self._socket.recvmsg_into(targets)[0]

    def _on_writable(self) -> None:
        self.wake()

    def update_watch(self) -> None:
        """Watch for what can be used now."""
        if not self.is_open:
            return
        wanted = (self.connection.wants_input, self._send_blocked)
        if wanted == self._watched:
            return
        self._watched = wanted
        self._loop.watch(
            self._socket,
            on_readable=self._on_readable if wanted[0] else None,
            on_writable=self._on_writable if wanted[1] else None,
        )

    def hang_up(self) -> None:
        """Close the socket. What is with the driver still comes back, and is released."""
        if not self.is_open:
            return
        self.is_open = False
        self.connection.lost()
        self._loop.forget(self._socket)
        self._socket.close()
        self._forget_if_idle()

    def _forget_if_idle(self) -> None:
        if self.connection.idle:
            self._keeper.forget(self)
