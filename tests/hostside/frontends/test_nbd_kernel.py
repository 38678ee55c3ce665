"""The kernel front-end before a stand-in kernel: every socket serves, lost ones are replaced, what is in use stays.

The real kernel is in tests/system/test_kernel_client.py.
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends.nbd_device import Attachment
from hostside.frontends.nbd_kernel import LEAVING_TIMEOUT_S, QUEUE_S, NbdKernelFrontend
from hostside.frontends.nbd_orders import Order
from hostside.frontends.nbd_protocol.numbers import REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, TransmissionFlag
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import ALL, MemoryDriver, memory_driver, unit_of

READ, WRITE, DISC = 0, 1, 2
IDENTIFIER = "nsu: unit_1 of box1"
REQUEST = struct.Struct(">IHHQQI")
REPLY = struct.Struct(">IIQ")
SIZE_BYTES = 1 << 20
DEADLINE_S = 5.0


class StandIn:
    """What the kernel's NBD client does, as far as the front-end can tell: places for sockets, a name, a size."""

    def __init__(self) -> None:
        self.places: list[socket.socket | None] = []
        self.attachment: Attachment | None = None
        self.shown_bytes = 0
        self.index = 5
        self.still_used: list[int] = []
        """Devices that were detached from under their users."""
        self.closed = False
        self.connects = 0
        self.gifts = 0
        self.deaf_attempts = 0
        self.refusal: OSError | None = None
        self.is_shut = False
        """Detached by somebody, and kept for those who have it mounted."""

    def attached(self, identifier: str) -> list[int]:
        is_attached = self.attachment is not None and self.attachment.identifier == identifier
        return [*self.still_used, *([self.index] if is_attached else [])]

    def identifier(self, index: int) -> str | None:
        return None if self.attachment is None or index != self.index else self.attachment.identifier

    def size_bytes(self, index: int) -> int:
        assert index == self.index
        return self.shown_bytes

    def connect(self, attachment: Attachment, sockets: Sequence[int]) -> int:
        if self.refusal is not None:
            raise self.refusal
        self.attachment = attachment
        self.shown_bytes = attachment.size_bytes
        self.connects += 1
        self.index += self.index in self.still_used
        self.places = [socket.socket(fileno=os.dup(fd)) for fd in sockets]
        return self.index

    def reconfigure(self, index: int, attachment: Attachment, sockets: Sequence[int] = ()) -> None:
        if self.is_shut or index in self.still_used:
            raise OSError(errno.EINVAL, "not configured, cannot reconfigure")
        assert index == self.index
        self.attachment = attachment
        self.gifts += len(sockets)
        free = [place for place, held in enumerate(self.places) if held is None]
        for place, fd in zip(free, sockets, strict=False):  # without a place for it a socket is dropped
            self.places[place] = socket.socket(fileno=os.dup(fd))

    def resize(self, index: int, attachment: Attachment) -> None:
        assert index == self.index
        self.shown_bytes = attachment.size_bytes

    def is_heard(self, index: int, sockets: int) -> bool:
        assert (index, sockets) == (self.index, len(self.places))
        self.deaf_attempts -= 1
        return self.deaf_attempts < 0

    def disconnect(self, index: int) -> None:
        assert index == self.index
        self.attachment = None
        for held in self.places:
            if held is not None:
                with contextlib.suppress(BrokenPipeError):
                    held.send(REQUEST.pack(REQUEST_MAGIC, 0, DISC, 0, 0, 0))
        self.let_go()

    def close(self) -> None:
        self.closed = True

    # -- for the tests

    def let_go(self, *places: int) -> None:
        """The sockets at `places`, or all, are dead."""
        for place in places or range(len(self.places)):
            held = self.places[place]
            if held is not None:
                held.close()
            self.places[place] = None

    @property
    def sockets(self) -> list[socket.socket]:
        return [held for held in self.places if held is not None]


