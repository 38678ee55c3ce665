"""The tests' ear for the kernel's complaints hears them: those of our devices, and no one else's."""

import os
import time
from pathlib import Path

import pytest

from tests.harness.block_devices import spawn_block_devices
from tests.harness.file_systems import make_file_system, mounted
from tests.harness.kernel_log import complaints
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs

MIB_BLOCKS = 1 << 20 >> 9


@pytest.mark.parametrize(
    ("record", "is_complaint"),
    [
        ("3,77,1,-;Buffer I/O error on dev loop1, logical block 0, async page read\n", True),
        ("3,77,1,-;I/O error, dev loop1, sector 2048 op 0x1:(WRITE) flags 0x0 phys_seg 1 prio class 2\n", True),
        ("2,77,1,-;EXT4-fs error (device loop1): ext4_find_entry:1683: inode #2: comm ls: reading directory\n", True),
        ("1,77,1,c;XFS (loop1): log I/O error -5\n SUBSYSTEM=block\n", True),
        ("6,77,1,-;EXT4-fs (loop1): recovery complete\n", True),
        ("3,77,1,-;INFO: task postgres:4711 blocked for more than 120 seconds.\n", True),
        ("4,77,1,-;WARNING: CPU: 1 PID: 12 at fs/fuse/dev.c:300 fuse_request_end+0x1/0x2\n", True),
        ("3,77,1,-;Buffer I/O error on dev loop11, logical block 0, async page read\n", False),
        ("6,77,1,-;loop1: detected capacity change from 0 to 131072\n", False),
        ("6,77,1,-;EXT4-fs (loop1): mounted filesystem 5f0c r/w with ordered data mode. Quota mode: none.\n", False),
        ("5,77,1,-;XFS (loop1): Unmounting Filesystem 5f0c\n", False),
        ("4,77,1,-;blk_print_req_error: 17 callbacks suppressed\n", False),
        ("4,77,1,-;e1000: eth0 NIC Link is Down, error\n", False),
        ("12,77,1,-;nsu: a process that writes of an error into the kernel's log\n", False),
    ],
)
def test_lines_are_told_apart(record: str, is_complaint: bool) -> None:
    assert bool(complaints([record], ["loop1", "loop2"])) == is_complaint


@pytest.mark.system
@NEEDS_LOOP
@needs("mkfs.ext4")
def test_a_disk_that_dies_under_a_file_system_is_heard() -> None:
    with pytest.raises(AssertionError, match=r"the kernel complains:\n(.*\n)*.*loop\d+"):
        kill_a_disk_under_a_file_system()


def kill_a_disk_under_a_file_system() -> None:
    with spawn_block_devices({"unit_1": 64 * MIB_BLOCKS}) as world:
        make_file_system("ext4", world.at("unit_1"))
        with mounted(world.at("unit_1")) as folder:
            world.machine.kill_process("nsu: disk unit_1")
            with pytest.raises(OSError, match=r"Input/output|Read-only"):
                write_until_refused(folder / "file")
        world.machine.wait_for(lambda _: world.machine.pids("nsu: disk unit_1"))
        world.machine.wait_paths(4)  # the successor has cleared away what the killed process left


def write_until_refused(path: Path) -> None:
    end_s = time.monotonic() + 20
    while time.monotonic() < end_s:
        with path.open("ab") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
