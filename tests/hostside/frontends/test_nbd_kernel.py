"""The kernel front-end before a stand-in kernel: every socket serves, lost ones are replaced, what is in use stays.

The real kernel is in tests/system/test_kernel_client.py.
"""

import contextlib
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends.nbd_device import Attachment
from hostside.frontends.nbd_kernel import QUEUE_S, NbdKernelFrontend
from hostside.frontends.nbd_protocol.numbers import REQUEST_MAGIC, SIMPLE_REPLY_MAGIC, TransmissionFlag
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import ALL, MemoryDriver, memory_driver, unit_of

READ, WRITE, DISC = 0, 1, 2
REQUEST = struct.Struct(">IHHQQI")
REPLY = struct.Struct(">IIQ")
SIZE_BYTES = 1 << 20
DEADLINE_S = 5.0


class StandIn:
    """What the kernel's NBD client does, as far as the front-end can tell: places for sockets, and a name."""

    def __init__(self) -> None:
        self.places: list[socket.socket | None] = []
        self.attachment: Attachment | None = None
        self.closed = False
        self.connects = 0
        self.reconfigures = 0
        self.deaf_attempts = 0

    def find(self, identifier: str) -> int | None:
        return 5 if self.attachment is not None and self.attachment.identifier == identifier else None

    def connect(self, attachment: Attachment, sockets: Sequence[int]) -> int:
        self.attachment = attachment
        self.connects += 1
        self.places = [socket.socket(fileno=os.dup(fd)) for fd in sockets]
        return 5

    def reconfigure(self, index: int, attachment: Attachment, sockets: Sequence[int] = ()) -> None:
        assert index == 5
        self.attachment = attachment
        self.reconfigures += 1
        free = [place for place, held in enumerate(self.places) if held is None]
        for place, fd in zip(free, sockets, strict=False):  # without a place for it a socket is dropped
            self.places[place] = socket.socket(fileno=os.dup(fd))

    def is_heard(self, index: int, sockets: int) -> bool:
        assert (index, sockets) == (5, len(self.places))
        self.deaf_attempts -= 1
        return self.deaf_attempts < 0

    def disconnect(self, index: int) -> None:
        assert index == 5
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


class Rig:
    def __init__(self, at: Path, flags: UnitFlag = ALL, **arguments: object) -> None:
        self.loop = Loop()
        self.kernel = StandIn()
        self.at = at
        self.driver = memory_driver(self.loop, unit_of(SIZE_BYTES, flags=flags))
        self.users: list[str] = []
        self.frontend = self.open(self.driver, **arguments)

    def open(self, driver: MemoryDriver, **arguments: object) -> NbdKernelFrontend:
        more: dict[str, object] = {"kernel": self.kernel, "users": lambda _: self.users, **arguments}
        return NbdKernelFrontend(self.loop, driver, self.at, "unit_1", **more)  # type: ignore[arg-type]

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
    rig.run_until(lambda: rig.kernel.reconfigures == 2)  # the kernel has not noticed yet: no place is free
    rig.kernel.places[0] = None
    rig.run_until(lambda: rig.kernel.places[0] is not None)
    assert rig.read(rig.kernel.sockets[0], 0) == bytes(512)


def test_a_successor_takes_the_device_over(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.let_go()
    successor = rig.open(rig.driver)
    assert successor.index == 5
    assert rig.kernel.connects == 1
    rig.run_until(lambda: None not in rig.kernel.places)
    assert rig.read(rig.kernel.sockets[3], 0) == bytes(512)
    successor.close()


def test_a_device_whose_sockets_are_not_all_read_is_attached_again(rig: Rig) -> None:
    rig.frontend.close()
    rig.kernel.disconnect(5)
    rig.kernel.connects, rig.kernel.deaf_attempts = 0, 1
    again = rig.open(rig.driver)
    assert rig.kernel.connects == 2
    assert again.client_count == 4
    assert rig.read(rig.kernel.sockets[3], 0) == bytes(512)
    again.close()


def test_a_device_detached_by_somebody_else_stays_detached(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    rig.kernel.disconnect(5)
    rig.run_until(lambda: bool(rig.frontend.trouble))
    assert "detached by somebody else" in capfd.readouterr().err
    assert rig.kernel.connects == 1


def test_growth_is_told(rig: Rig) -> None:
    rig.driver.unit = unit_of(2 * SIZE_BYTES)
    rig.run_until(lambda: rig.kernel.attachment is not None and rig.kernel.attachment.size_bytes == 2 * SIZE_BYTES)
    assert len(rig.kernel.sockets) == 4


def test_what_nobody_uses_is_detached_at_the_end(rig: Rig) -> None:
    drained: list[bool] = []
    rig.loop.call_later(0, lambda: rig.frontend.drain(lambda: drained.append(True)))
    rig.run_until(lambda: bool(drained))
    assert rig.kernel.attachment is None
    assert not os.path.lexists(rig.at)
    assert rig.frontend.client_count == 0


def test_what_is_in_use_stays_and_leaves_when_all_is_answered(rig: Rig) -> None:
    rig.users = ["mounted at /srv"]
    rig.driver.faults.delay_s = 0.1
    rig.kernel.sockets[0].send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, 0, 512))
    drained: list[bool] = []
    rig.loop.call_later(0, lambda: rig.frontend.drain(lambda: drained.append(True)))
    rig.run_until(lambda: bool(drained))
    assert len(rig.kernel.sockets[0].recv(4096)) == REPLY.size + 512
    assert rig.kernel.sockets[0].recv(1) == b""
    assert rig.kernel.attachment is not None
    assert os.readlink(rig.at) == "/dev/nbd5"


def test_forced_takes_even_what_is_in_use_and_waits_for_nobody(rig: Rig) -> None:
    rig.users = ["mounted at /srv"]
    rig.driver.faults.delay_s = 60.0
    rig.kernel.sockets[0].send(REQUEST.pack(REQUEST_MAGIC, 0, READ, 7, 0, 512))
    rig.run_until(lambda: bool(rig.driver.in_flight))
    rig.frontend.forced = True
    drained: list[bool] = []
    rig.loop.call_later(0, lambda: rig.frontend.drain(lambda: drained.append(True)))
    rig.run_until(lambda: bool(drained))
    assert rig.kernel.attachment is None
    rig.driver.finish_all()
    assert rig.driver.made == rig.driver.released


def test_a_file_at_the_link_s_place_stays(tmp_path: Path) -> None:
    (tmp_path / "unit_1").write_text("precious")
    with pytest.raises(FileExistsError, match="no link to an NBD device"):
        Rig(tmp_path / "unit_1")
    assert (tmp_path / "unit_1").read_text() == "precious"
