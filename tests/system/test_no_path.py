"""ON_NO_PATH: requests wait for a server that is gone, or fail after the time that was said; then all goes on."""

import errno
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack

import psutil
import pytest

from hostside import open_disk
from tests.harness import Machine, World, conf_text, spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

FAIL_AFTER_S = 1.0
MANY = 32
PIECE_BYTES = 128 << 10
"""Two constituents."""


class TwoMachines:
    """The server of `world` and a host on a machine of its own."""

    def __init__(self, stack: ExitStack, *lines: str) -> None:
        self.world: World = stack.enter_context(spawn_world(units={"unit_1": 8192}, paths=2, host_role=False))
        self.host = stack.enter_context(Machine())
        server = self.world.server
        server.lines = list(lines)
        server.disks[0].at = self.at = self.host.folder / "unit_1.sock"
        self.host.start(conf_text("host1", self.host.state, server))
        self.host.wait_paths(2)

    def freeze_server(self) -> None:
        """Let it answer nothing more, and take what its sockets take: requests stay where they are."""
        for pid in self.world.machine.processes():
            os.kill(pid, signal.SIGSTOP)

    def kill_server(self) -> None:
        """And wait until nobody of it is left who could still answer."""
        self.world.machine.kill()
        gone, alive = psutil.wait_procs(self.world.machine.seen.values(), timeout=10)
        assert gone
        assert not alive

    def restart_server(self) -> None:
        self.world.machine.start()
        self.host.wait_paths(2)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_requests_wait_for_a_server_that_is_gone(stack: ExitStack) -> None:
    both = TwoMachines(stack)
    with open_disk(at=both.at) as disk:
        disk.pwrite(b"before".ljust(512), 0)
        both.kill_server()
        back = threading.Timer(2.0, both.world.machine.start)
        back.start()
        began_s = time.monotonic()
        disk.pwrite(b"after".ljust(512), 512)
        assert time.monotonic() - began_s > 1.5
        back.join()
        assert disk.pread(1024, 0) == b"before".ljust(512) + b"after".ljust(512)


def test_requests_fail_after_the_time_that_was_said(stack: ExitStack) -> None:
    both = TwoMachines(stack, f"ON_NO_PATH = fail after {FAIL_AFTER_S:g} s")
    with open_disk(at=both.at) as disk:
        began_s = time.monotonic()
        both.kill_server()
        with pytest.raises(OSError, match="path") as failed:
            disk.pread(512, 0)
        assert failed.value.errno == errno.EIO
        assert FAIL_AFTER_S * 0.5 < time.monotonic() - began_s < FAIL_AFTER_S + 5
        both.restart_server()
        assert disk.pread(512, 0) == bytes(512)


def piece_of(letter: int) -> bytes:
    return bytes([letter]) * PIECE_BYTES


def test_requests_in_flight_fail_too_and_what_is_written_later_stays(stack: ExitStack) -> None:
    """Half of the places are written twice: the second write to each waits for the first, and is never sent."""
    threads = stack.enter_context(ThreadPoolExecutor(MANY))  # first, so that it ends last: a write may hang
    both = TwoMachines(stack, f"ON_NO_PATH = fail after {FAIL_AFTER_S:g} s")
    disks = [stack.enter_context(open_disk(at=both.at)) for _ in range(MANY)]
    offsets = [number % (MANY // 2) * PIECE_BYTES for number in range(MANY)]

    def write_all(letter: int) -> list[Future[None]]:
        return [
            threads.submit(disk.pwrite, piece_of(letter), offset) for disk, offset in zip(disks, offsets, strict=True)
        ]

    both.freeze_server()
    writes = write_all(ord("a"))
    time.sleep(0.3)  # all are on their way: on the wires, with the agents, and waiting for each other
    began_s = time.monotonic()
    both.kill_server()
    errors = [write.exception(timeout=20) for write in writes]
    assert FAIL_AFTER_S * 0.5 < time.monotonic() - began_s < FAIL_AFTER_S + 5
    assert {error.errno for error in errors if isinstance(error, OSError)} == {errno.EIO}
    assert all("no path to the server" in str(error) for error in errors)

    both.restart_server()
    for write in write_all(ord("b")):
        write.result(timeout=20)
    assert disks[0].pread(MANY // 2 * PIECE_BYTES, 0) == piece_of(ord("b")) * (MANY // 2)
