"""The kernel front-end: the disk as /dev/nbdN, attached by this process itself, with a link to it where users look.

The kernel is a client like any other, only that it is handed its sockets: one end of each pair, past the handshake.

Rules
  * As many sockets as asked for, if the export can CAN_MULTI_CONN; otherwise one, for the kernel refuses more.
  * A device outlives this process. Its name for us, the `identifier`, is kept by the kernel: a successor finds it and
    gives it new sockets, and file systems on it only notice a pause. The supervisor starts the successor when nothing
    of the predecessor can be applied any more, so that it is safe to send again what was on the way.
  * A socket that the kernel has given up (a request took longer than `timeout_s`) is replaced after a rest; so are all
    but one when a device is taken over. What the kernel sends again then waits in the driver behind the first copy of
    itself, as overlapping requests do; a first copy that we had not read is dropped with its socket (nbd_client.py).
  * A device that somebody has detached by other means (nbd-client -d) is lost, and not attached again; `trouble` says
    so. While it is in use the kernel keeps its name, and takes no sockets.
  * At the end, a device that nobody uses is detached. One that is in use stays, so that a restart of nsu is a pause and
    not the loss of a mounted disk: it is let go at its first quiet moment, and requests wait for the successor for
    `dead_timeout_s`. `forced` takes it away whatever happens above it, and marks it: it is never taken over again.
  * A disk that grows is grown in place. The kernel takes changed flags only from a new attachment; until then what is
    not possible any more is refused request by request.
  * Once requests may be on the way, this process gives the kernel no order itself (nbd_orders.py says why), and it
    never opens the device: it would wait for itself. So `drain` ends in time whatever the kernel does.
"""

import contextlib
import errno
import random
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from hostside.frontends.base import Driver
from hostside.frontends.device_users import OPENED, users_of
from hostside.frontends.nbd_client import Client
from hostside.frontends.nbd_clients import NbdClients
from hostside.frontends.nbd_device import Attachment, NbdDevices
from hostside.frontends.nbd_link import DeviceLink, device
from hostside.frontends.nbd_orders import Order, Orders
from hostside.frontends.nbd_protocol.connection import Connection, Phase
from hostside.frontends.nbd_protocol.handshake_layout import CLIENT_FLAGS, OPTION
from hostside.frontends.nbd_protocol.numbers import HandshakeFlag, Option, TransmissionFlag
from ipc.backoff import Backoff
from ipc.loop import Loop, Timer

SOCKETS = 4
"""Of one device: each has a queue of requests of its own in the kernel."""
BLOCK_BYTES = 512
"""Never derived from the size: a disk whose logical blocks change with its size loses its partition table."""
TIMEOUT_S = 30
"""The kernel's own default. Also how long requests wait that were on the wire when this process died."""
LEAVING_TIMEOUT_S = 3
"""The same from the moment when this process begins to leave a device that is in use. What the kernel has still sent to
it then waits for the successor hardly longer than the successor takes."""
QUEUE_S = 86_400
"""ON_NO_PATH = queue, in the kernel's words: wait for a day, the longest that ON_NO_PATH can say."""
DEAD_TIMEOUT_S_MIN = 30
"""A restart of this process must fit in."""
RESTORE_REST_S = (0.1, 5.0)
"""Before a socket is replaced: at first, and when the kernel goes on letting them go."""
ATTACH_ATTEMPTS = 3
LOOK_AGAIN_S = 0.1
PASSING_USERS_S = 1.0
"""How long a process that has the device open may take to close it: udev looks at a device after each change."""
HANG_UP_AFTER_S = 1.0
"""How long a forced detach lets the kernel say goodbye on its sockets, before it closes those it may be waiting at."""


