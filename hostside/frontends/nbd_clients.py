"""The clients of one disk that speak NBD, wherever their sockets come from: kept, served in turn, drained.

This is the thin edge; the protocol lives in nbd_protocol/. Rules
  * Any number of clients; each is nonblocking, and none can hold up another.
  * One recv takes as many requests as there are; the rest of a large write goes straight into the slots.
  * Answers are gathered during a turn of the loop and sent at its end: one sendmsg per client, slots by
    reference.
  * A client that can't go on (no room in the pool, its share used up, answers unread) is not read until it
    can. What it sends meanwhile stays in its socket, so it waits too.
  * Answers that a client does not read are copied when another waits for their slots (DEAF_AFTER_S); so a
    stopped client, too, costs the others next to nothing.
  * What a client has sent and we had not taken when it hung up is dropped (nbd_client.py says why).
  * Going on happens in a turn of its own, never at the end of one: whoever sends the driver's packets at a
    turn's end would miss what is submitted after.
"""

import socket
from collections.abc import Callable

from hostside.frontends.base import Driver, Frontend
from hostside.frontends.nbd_client import Client
from hostside.frontends.nbd_protocol.connection import Connection
from hostside.frontends.nbd_protocol.export import Export, export_of
from hostside.frontends.nbd_protocol.transmission import HELD_BYTES_MAX, PART_BYTES
from ipc.loop import Loop, Timer

DEAF_AFTER_S = 0.2
"""A client who reads none of its answers for so long, while another waits for room, has them copied."""

MakeConnection = Callable[[Callable[[], None]], Connection]


class NbdClients(Frontend):
    """Serve the disk `name`, which `driver` carries, to clients that are handed in by `take`.

    Args:
        loop: the process's event loop; everything happens in its callbacks.
        driver: the host driver below (its `on_room` is taken).
        name: the export's name; the empty name means it too.
        part_bytes: the most that one driver request moves; must fit the driver's buffer pool.
        held_bytes_max: the most that one client holds of the pool, and may leave unread.

    """

    def __init__(
        self,
        loop: Loop,
        driver: Driver,
        name: str,
        *,
        part_bytes: int = PART_BYTES,
        held_bytes_max: int = HELD_BYTES_MAX,
    ) -> None:
        self.name = name
        self._loop = loop
        self._driver = driver
        self._part_bytes = part_bytes
        self._held_bytes_max = held_bytes_max
        self._clients: set[Client] = set()
        """Those who are connected, and those who have left something under way with the driver."""
        self._awake: list[Client] = []
        self._stalled: dict[Client, None] = {}
        """Those who wait for room, eldest first."""
        self._resume_timer: Timer | None = None
        self._deaf_timer: Timer | None = None
        self._drain_timer: Timer | None = None
        self._on_drained: Callable[[], None] | None = None
        driver.on_room = self._on_room
        loop.after_each(self._flush)

    @property
    def client_count(self) -> int:
        """Clients connected now."""
        return sum(client.is_open for client in self._clients)

    def users(self) -> list[str]:
        """See base.Frontend."""
        return [f"NBD client {client.who}" for client in self._clients if client.is_open]

    def describe(self) -> Export:
        """The disk as it is now."""
        return export_of(self.name, self._driver.unit)

    def take(self, accepted: socket.socket, make: MakeConnection | None = None) -> None:
        """Serve one more client; `make` gives its Connection, if not one that awaits a handshake."""
        self._clients.add(Client(self._loop, self, accepted, make or self.make_connection))

    def make_connection(self, wake: Callable[[], None]) -> Connection:
        """Make a connection that awaits the client's handshake."""
        part, held = self._part_bytes, self._held_bytes_max
        return Connection(self._driver, self.describe, wake, part_bytes=part, held_bytes_max=held)

    def hang_up_all(self) -> None:
        """Hang up on everybody. What is with the driver still comes back."""
        for client in tuple(self._clients):
            client.hang_up()

    def stop_taking(self) -> None:
        """Take no new clients. Harmless twice."""

    def on_hang_up(self, client: Client) -> None:
        """`client` has left or was let go; said again when what it had under way comes back."""

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float = 5.0, forced: bool = False) -> None:
        """See base.Frontend. Requests that come while others are finished are answered NBD_ESHUTDOWN."""
        del forced  # nothing of a socket outlives us
        self.stop_taking()
        self._on_drained = on_drained
        self._drain_timer = self._loop.call_later(timeout_s, self._drop_all)
        for client in tuple(self._clients):
            client.connection.drain()
        if not self._clients:
            self._loop.call_later(0, self._note_drained)

    def close(self) -> None:
        """Hang up on everybody and take nobody new. Harmless twice."""
        self.stop_taking()
        for timer in (self._drain_timer, self._resume_timer, self._deaf_timer):
            if timer is not None:
                timer.cancel()
        self._on_drained = None
        self.hang_up_all()

    def wake(self, client: Client) -> None:
        """Have `client` looked at when this turn ends."""
        self._awake.append(client)

    def _flush(self) -> None:
        """At the end of each turn: send what was gathered."""
        while self._awake:
            awake, self._awake = self._awake, []
            for client in awake:
                client.flush()
                if not client.is_open:
                    self.on_hang_up(client)
                if client.connection.stalled:
                    self._add_stalled(client)
                    self._resume_soon()

    def _add_stalled(self, client: Client) -> None:
        self._stalled[client] = None
        if self._deaf_timer is None:
            self._deaf_timer = self._loop.call_later(DEAF_AFTER_S, self._relieve)

    def _relieve(self) -> None:
        """Somebody waits for room: have nobody keep slots by not reading."""
        self._deaf_timer = None
        for client in tuple(self._clients):
            client.relieve_if_deaf()
        if self._stalled:
            self._deaf_timer = self._loop.call_later(DEAF_AFTER_S, self._relieve)

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
            client.resume()
            self.note(client)

    def note(self, client: Client) -> None:
        """Look at what a client's input has led to."""
        if client.connection.stalled:
            self._add_stalled(client)
        client.update_watch()

    def forget(self, client: Client) -> None:
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
        self.hang_up_all()
        self._note_drained()
