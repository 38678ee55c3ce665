"""Two disks of one host and one of another, on one NSU, written at once: each file system is whole, and alone there.

The partitions lie side by side on one drive. Every block that is written says whose it is, so that one that went astray
is found wherever it is: each device is read from end to end.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import pytest

from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.harness.block_devices import wait_device
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.harness.kernel_log import KernelLog
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(180), NEEDS_LOOP, needs("mkfs.ext4"), needs("mkfs.xfs")]

MIB = 1 << 20
BLOCK_BYTES = 512
PATHS = 2
FILES = 100
TOGETHER_S = 60.0
MARK = re.compile(rb"<<\w+ of \w+>>")


@dataclass(frozen=True)
class Partition:
    """A disk of a host; `at` is the link to its device."""

    host: str
    name: str
    kind: str
    blocks: int
    at: Path

    @property
    def mark(self) -> bytes:
        return f"<<{self.name} of {self.host}>>".encode()

    def content(self, number: int) -> bytes:
        """What file `number` holds: blocks, each with the mark and its place; each file has another length."""
        blocks = range(10 * number)
        return b"".join(b"%s %d %d".ljust(BLOCK_BYTES) % (self.mark, number, block) for block in blocks)


def partitions(one: Path, other: Path) -> list[Partition]:
    """Give them in their order on the drive: neighbours are of different hosts, or of different kinds."""
    small, large = 128 * MIB // BLOCK_BYTES, 320 * MIB // BLOCK_BYTES  # xfs wants 300 MiB
    return [
        Partition("host1", "unit_1", "ext4", small, one / "dev-unit_1"),
        Partition("host2", "unit_1", "ext4", small, other / "dev-unit_1"),
        Partition("host1", "unit_2", "xfs", large, one / "dev-unit_2"),
    ]


@contextmanager
def spawn_site() -> Iterator[list[Partition]]:
    """Run an NSU and two hosts, each a machine of its own; the kernel must have nothing to complain of."""
    with ExitStack() as stack:
        log = stack.enter_context(KernelLog())
        box, *hosts = (stack.enter_context(Machine()) for _ in range(3))
        shown = partitions(*(machine.folder for machine in hosts))
        config_port, data_port = free_ports(2)
        secrets = {f"host{number}": write_secret(machine.folder / "key") for number, machine in enumerate(hosts, 1)}
        units, size_bytes = place(shown)
        entries = [Host(name, units[name], [("127.0.0.1", data_port, PATHS)], (), secrets[name]) for name in secrets]
        drive = (box.folder / "drive0.img", f"{size_bytes // MIB}MiB")
        box.start(conf_text("box1", box.state, Nsu("box1", config_port, {"unit0": ("jbod", [drive])}, entries)))
        for machine, name in zip(hosts, secrets, strict=True):
            disks = [Disk(disk.name, disk.at, show="loop") for disk in shown if disk.host == name]
            server = Server("box1", ["127.0.0.1"], config_port, disks, name, secrets[name], PATHS)
            machine.start(conf_text(name, machine.state, server))
        for machine in hosts:
            machine.wait_paths(PATHS)
        devices = [wait_device(hosts[int(disk.host[-1]) - 1], disk.at) for disk in shown]
        try:
            yield shown
        finally:
            for machine in hosts:
                machine.stop()
        log.assert_quiet(devices)


def place(shown: Sequence[Partition]) -> tuple[dict[str, list[Unit]], int]:
    """Give each host's units, one after the other on the drive, and the size of all."""
    units: dict[str, list[Unit]] = {}
    first = 0
    for disk in shown:
        units.setdefault(disk.host, []).append(Unit(disk.name, "unit0", first, first + disk.blocks - 1))
        first += disk.blocks
    return units, first * BLOCK_BYTES


def write(disk: Partition, together: Barrier) -> None:
    """Make a file system and fill it, from the moment at which all are ready to."""
    make_file_system(disk.kind, disk.at)
    with mounted(disk.at) as folder:
        together.wait(TOGETHER_S)
        for number in range(FILES):
            with (folder / str(number)).open("wb") as file:
                file.write(disk.content(number))
                if number % 10 == 0:
                    file.flush()
                    os.fsync(file.fileno())


def check(disk: Partition) -> None:
    with mounted(disk.at) as folder:
        for number in range(FILES):
            assert (folder / str(number)).read_bytes() == disk.content(number), f"file {number} of {disk}"
    check_file_system(disk.kind, disk.at)
    assert marks_on(disk.at) == {disk.mark}


def marks_on(device: Path) -> set[bytes]:
    """Give the marks of all blocks of a device."""
    found: set[bytes] = set()
    with device.open("rb", buffering=0) as file:
        while chunk := file.read(MIB):
            found.update(MARK.findall(chunk))
    return found


def test_disks_that_are_used_at_once_do_not_see_each_other() -> None:
    with spawn_site() as shown, ThreadPoolExecutor(len(shown)) as pool:
        together = Barrier(len(shown))
        list(pool.map(lambda disk: write(disk, together), shown))
        list(pool.map(check, shown))
