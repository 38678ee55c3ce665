"""An NBD server in a process of its own: NbdFrontend over a memory driver, in a Loop; what tests ask of it, counted."""

import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hostside.driver.unit import UnitFlag
from hostside.frontends.base import OWN
from hostside.frontends.nbd import SOCKET_MODE, NbdFrontend
from ipc.child import Child, Life, fork_child
from ipc.counters import CounterRow, CounterTable
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import ALL, Faults, memory_driver, unit_of

SLOTS = 512
DEADLINE_S = 10.0


class NbdServer:
    """The parent's side."""

    def __init__(self, child: Child, at: Path, counts: CounterRow) -> None:
        self.at = at
        self.child = child
        self._counts = counts
        self._clients: list[socket.socket] = []

    @property
    def uri(self) -> str:
        return f"nbd+unix:///unit_1?socket={self.at}"

    def count(self, name: str) -> int:
        return self._counts.get(name)

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._clients.append(client)
        client.settimeout(DEADLINE_S)
        client.connect(str(self.at))
        return client

    def stop(self) -> int:
        """SIGTERM, and wait for the drain; its exit status."""
        self.child.signal(signal.SIGTERM)
        status = self.child.wait(DEADLINE_S)
        assert status is not None, "it did not stop"
        return status

    def hang_up_all(self) -> None:
        for client in self._clients:
            client.close()

    def settle(self) -> None:
        """Wait until every slot is free and nobody is connected."""
        wait_for(lambda: self.count("free") == SLOTS and self.count("clients") == 0)


def wait_for(is_true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.005)


@contextmanager
def nbd_server(
    at: Path,
    *,
    size: int = 64 << 20,
    flags: UnitFlag = ALL,
    faults: Faults | None = None,
    drain_s: float = 5.0,
    held_bytes_max: int = 16 << 20,
    mode: int = SOCKET_MODE,
    owner: tuple[int, int] = OWN,
) -> Iterator[NbdServer]:
    table = CounterTable(1, ["free", "clients", "flushes", "fuas", "made", "in_flight"])
    hearts = CounterTable(1, ["beat_ns"])
    counts = table.row(0)

    def main(life: Life) -> int:
        loop = Loop()
        driver = memory_driver(loop, unit_of(size, flags=flags), slots=SLOTS)
        driver.faults = faults or Faults()
        frontend = NbdFrontend(loop, driver, at, "unit_1", mode=mode, owner=owner, held_bytes_max=held_bytes_max)

        def tell() -> None:
            counts.set("free", driver.pool.free_count)
            counts.set("clients", frontend.client_count)
            counts.set("flushes", driver.flushes)
            counts.set("fuas", driver.fuas)
            counts.set("made", driver.made)
            counts.set("in_flight", len(driver.in_flight))

        loop.after_each(tell)
        loop.on_signal(signal.SIGTERM, lambda: frontend.drain(loop.stop, timeout_s=drain_s))
        life.ready()
        loop.run()
        frontend.close()
        return 0 if driver.made == driver.released and driver.pool.free_count == SLOTS else 3

    child = fork_child("nsu test: nbd server", main, hearts=hearts, heart_row=0)
    try:
        wait_for(lambda: child.is_ready or child.poll() is not None)
        assert child.poll() is None
        server = NbdServer(child, at, counts)
        try:
            yield server
        finally:
            server.hang_up_all()
    finally:
        if child.poll() is None:
            child.kill_and_reap()
        child.close()
