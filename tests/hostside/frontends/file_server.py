"""A disk process in small: any front-end of the register over a memory driver, in a process of its own.

What tests ask of it: counts, growth, a stop in order or by kill -9. Nothing is left behind: mounts and loop devices are
taken away at the end, whatever the test did.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends import loop_device
from hostside.frontends.base import OWN
from hostside.frontends.fuse_mount import is_mounted, unmount
from hostside.frontends.open import Showing, file_of_loop, open_frontend
from hostside.settings import DiskSettings
from ipc.child import Child, Life, fork_child
from ipc.counters import CounterRow, CounterTable
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import ALL, Faults, memory_driver, unit_of

MIB = 1 << 20
SLOTS = 512
DEADLINE_S = 10.0
NAME = "unit_1"


def _fuse_missing() -> str:
    if os.geteuid():
        return "only root mounts here"
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "there is no /dev/fuse"
    try:
        import mfusepy  # noqa: F401
    except (ImportError, OSError, AttributeError) as error:
        return f"there is no libfuse 3: apt-get install libfuse3-3 ({error})"
    return ""


NEEDS_FUSE = pytest.mark.skipif(bool(_fuse_missing()), reason=_fuse_missing())
NEEDS_LOOP = pytest.mark.skipif(
    bool(_fuse_missing()) or not os.path.exists("/dev/loop-control"),
    reason=_fuse_missing() or "there is no /dev/loop-control",
)


class FileServer:
    """The parent's side."""

    def __init__(self, child: Child, show: str, at: Path, counts: CounterRow) -> None:
        self.child = child
        self.at = at
        self.file = at if show == "fuse" else file_of_loop(at, NAME)
        self._counts = counts

    def count(self, name: str) -> int:
        return self._counts.get(name)

    def grow(self) -> None:
        """Have the unit twice as large."""
        self.child.signal(signal.SIGUSR1)

    def stop(self) -> int:
        """SIGTERM, and wait for the drain; its exit status."""
        self.child.signal(signal.SIGTERM)
        status = self.child.wait(DEADLINE_S)
        assert status is not None, "it did not stop"
        return status

    def device(self) -> Path:
        """Where the link leads, once it is there."""
        wait_for(self.at.is_symlink)
        return self.at.readlink()


def wait_for(is_true: Callable[[], bool]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < end_s, "it never came true"
        time.sleep(0.005)


@contextmanager
def file_server(
    show: str,
    at: Path,
    *,
    size: int = 64 * MIB,
    flags: UnitFlag = ALL,
    faults: Faults | None = None,
    slots: int = SLOTS,
    drain_s: float = 5.0,
    mode: int = 0o600,
    owner: tuple[int, int] = OWN,
) -> Iterator[FileServer]:
    names = ["free", "clients", "flushes", "fuas", "made", "largest", "drained_ms"]
    counts = CounterTable(1, names).row(0)

    def main(life: Life) -> int:
        loop = Loop()
        driver = memory_driver(loop, unit_of(size, flags=flags, name=NAME), slots=slots)
        driver.faults = faults or Faults()
        frontend = open_frontend(loop, driver, Showing(DiskSettings(NAME, 0, show, at, mode, owner), "box1", at.parent))

        def tell() -> None:
            counts.set("free", driver.pool.free_count)
            counts.set("flushes", driver.flushes)
            counts.set("fuas", driver.fuas)
            counts.set("made", driver.made)
            counts.set("clients", frontend.client_count if show == "fuse" else 0)
            if driver.in_flight:
                counts.set("largest", max(counts.get("largest"), *(r.length_bytes for r in driver.in_flight), 0))

        def grow() -> None:
            unit = driver.unit
            driver.unit = unit.changed(blocks=unit.blocks * 2, generation=unit.generation + 1, flags=unit.flags)

        def stop() -> None:
            started_s = time.monotonic()

            def drained() -> None:
                counts.set("drained_ms", int((time.monotonic() - started_s) * 1000))
                loop.stop()

            frontend.drain(drained, timeout_s=drain_s)

        loop.after_each(tell)
        loop.on_signal(signal.SIGTERM, stop)
        loop.on_signal(signal.SIGUSR1, grow)
        life.ready()
        loop.run()
        frontend.close()
        return 0

    child = fork_child("nsu test: file server", main, hearts=CounterTable(1, ["beat_ns"]), heart_row=0)
    server = FileServer(child, show, at, counts)
    try:
        wait_for(lambda: child.is_ready or child.poll() is not None)
        yield server
    finally:
        if child.poll() is None:
            child.kill_and_reap()
        child.close()
        clear(server.file, at)


def clear(file: Path, link: Path) -> None:
    """Leave no loop device and no mount behind."""
    for device in loop_device.left_behind(file, link):
        subprocess.run(["umount", "-l", device], capture_output=True, check=False)
        loop_device.detach(device)
    while is_mounted(file.parent):
        unmount(file.parent)
