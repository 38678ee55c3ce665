"""The kernel front-end: the disk as /dev/nbdN, attached by this process itself, with a link to it where users look.

The kernel is a client like any other, only that it is handed its sockets: one end of each pair, past the handshake.

Rules
  * As many sockets as asked for, if the export can CAN_MULTI_CONN; otherwise one, for the kernel refuses more.
  * A device outlives this process. Its name for us, the `identifier`, is kept by the kernel: a successor finds it and
    gives it new sockets, and file systems on it only notice a pause. The supervisor starts the successor when nothing
    of the predecessor can be applied any more, so that it is safe to send again what was on the way.
  * A socket that the kernel has given up (a request took longer than `timeout_s`) is replaced after RESTORE_PAUSE_S;
    so are all but one when a device is taken over. What the kernel sends again then waits in the driver behind the
    first copy of itself, as overlapping requests do.
  * A device that somebody has detached by other means (nbd-client -d) is not attached again; `trouble` says so.
  * At the end, a device that nobody uses is detached. One that is in use stays, so that a restart of nsu is a pause and
    not the loss of a mounted disk: it is let go at its first quiet moment, and requests wait for the successor for
    `dead_timeout_s`. `forced` takes it away whatever happens above it.
  * A disk that grows is grown in place. The kernel takes changed flags only from a new attachment; until then what is
    not possible any more is refused request by request.
  * This process never opens the device: it would wait for itself.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from hostside.frontends.base import Driver
from hostside.frontends.device_users import users_of
from hostside.frontends.nbd_client import Client
from hostside.frontends.nbd_clients import NbdClients
from hostside.frontends.nbd_device import Attachment, NbdDevices
from hostside.frontends.nbd_protocol.connection import Connection, Phase
from hostside.frontends.nbd_protocol.handshake_layout import CLIENT_FLAGS, OPTION
from hostside.frontends.nbd_protocol.numbers import HandshakeFlag, Option, TransmissionFlag
from ipc.loop import Loop, Timer

SOCKETS = 4
"""Of one device: each has a queue of requests of its own in the kernel."""
BLOCK_BYTES = 512
"""Never derived from the size: a disk whose logical blocks change with its size loses its partition table."""
TIMEOUT_S = 30
"""The kernel's own default. Also how long requests wait that were on the wire when this process died."""
QUEUE_S = 86_400
"""ON_NO_PATH = queue, in the kernel's words: wait for a day, the longest that ON_NO_PATH can say."""
DEAD_TIMEOUT_S_MIN = 30
"""A restart of this process must fit in."""
RESTORE_PAUSE_S = 0.1
ATTACH_ATTEMPTS = 3
DEV = Path("/dev")


class Kernel(Protocol):
    """The kernel's NBD client (nbd_device.NbdDevices is the real one)."""

    def find(self, identifier: str) -> int | None:
        """The device attached under `identifier`."""

    def connect(self, attachment: Attachment, sockets: Sequence[int]) -> int:
        """Attach a free device."""

    def is_heard(self, index: int, sockets: int) -> bool:
        """Whether all sockets of a fresh device are read."""

    def reconfigure(self, index: int, attachment: Attachment, sockets: Sequence[int] = ()) -> None:
        """New sockets and sizes for an attached device."""

    def disconnect(self, index: int) -> None:
        """Detach a device."""

    def close(self) -> None:
        """End the conversation."""


