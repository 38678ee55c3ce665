"""ON_NO_PATH: requests wait for a server that is gone, or fail after the time that was said, and go on when it is back."""

import errno
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from hostside import open_disk
from tests.harness import Machine, World, conf_text, spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(90)]

FAIL_AFTER_S = 1.0


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


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_requests_wait_for_a_server_that_is_gone(stack: ExitStack) -> None:
    both = TwoMachines(stack)
    with open_disk(at=both.at) as disk:
        disk.pwrite(b"before".ljust(512), 0)
        both.world.machine.kill()
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
        both.world.machine.kill()
        began_s = time.monotonic()
        with pytest.raises(OSError, match="path") as failed:
            disk.pread(512, 0)
        assert failed.value.errno == errno.EIO
        assert FAIL_AFTER_S * 0.5 < time.monotonic() - began_s < FAIL_AFTER_S + 5
        both.world.machine.start()
        both.host.wait_paths(2)
        assert disk.pread(512, 0) == bytes(512)