class Kernel(Protocol):
    """What is asked of the kernel's NBD client before requests may be on the way (NbdDevices is the real one)."""

    def attached(self, identifier: str) -> list[int]:
        """The devices attached under `identifier`."""

    def identifier(self, index: int) -> str | None:
        """What a device is attached under."""

    def size_bytes(self, index: int) -> int:
        """The size that users see."""

    def connect(self, attachment: Attachment, sockets: Sequence[int]) -> int:
        """Attach a free device."""

    def is_heard(self, index: int, sockets: int) -> bool:
        """Whether all sockets of a fresh device are read."""

    def reconfigure(self, index: int, attachment: Attachment, sockets: Sequence[int] = ()) -> None:
        """New sockets and time limits for an attached device."""

    def disconnect(self, index: int) -> None:
        """Detach a device."""

    def close(self) -> None:
        """End the conversation."""


class OrderBook(Protocol):
    """Where orders go from then on (Orders is the real one)."""

    def add(self, order: Order) -> None:
        """Have it given."""

    def drop_waiting(self) -> None:
        """Take back what has not begun."""

    def close(self) -> None:
        """Listen no more."""


class NbdKernelFrontend(NbdClients):
    """Show the disk `name`, which `driver` carries, as /dev/nbdN, with a symbolic link to it at `at`.

    Args:
        loop: the process's event loop; everything happens in its callbacks.
        driver: the host driver below (its `on_room` is taken).
        at: path of the link to the device.
        name: of the disk, for messages.
        identifier: what tells this disk from every other on this machine, and is the same after a restart.
        sockets: how many; 1 to 64.
        block_bytes: the device's logical block size; must divide the disk's size.
        timeout_s: how long one request may take before the kernel sends it again on another socket.
        fail_after_s: ON_NO_PATH: how long requests wait while no process of ours serves; None: a day.
        kernel, orders: the real ones, if not given.
        users: who uses a device.

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
        identifier: str,
        sockets: int = SOCKETS,
        block_bytes: int = BLOCK_BYTES,
        timeout_s: int = TIMEOUT_S,
        fail_after_s: float | None = None,
        kernel: Kernel | None = None,
        orders: OrderBook | None = None,
        users: Callable[[str], list[str]] = users_of,
    ) -> None:
        super().__init__(loop, driver, name)
        self.trouble = ""
        """What keeps the device from being as it should, in words; empty: nothing."""
        self._link = DeviceLink(at)
        self._identifier = identifier
        self._block_bytes = block_bytes
        self._timeout_s = timeout_s
        self._dead_timeout_s = _dead_timeout_s(fail_after_s)
        self._kernel = kernel or NbdDevices()
        self._orders = orders or Orders(loop)
        self._users = users
        self._is_lost = False
        self._ending = False
        self._forced = False
        self._detaching = False
        self._awaiting_quiet = False
        self._then: Callable[[], None] | None = None
        """Called when all is over."""
        self._rests = Backoff(*RESTORE_REST_S, random=random.random)
        self._restored_s = 0.0
        self._restore_timer: Timer | None = None
        self._hang_up_timer: Timer | None = None
        can_multi = self.describe().flags & TransmissionFlag.CAN_MULTI_CONN
        self._wanted = sockets if can_multi else 1
        self.index = self._attach()
        """N of /dev/nbdN."""
        self._told_bytes = self._kernel.size_bytes(self.index)
        self._link.point(self.index)
        loop.after_each(self._look)

    @property
    def device(self) -> Path:
        """/dev/nbdN."""
        return device(self.index)

    @property
    def client_count(self) -> int:
        """See base.Frontend: users of the device. The kernel, by its sockets, is always a client."""
        return len(self.users())

    def users(self) -> list[str]:
        """Name who uses the device, in words: mounts, swap, stacked devices, processes. Takes milliseconds."""
        return self._users(self.device.name) if self._is_ours else []

    def notices(self) -> list[str]:
        """See base.Frontend."""
        return [self.trouble] if self.trouble else []

    @property
    def _is_ours(self) -> bool:
        """It is attached, and not by somebody else since."""
        return not self._is_lost and self._kernel.identifier(self.index) == self._identifier

    @property
    def _held(self) -> int:
        """How many sockets the kernel has of us."""
        return sum(client.is_open for client in self._clients)

    # -- attaching -----------------------------------------------------------------------------------------------

    def _attachment(self, *, leaving: bool = False) -> Attachment:
        export = self.describe()
        return Attachment(
            size_bytes=export.size_bytes,
            block_bytes=self._block_bytes,
            flags=int(export.flags),
            timeout_s=min(self._timeout_s, LEAVING_TIMEOUT_S) if leaving else self._timeout_s,
            dead_timeout_s=self._dead_timeout_s,
            identifier=self._identifier,
        )

    def _attach(self) -> int:
        """Take over our predecessor's device, or attach a free one; its number."""
        attached = self._kernel.attached(self._identifier)
        marked = self._link.marked(attached)
        for index in (index for index in attached if index not in marked):
            if self._take_over(index):
                return index
        self._link.remove()  # from before a boot, it may lead to another disk by now
        return self._attach_anew()

    def _take_over(self, index: int) -> bool:
        """Give our predecessor's device a socket; False: it was detached, and the kernel takes none."""
        try:
            with self._socket_pairs(1) as theirs:
                self._kernel.reconfigure(index, self._attachment(), theirs)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            self._link.mark(index)
            return False
        self._restore_soon()
        return True

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
        if self._held >= self._wanted or self._ending or self._is_lost or self._restore_timer is not None:
            return
        if self._loop.now() - self._restored_s > RESTORE_REST_S[1]:
            self._rests.reset()
        self._restore_timer = self._loop.call_later(self._rests.next(), self._restore)

    def _restore(self) -> None:
        """Have one socket replaced: one at a time, because the kernel has to make a thread for each."""
        self._restore_timer = None
        if self._ending or self._held >= self._wanted:
            return
        if not self._is_ours:
            self._lose()
            return
        self._restored_s = self._loop.now()
        index, attachment = self.index, self._attachment()
        ours, theirs = socket.socketpair()
        fd = theirs.fileno()

        def given(error: OSError | None) -> None:
            theirs.close()
            if error is None and not self._ending:
                self.take(ours, self._make_open_connection)
            else:
                ours.close()
            self._note(error)
            self._restore_soon()

        what = f"take a socket for {self.device.name}"
        self._orders.add(Order(what, lambda kernel: kernel.reconfigure(index, attachment, [fd]), given, keep=[fd]))

    def _resize(self) -> None:
        self._told_bytes = self._unit_bytes
        index, attachment = self.index, self._attachment()
        self._orders.add(
            Order(f"resize {self.device.name}", lambda kernel: kernel.resize(index, attachment), self._note)
        )

    def _note(self, error: OSError | None) -> None:
        """Take note of what became of an order."""
        if error is None:
            self.trouble = ""
        elif self._ending:
            return
        elif error.errno == errno.EINVAL:
            self._lose()
        else:
            self._tell(error.strerror or str(error))

    def _lose(self) -> None:
        """Somebody else has detached the device: it is not ours any more, and its number may be another's soon."""
        self._is_lost = True
        self._link.mark(self.index)
        self._link.remove(self.index)
        self._tell(f"{self.device} was detached by somebody else; to have it back, detach and attach the disk here")

    def _tell(self, trouble: str) -> None:
        if trouble != self.trouble:
            print(f"disk {self.name}: {trouble}", file=sys.stderr)
        self.trouble = trouble

    @property
    def _unit_bytes(self) -> int:
        return self._driver.unit.size_bytes

    def _look(self) -> None:
        """At the end of each turn: has the disk another size, is it quiet?"""
        if self._unit_bytes not in (0, self._told_bytes) and not self._ending and not self._is_lost:
            self._resize()
        if self._awaiting_quiet and self._is_quiet():
            self._awaiting_quiet = False
            self._loop.call_later(0, self._leave_if_quiet)

    # -- ending --------------------------------------------------------------------------------------------------

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float = 5.0, forced: bool = False) -> None:
        """See base.Frontend, and the rules above: detach what nobody uses, leave the rest at a quiet moment."""
        self._ending = True
        self._forced = forced
        self._then = on_drained
        self._drain_timer = self._loop.call_later(timeout_s, self._leave_in_time)
        self._orders.drop_waiting()
        self._part(self._loop.now() + PASSING_USERS_S)

    def _part(self, until_s: float) -> None:
        """Detach, or leave it to its users; who has it but open is given until `until_s`."""
        if self._then is None:
            return  # the time is up
        users = [] if self._forced else self.users()
        if users and all(user.startswith(OPENED) for user in users) and self._loop.now() < until_s:
            self._loop.call_later(LOOK_AGAIN_S, lambda: self._part(until_s))
        elif users:
            print(f"disk {self.name}: {self.device} stays for the next nsu: {', '.join(users)}", file=sys.stderr)
            index, attachment = self.index, self._attachment(leaving=True)
            what = f"shorten the time limit of {self.device.name}"
            self._orders.add(Order(what, lambda kernel: kernel.reconfigure(index, attachment), self._shortened))
        else:
            self._detach()

    def _shortened(self, error: OSError | None) -> None:
        del error  # then those who have asked meanwhile wait longer
        self._awaiting_quiet = True

    def _detach(self) -> None:
        """Have the kernel let go, while what it says meanwhile is still answered."""
        if self._forced and self._is_ours:
            self._link.mark(self.index)
        self._link.remove(self.index)
        if not self._is_ours:
            self._loop.call_later(0, lambda: self._detached(None))
            return
        index = self.index
        self._detaching = True
        self._orders.add(Order(f"detach {self.device.name}", lambda kernel: kernel.disconnect(index), self._detached))
        if self._forced:
            self._hang_up_timer = self._loop.call_later(HANG_UP_AFTER_S, self.hang_up_all)

    def _detached(self, error: OSError | None) -> None:
        if error is not None:
            print(f"disk {self.name}: {error.strerror}", file=sys.stderr)
        self._link.marked(self._kernel.attached(self._identifier))
        self._leave()

    def _is_quiet(self) -> bool:
        return all(_is_quiet(client.connection) for client in self._clients)

    def _leave_if_quiet(self) -> None:
        """A turn takes what has come before it calls timers: so nothing is left unread in a socket now."""
        self._awaiting_quiet = not self._is_quiet()
        if not self._awaiting_quiet:
            self._leave()

    def _leave_in_time(self) -> None:
        if self._detaching:
            why = f"the kernel has not let {self.device} go in time; what it waits for is in its log (dmesg)"
            print(f"disk {self.name}: {why}", file=sys.stderr)
        self._leave()

    def _leave(self) -> None:
        self._awaiting_quiet = False
        self.hang_up_all()
        self._on_drained, self._then = self._then, None
        self._note_drained()

    def close(self) -> None:
        """Let the kernel's sockets go; the device stays unless `drain` has detached it. Harmless twice."""
        self._ending = True
        self._then = None
        for timer in (self._restore_timer, self._hang_up_timer):
            if timer is not None:
                timer.cancel()
        super().close()
        self._orders.close()
        self._kernel.close()


def detach_dead(identifier: str, at: Path) -> None:
    """Detach what a killed process has left attached under `identifier`, for good, and remove the link to it.

    Raises:
        OSError: ENODEV, EPERM: see NbdDevices; FileExistsError: see DeviceLink.

    """
    link = DeviceLink(at)
    kernel = NbdDevices()
    try:
        for index in kernel.attached(identifier):
            link.mark(index)
            link.remove(index)
            kernel.disconnect(index)
        link.marked(kernel.attached(identifier))
    finally:
        kernel.close()


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