class NbdKernelFrontend(NbdClients):
    """Show the disk `name`, which `driver` carries, as /dev/nbdN, with a symbolic link to it at `at`.

    Args:
        loop: the process's event loop; everything happens in its callbacks.
        driver: the host driver below (its `on_room` is taken).
        at: path of the link to the device.
        name: of the disk, for messages.
        identifier: what tells this disk from every other on this machine, the same after a crash; by default made of
            `name` and `at`.
        sockets: how many; 1 to 64.
        block_bytes: the device's logical block size; must divide the disk's size.
        timeout_s: how long one request may take before the kernel sends it again on another socket.
        fail_after_s: ON_NO_PATH: how long requests wait while no process of ours serves; None: a day.
        kernel: the real one, if not given.

    Raises:
        FileExistsError: something that is no link to an NBD device is at `at`.
        OSError: with a sentence: ENODEV, the module nbd is not loaded; EPERM; what the kernel has against it.

    """

    def __init__(
        self,
        loop: Loop,
        driver: Driver,
        at: Path,
        name: str,
        *,
        identifier: str | None = None,
        sockets: int = SOCKETS,
        block_bytes: int = BLOCK_BYTES,
        timeout_s: int = TIMEOUT_S,
        fail_after_s: float | None = None,
        kernel: Kernel | None = None,
        users: Callable[[str], list[str]] = users_of,
    ) -> None:
        super().__init__(loop, driver, name)
        _check_link(at)
        self.at = at
        self.forced = False
        """Detach at the end even what is in use; whoever uses it gets EIO."""
        self.trouble = ""
        """Why the device is not attached, in words; empty: it is."""
        self._identifier = identifier or f"nsu: {name} at {at}"
        self._block_bytes = block_bytes
        self._timeout_s = timeout_s
        self._dead_timeout_s = _dead_timeout_s(fail_after_s)
        self._kernel = kernel or NbdDevices()
        self._users = users
        self._ending = False
        self._awaiting_quiet = False
        self._restore_timer: Timer | None = None
        self._unit = driver.unit
        can_multi = self.describe().flags & TransmissionFlag.CAN_MULTI_CONN
        self._wanted = sockets if can_multi else 1
        self.index = self._attach()
        """N of /dev/nbdN."""
        _make_link(at, self.device)
        loop.after_each(self._look)

    @property
    def device(self) -> Path:
        """/dev/nbdN."""
        return DEV / f"nbd{self.index}"

    def users(self) -> list[str]:
        """Name who uses the device, in words: mounts, swap, stacked devices, processes. Takes milliseconds."""
        return self._users(self.device.name)

    # -- attaching -----------------------------------------------------------------------------------------------

    def _attachment(self) -> Attachment:
        export = self.describe()
        return Attachment(
            size_bytes=export.size_bytes,
            block_bytes=self._block_bytes,
            flags=int(export.flags),
            timeout_s=self._timeout_s,
            dead_timeout_s=self._dead_timeout_s,
            identifier=self._identifier,
        )

    def _attach(self) -> int:
        """Take over our predecessor's device, or attach a free one; its number."""
        index = self._kernel.find(self._identifier)
        if index is None:
            return self._attach_anew()
        with self._socket_pairs(1) as theirs:
            self._kernel.reconfigure(index, self._attachment(), theirs)
        self._restore_soon()
        return index

    def _attach_anew(self) -> int:
        """Attach a free device; again, if the kernel does not read all its sockets (see nbd_device.py)."""
        for attempt in range(1, ATTACH_ATTEMPTS + 1):
            with self._socket_pairs(self._wanted) as theirs:
                index = self._kernel.connect(self._attachment(), theirs)
            if self._kernel.is_heard(index, self._wanted):
                break
            if attempt < ATTACH_ATTEMPTS:
                self._kernel.disconnect(index)
                self.hang_up_all()
        return index

    @contextlib.contextmanager
    def _socket_pairs(self, count: int) -> Iterator[list[int]]:
        """Give descriptors for the kernel, whose other ends are served if the kernel takes them.

        An end that the kernel had no use for is closed when the last copy of ours is: the client then hangs up.
        """
        pairs = [socket.socketpair() for _ in range(count)]
        try:
            yield [theirs.fileno() for _, theirs in pairs]
            for ours, _ in pairs:
                self.take(ours, self._make_open_connection)
        except BaseException:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, theirs in pairs:
                theirs.close()

    def _make_open_connection(self, wake: Callable[[], None]) -> Connection:
        connection = self.make_connection(wake)
        pass_handshake(connection)
        return connection

    # -- staying attached ----------------------------------------------------------------------------------------

    def on_hang_up(self, client: Client) -> None:
        """The kernel has let a socket go, or never took it: give it another, in a while."""
        del client
        self._restore_soon()

    def _restore_soon(self) -> None:
        missing = self.client_count < self._wanted
        if missing and not self._ending and not self.trouble and self._restore_timer is None:
            self._restore_timer = self._loop.call_later(RESTORE_PAUSE_S, self._restore)

    def _restore(self) -> None:
        """One at a time, because the kernel has to make a thread for each."""
        self._restore_timer = None
        if self._ending or self.client_count >= self._wanted:
            return
        if self._kernel.find(self._identifier) != self.index:
            self._tell(f"{self.device} was detached by somebody else; attach it again with «nsu attach {self.name}»")
            return
        self._reconfigure(1)
        self._restore_soon()

    def _reconfigure(self, sockets: int) -> None:
        try:
            with self._socket_pairs(sockets) as theirs:
                self._kernel.reconfigure(self.index, self._attachment(), theirs)
        except OSError as error:
            self._tell(error.strerror or str(error))

    def _tell(self, trouble: str) -> None:
        self.trouble = trouble
        print(f"disk {self.name}: {trouble}", file=sys.stderr)

    def _look(self) -> None:
        """At the end of each turn: has the disk changed, is it quiet?"""
        unit = self._driver.unit
        if unit is not self._unit:
            resized = unit.blocks != self._unit.blocks
            self._unit = unit
            if resized and unit.blocks and not self._ending and not self.trouble:
                self._reconfigure(0)
        if self._awaiting_quiet and self._is_quiet():
            self._awaiting_quiet = False
            self._loop.call_later(0, self._leave_if_quiet)

    # -- ending --------------------------------------------------------------------------------------------------

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float = 5.0) -> None:
        """See base.Frontend, and the rules above: detach what nobody uses, leave the rest at a quiet moment."""
        self._ending = True
        users = [] if self.forced else self.users()
        self._on_drained = on_drained
        self._drain_timer = self._loop.call_later(timeout_s, self._leave)
        if users:
            print(f"disk {self.name}: {self.device} stays for the next nsu: {', '.join(users)}", file=sys.stderr)
            self._awaiting_quiet = True
        else:
            self._detach()
            self._leave()

    def _detach(self) -> None:
        """Have the kernel let go. With `forced` our ends go first: the kernel may be waiting for room in one."""
        if self.forced:
            self.hang_up_all()
        with contextlib.suppress(OSError):  # it is detached already
            if self._kernel.find(self._identifier) == self.index:
                self._kernel.disconnect(self.index)
        _remove_link(self.at, self.device)

    def _is_quiet(self) -> bool:
        return all(_is_quiet(client.connection) for client in self._clients)

    def _leave_if_quiet(self) -> None:
        """A turn takes what has come before it calls timers: so nothing is left unread in a socket now."""
        self._awaiting_quiet = not self._is_quiet()
        if not self._awaiting_quiet:
            self._leave()

    def _leave(self) -> None:
        self._awaiting_quiet = False
        self.hang_up_all()
        self._note_drained()

    def close(self) -> None:
        """Let the kernel's sockets go; the device stays unless `drain` has detached it. Harmless twice."""
        self._ending = True
        if self._restore_timer is not None:
            self._restore_timer.cancel()
        super().close()
        self._kernel.close()