class StandInOrders:
    """Orders to the stand-in, each in a turn of its own; while `held`, the kernel does not come back from any."""

    def __init__(self, loop: Loop, kernel: StandIn) -> None:
        self.loop = loop
        self.kernel = kernel
        self.held = False
        self.waiting: list[Order] = []

    def add(self, order: Order) -> None:
        self.waiting.append(order)
        self.loop.call_later(0, self._carry_out)

    def _carry_out(self) -> None:
        if not self.held and self.waiting:
            order = self.waiting.pop(0)
            error = None
            try:
                order.give(self.kernel)  # type: ignore[arg-type]
            except OSError as refused:
                error = refused
            order.then(error)

    def drop_waiting(self) -> None:
        dropped, self.waiting = self.waiting, []
        for order in dropped:
            order.then(OSError(errno.ECANCELED, "dropped"))

    def close(self) -> None:
        self.drop_waiting()


class Rig:
    def __init__(self, at: Path, flags: UnitFlag = ALL, *, slots: int = 512, **arguments: object) -> None:
        self.loop = Loop()
        self.kernel = StandIn()
        self.orders = StandInOrders(self.loop, self.kernel)
        self.at = at
        self.driver = memory_driver(self.loop, unit_of(SIZE_BYTES, flags=flags), slots=slots)
        self.users: list[str] = []
        self.frontend = self.open(self.driver, **arguments)

    def open(self, driver: MemoryDriver, **arguments: object) -> NbdKernelFrontend:
        more: dict[str, object] = {"kernel": self.kernel, "orders": self.orders, "users": lambda _: self.users}
        more |= {"identifier": IDENTIFIER, **arguments}
        return NbdKernelFrontend(self.loop, driver, self.at, "unit_1", **more)  # type: ignore[arg-type]

    def drain(self, **arguments: object) -> None:
        """Drain to the end."""
        drained: list[bool] = []
        self.loop.call_later(0, lambda: self.frontend.drain(lambda: drained.append(True), **arguments))  # type: ignore[arg-type]
        self.run_until(lambda: bool(drained))

    def close(self) -> None:
        self.frontend.close()
        self.kernel.let_go()
        self.loop.close()

    def run_until(self, is_true: Callable[[], bool]) -> None:
        """Run the loop until it is so."""
        late = self.loop.call_later(DEADLINE_S, self.loop.stop)
        tick: list[Callable[[], None]] = []

        def look() -> None:
            if is_true():
                self.loop.stop()
            else:
                self.loop.call_later(0.005, tick[0])

        tick.append(look)
        self.loop.call_later(0, look)
        self.loop.run()
        late.cancel()
        assert is_true(), "it never came true"

    def read(self, held: socket.socket, offset_bytes: int) -> bytes:
        """Read 512 bytes, as the kernel does."""
        held.send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, offset_bytes, 512))
        held.setblocking(False)
        found = bytearray()

        def whole() -> bool:
            with contextlib.suppress(BlockingIOError):
                found.extend(held.recv(4096))
            return len(found) == REPLY.size + 512

        self.run_until(whole)
        assert REPLY.unpack_from(found) == (SIMPLE_REPLY_MAGIC, 0, 7)
        return bytes(found[REPLY.size :])


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path / "unit_1")
    yield rig
    rig.close()


def test_every_socket_serves_from_the_first_byte(rig: Rig) -> None:
    assert len(rig.kernel.sockets) == 4
    for held in rig.kernel.sockets:
        assert rig.read(held, 4096) == bytes(512)


def test_the_device_is_told_what_the_server_does(rig: Rig) -> None:
    told = rig.kernel.attachment
    assert told is not None
    flag = TransmissionFlag
    both = flag.SEND_FLUSH | flag.SEND_FUA | flag.SEND_TRIM | flag.SEND_WRITE_ZEROES | flag.CAN_MULTI_CONN
    assert (told.size_bytes, told.block_bytes, told.flags) == (SIZE_BYTES, 512, flag.HAS_FLAGS | both)
    assert (told.timeout_s, told.dead_timeout_s) == (30, QUEUE_S)
    assert os.readlink(rig.at) == "/dev/nbd5"


