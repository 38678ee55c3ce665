"""The NBD front-end: a Unix socket by which any NBD client (libnbd, qemu, fio, the kernel) uses one disk.

This is the thin edge; the protocol lives in nbd_protocol/. Rules
  * Any number of clients; each is nonblocking, and none can hold up another.
  * One recv takes as many requests as there are; the rest of a large write goes straight into the slots.
  * Answers are gathered during a turn of the loop and sent at its end: one sendmsg per client, slots by
    reference.
  * A client that can't go on (no room in the pool, its share used up, answers unread) is not read until it
    can. What it sends meanwhile stays in its socket, so it waits too.
  * Going on happens in a turn of its own, never at the end of one: whoever sends the driver's packets at a
    turn's end would miss what is submitted after.
  * The socket file is made with its final mode, replaces a dead one, never a living one, and is removed at
    the end.
"""

import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

from hostside.frontends.base import Driver, Frontend
from hostside.frontends.listener import identity, listen
from hostside.frontends.nbd_protocol.connection import Connection
from hostside.frontends.nbd_protocol.export import Export, export_of
from hostside.frontends.nbd_protocol.transmission import HELD_BYTES_MAX, PART_BYTES
from ipc.loop import Loop, Timer

SOCKET_MODE = 0o600
SEND_BUFFER_BYTES = 4 << 20
"""Asked for; the kernel gives what net.core.wmem_max permits."""
ACCEPT_PAUSE_S = 0.1
"""After accept failed for want of descriptors or memory."""
_IOV_MAX = os.sysconf("SC_IOV_MAX")


class NbdFrontend(Frontend):
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
        self.at = at
        self.name = name
        self._loop = loop
        self._driver = driver
        self._part_bytes = part_bytes
        self._held_bytes_max = held_bytes_max
        self._clients: set[_Client] = set()
        """Those who are connected, and those who have left something under way with the driver."""
        self._awake: list[_Client] = []
        self._stalled: dict[_Client, None] = {}
        """Those who wait for room, eldest first."""
        self._resume_timer: Timer | None = None
        self._drain_timer: Timer | None = None
        self._on_drained: Callable[[], None] | None = None
        self._listener = listen(at, mode)
        self._identity = identity(at)
        driver.on_room = self._on_room
        loop.watch(self._listener, on_readable=self._accept)
        loop.after_each(self._flush)

    @property
    def client_count(self) -> int:
        """Clients connected now."""
        return sum(client.is_open for client in self._clients)

    def describe(self) -> Export:
        """The disk as it is now."""
        return export_of(self.name, self._driver.unit)

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float = 5.0) -> None:
        """See base.Frontend. Requests that come while others are finished are answered NBD_ESHUTDOWN."""
        self._stop_listening()
        self._on_drained = on_drained
        self._drain_timer = self._loop.call_later(timeout_s, self._drop_all)
        for client in tuple(self._clients):
            client.connection.drain()
        if not self._clients:
            self._loop.call_later(0, self._note_drained)

    def close(self) -> None:
        """Hang up on everybody and remove the socket file. Harmless twice."""
        self._stop_listening()
        for timer in (self._drain_timer, self._resume_timer):
            if timer is not None:
                timer.cancel()
        self._on_drained = None
        for client in tuple(self._clients):
            client.hang_up()

    def _stop_listening(self) -> None:
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
            self._clients.add(_Client(self, accepted))

    def _pause_accepting(self) -> None:
        """Without a descriptor to spare, the readable listener would wake us for ever."""
        self._loop.forget(self._listener)
        self._loop.call_later(ACCEPT_PAUSE_S, self._resume_accepting)

    def _resume_accepting(self) -> None:
        if self._listener.fileno() >= 0:
            self._loop.watch(self._listener, on_readable=self._accept)

    def wake(self, client: "_Client") -> None:
        """Have `client` looked at when this turn ends."""
        self._awake.append(client)

    def make_connection(self, client: "_Client") -> Connection:
        """Make the protocol's half of a client."""
        part, held = self._part_bytes, self._held_bytes_max
        return Connection(self._driver, self.describe, client.wake, part_bytes=part, held_bytes_max=held)

    def _flush(self) -> None:
        """At the end of each turn: send what was gathered."""
        while self._awake:
            awake, self._awake = self._awake, []
            for client in awake:
                client.flush()
                if client.connection.stalled:
                    self._stalled[client] = None
                    self._resume_soon()

    def _on_room(self) -> None:
        if self._stalled:
            self._resume_soon()

    def _resume_soon(self) -> None:
        if self._resume_timer is None:
            self._resume_timer = self._loop.call_later(0, self._resume)

    def _resume(self) -> None:
        self._resume_timer = None
        stalled, self._stalled = self._stalled, {}
        for client in stalled:
            client.connection.resume()
            self.note(client)

    def note(self, client: "_Client") -> None:
        """Look at what a client's input has led to."""
        if client.connection.stalled:
            self._stalled[client] = None
        client.update_watch()

    def forget(self, client: "_Client") -> None:
        """A client has left, and nothing of it is under way."""
        self._clients.discard(client)
        self._stalled.pop(client, None)
        if not self._clients and self._on_drained is not None:
            self._note_drained()

    def _note_drained(self) -> None:
        on_drained, self._on_drained = self._on_drained, None
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        if on_drained is not None:
            on_drained()

    def _drop_all(self) -> None:
        for client in tuple(self._clients):
            client.hang_up()
        self._note_drained()


class _Client:
    """The socket of one client, and whether it is watched."""

    def __init__(self, frontend: NbdFrontend, accepted: socket.socket) -> None:
        self._frontend = frontend
        self._loop = frontend._loop
        self._socket = accepted
        self._is_awake = False
        self.is_open = True
        self._send_blocked = False
        self._watched = (False, False)
        accepted.setblocking(False)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self.connection = frontend.make_connection(self)
        self.wake()
        self.update_watch()

    def wake(self) -> None:
        """Have `flush` called when this turn ends."""
        if not self._is_awake:
            self._is_awake = True
            self._frontend.wake(self)

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

    def _on_readable(self) -> None:
        connection = self.connection
        targets = connection.targets()
        try:
            if len(targets) == 1:
                size = self._socket.recv_into(targets[0])
            else:
                size = self._socket.recvmsg_into(targets)[0]
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if size:
            connection.received(size)
            self._frontend.note(self)
        else:
            connection.lost()

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
            self._frontend.forget(self)