def pass_handshake(connection: Connection) -> None:
    """Bring a fresh connection into the transmission phase: the client's half is said here, our half is dropped.

    NBD_OPT_EXPORT_NAME with the empty name and without structured replies, which the kernel has not.
    """
    ours = HandshakeFlag.FIXED_NEWSTYLE | HandshakeFlag.NO_ZEROES
    said = CLIENT_FLAGS.build({"flags": int(ours)})
    said += OPTION.build({"option": int(Option.EXPORT_NAME), "length_bytes": 0})
    connection.targets()[0][: len(said)] = said
    connection.received(len(said))
    connection.outbox.sent(connection.outbox.unsent_bytes)
    assert connection.phase is Phase.TRANSMISSION


def _is_quiet(connection: Connection) -> bool:
    return connection.idle and not connection.outbox.unsent_bytes and not connection.stalled


def _dead_timeout_s(fail_after_s: float | None) -> int:
    return QUEUE_S if fail_after_s is None else max(DEAD_TIMEOUT_S_MIN, int(fail_after_s))


# -- the link ------------------------------------------------------------------------------------------------------


def _check_link(at: Path) -> None:
    """What is at `at` may only be a link of ours, or nothing."""
    if not os.path.lexists(at) or (at.is_symlink() and os.readlink(at).startswith(f"{DEV}/nbd")):
        return
    raise FileExistsError(17, f"{at} is no link to an NBD device and stays; name another place, or move it away")


def _make_link(at: Path, device: Path) -> None:
    """In one step, so that nobody sees it missing."""
    fresh = at.with_name(f".{at.name}.new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(device)
    fresh.replace(at)


def _remove_link(at: Path, device: Path) -> None:
    with contextlib.suppress(OSError):
        if os.readlink(at) == str(device):
            at.unlink()