def test_without_flush_there_is_one_socket(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "unit_1", UnitFlag(0), fail_after_s=300.0)
    assert len(rig.kernel.sockets) == 1
    assert rig.kernel.attachment is not None
    assert rig.kernel.attachment.dead_timeout_s == 300
    rig.close()


def test_lost_sockets_are_replaced(rig: Rig) -> None:
    rig.kernel.let_go(1, 3)
    assert len(rig.kernel.sockets) == 2
    rig.run_until(lambda: None not in rig.kernel.places)
    for held in rig.kernel.sockets:
        assert rig.read(held, 512) == bytes(512)


def test_a_socket_that_finds_no_place_is_tried_again(rig: Rig) -> None:
    rig.kernel.sockets[0].close()
    rig.run_until(lambda: rig.kernel.gifts == 2)  # the kernel has not noticed yet: no place is free
    rig.kernel.places[0] = None
    rig.run_until(lambda: rig.kernel.places[0] is not None)
    assert rig.read(rig.kernel.sockets[0], 0) == bytes(512)


def test_what_is_not_read_when_the_kernel_gives_a_socket_up_is_never_done(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "unit_1", slots=1)
    first, second, third, fourth = rig.kernel.sockets
    rig.driver.faults.delay_s = 60.0
    first.send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, 0, 512))
    rig.run_until(lambda: bool(rig.driver.in_flight))
    second.send(REQUEST.pack(REQUEST_MAGIC, 0, WRITE, 8, 0, 512) + b"old" + bytes(509))
    rig.run_until(lambda: rig.driver._refused_room)  # it is read, and waits for room
    third.send(REQUEST.pack(REQUEST_MAGIC, 0, WRITE, 8, 0, 512) + b"old" + bytes(509))
    for socket_given_up in (second, third):
        socket_given_up.shutdown(socket.SHUT_RDWR)
    rig.driver.faults.delay_s = 0.0
    rig.driver.finish_all()
    assert rig.read(fourth, 0) == bytes(512)
    assert rig.driver.made == 2
    rig.close()


