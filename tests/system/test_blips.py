"""Proves that a break shorter than ON_NO_PATH allows is nothing to a file system: all networks at once, or the NSU that
is restarted or upgraded. Files are written and synced all the while; neither they nor the kernel notice but the pause.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.harness.apart import Apart, spawn_apart
from tests.harness.block_devices import wait_device
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.harness.kernel_log import KernelLog
from tests.harness.netns import needs_networks
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(400), needs_networks, NEEDS_LOOP]

PATHS = 4
BLOCKS = 640 << 20 >> 9
"""xfs wants 300 MiB at least."""
BACK_WITHIN_S = 10.0
"""After the break is over, something has been synced again."""
FILES = 20
FILE_BYTES = 256 << 10


class Writer(threading.Thread):
    """Writes files, syncs each, and remembers for how long that took; the first error ends it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.contents: dict[Path, bytes] = {}
        self.ended_s = [time.monotonic()]
        self.stopping = False
        self.error: OSError | None = None

    def run(self) -> None:
        turn = 0
        try:
            while not self.stopping:
                turn += 1
                path = self.folder / f"file{turn % FILES}"
                content = os.urandom(FILE_BYTES)
                with open(path, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                self.contents[path] = content
                self.ended_s.append(time.monotonic())
                time.sleep(0.01)
        except OSError as error:
            self.error = error

    def wait_progress(self, within_s: float) -> None:
        """Wait until a file that was begun from now on is synced."""
        seen, until_s = len(self.ended_s) + 1, time.monotonic() + within_s
        while len(self.ended_s) <= seen and self.error is None:
            assert time.monotonic() < until_s, f"nothing was synced within {within_s} s"
            time.sleep(0.01)
        assert self.error is None, f"an error reached the application: {self.error}"

    @property
    def longest_pause_s(self) -> float:
        return max(b - a for a, b in zip(self.ended_s, self.ended_s[1:], strict=False))


@contextmanager
def written(folder: Path) -> Iterator[Writer]:
    writer = Writer(folder)
    writer.start()
    try:
        writer.wait_progress(30)
        yield writer
        writer.wait_progress(30)
    finally:
        writer.stopping = True
        writer.join(60)


@contextmanager
def file_system(kind: str, line: str) -> Iterator[tuple[Apart, Writer]]:
    """Give a file system of that kind in use; in the end all files are there, it is sound, and the kernel was quiet."""
    with KernelLog() as log, spawn_apart(units={"unit_1": BLOCKS}, paths=PATHS, lines=[line], show="loop") as apart:
        device = wait_device(apart.host, apart.at("unit_1"))
        try:
            make_file_system(kind, device)
            with mounted(device) as folder, written(folder) as writer:
                yield apart, writer
            with mounted(device) as again:
                for path, content in writer.contents.items():
                    assert (again / path.name).read_bytes() == content
            check_file_system(kind, device)
        finally:
            apart.host.stop()  # lets the device go
        log.assert_quiet([device])


def silence_both(apart: Apart, writer: Writer, seconds: float) -> None:
    for network in apart.networks:
        network.silence()
    time.sleep(seconds)
    for network in apart.networks:
        network.mend()
    writer.wait_progress(BACK_WITHIN_S)


def restart(apart: Apart, writer: Writer, seconds: float) -> None:
    """As an upgrade does it: SIGTERM, other files perhaps, and a new start."""
    apart.server.stop()
    time.sleep(seconds)
    apart.server.start()
    writer.wait_progress(BACK_WITHIN_S)


@needs("mkfs.ext4")
def test_ext4_notices_neither_a_break_of_all_networks_nor_a_restart() -> None:
    with file_system("ext4", "ON_NO_PATH = fail after 20 s") as (apart, writer):
        silence_both(apart, writer, 5.0)
        print(f"\next4, both networks silent for 5 s: a pause of {writer.longest_pause_s:.1f} s")
        writer.ended_s[:] = [time.monotonic()]
        restart(apart, writer, 0.5)
        print(f"ext4, the NSU restarted: a pause of {writer.longest_pause_s:.1f} s")


@pytest.mark.soak
@pytest.mark.parametrize(
    "kind", [pytest.param("ext4", marks=needs("mkfs.ext4")), pytest.param("xfs", marks=needs("mkfs.xfs"))]
)
@pytest.mark.parametrize("line", ["ON_NO_PATH = queue", "ON_NO_PATH = fail after 60 s"])
def test_half_a_minute_is_nothing_to_a_file_system(kind: str, line: str) -> None:
    with file_system(kind, line) as (apart, writer):
        for what, pause in (("both networks silent", silence_both), ("the NSU away", restart)):
            for seconds in (1.0, 25.0):
                writer.ended_s[:] = [time.monotonic()]
                pause(apart, writer, seconds)
                print(f"\n{kind}, {line}: {what} for {seconds:g} s: a pause of {writer.longest_pause_s:.1f} s")
