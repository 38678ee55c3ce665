"""Proves: the disk is a block device that file systems live on; nothing stays when it goes."""

import ctypes
import fcntl
import mmap
import os
import shutil
import struct
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends import loop_device
from hostside.frontends.loop import point
from tests.hostside.frontends.file_server import MIB, NEEDS_LOOP, FileServer, file_server, wait_for
from tests.hostside.frontends.memory_driver import ALL
from tests.programs import needs, run

pytestmark = [pytest.mark.system, NEEDS_LOOP]

BLKGETSIZE64, BLKDISCARD, BLKZEROOUT, BLKROGET = 0x80081272, 0x1277, 0x127F, 0x125E
FILES = 500


@pytest.fixture
def at(tmp_path: Path) -> Path:
    return tmp_path / "unit_1"


@pytest.fixture
def server(at: Path) -> Iterator[FileServer]:
    with file_server("loop", at) as server:
        server.device()
        yield server


def open_direct(device: Path) -> FileIO:
    return FileIO(device, "r+", opener=lambda path, flags: os.open(path, flags | os.O_DIRECT))


def size_of(device: Path) -> int:
    with device.open("rb") as file:
        size: int = struct.unpack("Q", fcntl.ioctl(file, BLKGETSIZE64, bytes(8)))[0]
        return size


def over(file: Path) -> list[Path]:
    """Devices over `file`, as sysfs shows them."""
    shown = Path("/sys/block").glob("loop*/loop/backing_file")
    return [entry for entry in shown if entry.read_text().strip() == str(file)]


def test_the_link_leads_to_a_direct_device_of_512_bytes_a_block(server: FileServer) -> None:
    device = server.device()
    assert loop_device.is_direct(device)
    assert size_of(device) == 64 * MIB
    shown = Path("/sys/block") / device.name
    assert (shown / "queue/logical_block_size").read_text().strip() == "512"
    assert (shown / "loop/partscan").read_text().strip() == "1"  # kernels without partition tables have this too


def test_requests_of_1_mib_come_whole(server: FileServer) -> None:
    """As large as FUSE carries them, in both directions, of memory in few pieces: the block layer takes 128 at once."""
    pages = mmap.mmap(-1, 4 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with open_direct(server.device()) as device, pages, memoryview(pages) as view:
        pages.madvise(mmap.MADV_HUGEPAGE)
        start = -ctypes.addressof(ctypes.c_char.from_buffer(pages)) % (2 * MIB)
        view[start : start + MIB] = b"x" * MIB
        for move in (os.pwritev, os.preadv):
            made = server.count("made")
            for number in range(16):
                assert move(device.fileno(), [view[start : start + MIB]], number * MIB) == MIB
            assert server.count("made") - made < 32
            assert server.count("largest") == MIB


@needs("fio")
@pytest.mark.parametrize(("engine", "depth"), [("psync", 1), ("libaio", 32)])
def test_fio_verifies_mixed_sizes(server: FileServer, engine: str, depth: int, tmp_path: Path) -> None:
    run(
        "fio", "--name=verify", f"--filename={server.device()}", f"--ioengine={engine}", f"--iodepth={depth}",
        "--direct=1", "--rw=randrw", "--bsrange=512-1m", "--blockalign=512", "--size=32M", "--io_size=32M",
        "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--runtime=2", f"--aux-path={tmp_path}",
    )  # fmt: skip


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed: apt-get install e2fsprogs")
def test_a_file_system_holds_what_was_copied(server: FileServer, tmp_path: Path) -> None:
    device, mount = str(server.device()), tmp_path / "ext4"
    mount.mkdir()
    library = Path(os.__file__).parent
    sources = [path for path in sorted(library.rglob("*.py")) if "site-packages" not in path.parts][:FILES]
    run("mkfs.ext4", "-q", device)
    run("mount", device, str(mount))
    try:
        for number, source in enumerate(sources):
            shutil.copy(source, mount / f"{number}_{source.name}")
        run("fstrim", str(mount))
    finally:
        run("umount", str(mount))
    run("e2fsck", "-fn", device)
    run("mount", "-o", "ro", device, str(mount))
    try:
        for number, source in enumerate(sources):
            assert (mount / f"{number}_{source.name}").read_bytes() == source.read_bytes(), source
    finally:
        run("umount", str(mount))
    assert server.count("flushes") > 0


def test_discard_and_zeroout_reach_the_disk(server: FileServer) -> None:
    with server.device().open("r+b", buffering=0) as file:
        file.write(b"\xee" * MIB)
        os.fsync(file)
        fcntl.ioctl(file, BLKZEROOUT, struct.pack("QQ", 4096, 4096))
        fcntl.ioctl(file, BLKDISCARD, struct.pack("QQ", 65536, 65536))
        wanted = bytearray(b"\xee" * MIB)
        wanted[4096:8192] = bytes(4096)
        wanted[65536:131072] = bytes(65536)
        assert os.pread(file.fileno(), MIB, 0) == wanted


def test_growth_reaches_the_device(server: FileServer) -> None:
    server.grow()
    wait_for(lambda: size_of(server.device()) == 128 * MIB)


def test_a_read_only_unit_is_a_read_only_device(at: Path) -> None:
    with file_server("loop", at, flags=ALL | UnitFlag.READ_ONLY) as server, server.device().open("rb") as file:
        assert struct.unpack("i", fcntl.ioctl(file, BLKROGET, bytes(4)))[0] == 1


def test_a_stop_writes_what_the_kernel_holds_and_leaves_nothing(server: FileServer) -> None:
    device = server.device()
    with device.open("r+b", buffering=0) as file:
        file.write(b"x" * 8 * MIB)  # into the kernel's pages, not synced
    assert server.stop() == 0
    assert not loop_device.is_attached(device)
    assert not server.at.is_symlink()
    assert os.listdir(server.at.parent) == []


@pytest.mark.skipif(shutil.which("mkfs.ext4") is None, reason="mkfs.ext4 is not installed: apt-get install e2fsprogs")
def test_a_stop_ends_though_a_file_system_is_mounted(at: Path, tmp_path: Path) -> None:
    with file_server("loop", at, drain_s=0.5) as server:
        device, mount = server.device(), tmp_path / "ext4"
        mount.mkdir()
        run("mkfs.ext4", "-q", str(device))
        run("mount", str(device), str(mount))
        try:
            (mount / "file").write_bytes(b"x" * MIB)
            os.sync()
            began_s = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began_s < 6
        finally:
            run("umount", "-l", str(mount))
        wait_for(lambda: not loop_device.is_attached(device))


def test_what_a_killed_process_left_is_cleared_by_its_successor(at: Path) -> None:
    with file_server("loop", at) as server:
        former = server.device()
        server.child.kill_and_reap()
        assert loop_device.is_attached(former)
        with file_server("loop", at) as successor:
            wait_for(lambda: len(over(successor.file)) == 1)  # not two
            wait_for(lambda: size_of(successor.device()) == 64 * MIB)
            assert successor.stop() == 0
            assert not loop_device.is_attached(former)
            assert not over(successor.file)


def test_what_is_no_link_stays(tmp_path: Path) -> None:
    at = tmp_path / "unit_1"
    at.write_text("precious")
    with file_server("loop", at) as server:
        assert server.child.wait(5) != 0
    assert at.read_text() == "precious"
    link = tmp_path / "link"
    point(link, Path("/dev/loop7"))
    point(link, Path("/dev/loop8"))
    assert link.readlink() == Path("/dev/loop8")