def test_a_successor_takes_the_device_over(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.let_go()
    successor = rig.open(rig.driver)
    assert successor.index == 5
    assert rig.kernel.connects == 1
    rig.run_until(lambda: None not in rig.kernel.places)
    assert rig.read(rig.kernel.sockets[3], 0) == bytes(512)
    successor.close()


def test_growth_while_nobody_served_is_told_by_the_successor_once_it_serves(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.let_go()
    rig.driver.unit = unit_of(2 * SIZE_BYTES)
    rig.orders.held = True
    successor = rig.open(rig.driver)
    assert rig.kernel.shown_bytes == SIZE_BYTES
    assert rig.read(rig.kernel.sockets[0], 0) == bytes(512)
    rig.orders.held = False
    rig.loop.call_later(0, rig.orders._carry_out)
    rig.run_until(lambda: rig.kernel.shown_bytes == 2 * SIZE_BYTES)
    successor.close()


def test_a_link_from_before_a_boot_is_gone_before_it_can_lead_to_another_disk(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.disconnect(5)
    rig.at.unlink()
    rig.at.symlink_to("/dev/nbd3")
    rig.kernel.refusal = OSError(errno.EINVAL, "no")
    with pytest.raises(OSError, match="no"):
        rig.open(rig.driver)
    assert not os.path.lexists(rig.at)


def test_a_device_whose_sockets_are_not_all_read_is_attached_again(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.disconnect(5)
    rig.kernel.connects, rig.kernel.deaf_attempts = 0, 1
    again = rig.open(rig.driver)
    assert rig.kernel.connects == 2
    assert rig.read(rig.kernel.sockets[3], 0) == bytes(512)
    again.close()


@pytest.mark.parametrize("in_use", [False, True])
def test_a_device_detached_by_somebody_else_stays_detached(
    rig: Rig, in_use: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.users = ["mounted at /srv, by whoever has it now"]
    told = rig.kernel.attachment
    rig.kernel.disconnect(5)
    if in_use:
        rig.kernel.attachment, rig.kernel.is_shut = told, True
    rig.run_until(lambda: bool(rig.frontend.notices()))
    assert "detached by somebody else" in capfd.readouterr().err
    assert rig.kernel.connects == 1
    assert rig.frontend.users() == []
    assert not os.path.lexists(rig.at)
    rig.kernel.attachment = None
    rig.drain()
    assert os.listdir(rig.at.parent) == []


def test_a_device_that_takes_no_sockets_any_more_is_not_taken_over(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.let_go()
    rig.kernel.still_used = [4]
    again = rig.open(rig.driver)
    assert again.index == 5
    assert rig.kernel.connects == 1
    again.close()
    rig.kernel.let_go()
    rig.kernel.attachment = None
    again = rig.open(rig.driver)
    assert again.index == 5
    assert rig.kernel.connects == 2
    again.close()


def test_growth_is_told(rig: Rig) -> None:
    rig.driver.unit = unit_of(2 * SIZE_BYTES)
    rig.run_until(lambda: rig.kernel.shown_bytes == 2 * SIZE_BYTES)
    assert len(rig.kernel.sockets) == 4


def test_what_nobody_uses_is_detached_at_the_end(rig: Rig) -> None:
    rig.drain()
    assert rig.kernel.attachment is None
    assert os.listdir(rig.at.parent) == []
    assert rig.kernel.sockets == []


def test_what_is_in_use_stays_and_leaves_when_all_is_answered(rig: Rig) -> None:
    rig.users = ["mounted at /srv"]
    rig.driver.faults.delay_s = 0.1
    rig.kernel.sockets[0].send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, 0, 512))
    rig.drain()
    assert len(rig.kernel.sockets[0].recv(4096)) == REPLY.size + 512
    assert rig.kernel.sockets[0].recv(1) == b""
    assert rig.kernel.attachment is not None
    assert rig.kernel.attachment.timeout_s == LEAVING_TIMEOUT_S
    assert os.readlink(rig.at) == "/dev/nbd5"
    rig.frontend.close()
    rig.open(rig.driver).close()
    assert rig.kernel.attachment.timeout_s == 30


def test_who_has_it_open_for_a_moment_does_not_keep_it(rig: Rig) -> None:
    rig.users = ["opened by process 7"]
    rig.loop.call_later(0.2, rig.users.clear)
    rig.drain()
    assert rig.kernel.attachment is None


def test_forced_takes_even_what_is_in_use_and_waits_for_nobody(rig: Rig) -> None:
    rig.users = ["mounted at /srv"]
    rig.driver.faults.delay_s = 60.0
    rig.kernel.sockets[0].send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, 0, 512))
    rig.run_until(lambda: bool(rig.driver.in_flight))
    rig.drain(forced=True)
    assert rig.kernel.attachment is None
    rig.driver.finish_all()
    assert rig.driver.made == rig.driver.released


def test_what_was_taken_from_under_its_users_is_not_taken_over(rig: Rig) -> None:
    rig.users = ["mounted at /srv"]
    rig.kernel.still_used = [5]  # the kernel keeps it, under its name, for those who have it mounted
    rig.drain(forced=True)
    rig.frontend.close()
    again = rig.open(rig.driver)
    assert again.index == 6
    assert os.readlink(rig.at) == "/dev/nbd6"
    again.close()
    rig.kernel.let_go()
    rig.kernel.still_used = []  # unmounted at last
    again = rig.open(rig.driver)
    assert again.index == 6
    assert os.listdir(rig.at.parent) == [rig.at.name]
    again.close()


@pytest.mark.parametrize("forced", [False, True])
def test_a_kernel_that_does_not_come_back_is_not_waited_for(
    rig: Rig, forced: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    rig.orders.held = True
    rig.drain(timeout_s=0.2, forced=forced)
    assert "has not let /dev/nbd5 go in time" in capfd.readouterr().err
    assert rig.kernel.sockets[0].recv(1) == b""


def test_a_file_at_the_link_s_place_stays(tmp_path: Path) -> None:
    (tmp_path / "unit_1").write_text("precious")
    with pytest.raises(FileExistsError, match="no link to an NBD device"):
        Rig(tmp_path / "unit_1")
    assert (tmp_path / "unit_1").read_text() == "precious"
