"""Proves: users nobody here wrote read, write, sync, zero and compare the file; errors, stops and kills end well."""

import contextlib
import ctypes
import fcntl
import mmap
import os
import time
from collections.abc import Iterator
from errno import EADDRINUSE, EIO, ENOSPC, EROFS
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from hostside.driver.unit import UnitFlag
from hostside.frontends.base import OWN
from hostside.frontends.fuse_mount import is_mounted, prepare
from tests.hostside.frontends.file_server import MIB, NEEDS_FUSE, FileServer, file_server, wait_for
from tests.hostside.frontends.memory_driver import ALL, Faults
from tests.programs import needs, run
from tests.users import as_user, public_folder

pytestmark = [pytest.mark.system, NEEDS_FUSE]

NOBODY, OURS, USER = 65_534, 54_002, 54_001
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def at(tmp_path: Path) -> Path:
    return tmp_path / "mnt" / "unit_1"


@pytest.fixture
def server(at: Path) -> Iterator[FileServer]:
    with file_server("fuse", at) as server:
        yield server


def fallocate(file: int, mode: int, offset: int, length: int) -> int:
    done: int = libc.fallocate(file, mode, ctypes.c_long(offset), ctypes.c_long(length))
    return done


def read_start(at: Path) -> bytes:
    with at.open("rb", buffering=0) as file:
        return file.read(512)


def test_the_file_is_there_with_its_size_and_mode(server: FileServer) -> None:
    status = server.at.stat()
    assert (status.st_size, status.st_mode & 0o777) == (64 * MIB, 0o600)
    assert os.listdir(server.at.parent) == ["unit_1"]


@pytest.mark.parametrize(
    ("mode", "owner", "welcome", "refused"),
    [
        (0o660, (-1, OURS), [(NOBODY, OURS), (USER, NOBODY, OURS)], [(NOBODY, NOBODY), (NOBODY, 0)]),
        (0o600, (USER, -1), [(USER, NOBODY)], [(NOBODY, NOBODY), (NOBODY, 0)]),
        (0o600, OWN, [], [(NOBODY, 0), (USER, NOBODY)]),
    ],
    ids=["a group's", "a user's", "root's"],
)
def test_whose_it_is_uses_it_and_others_are_refused(
    mode: int, owner: tuple[int, int], welcome: list[tuple[int, ...]], refused: list[tuple[int, ...]]
) -> None:
    with public_folder() as folder, file_server("fuse", folder / "mnt" / "unit_1", mode=mode, owner=owner) as server:
        assert server.at.stat().st_mode & 0o777 == mode
        for uid, *gids in welcome:
            assert as_user(uid, gids, lambda: write_and_read(server.at)) == "ours"
        for uid, *gids in refused:
            assert as_user(uid, gids, lambda: write_and_read(server.at)) == "Permission denied"
        assert server.stop() == 0


def write_and_read(at: Path) -> str:
    mine = str(os.getuid()).encode().ljust(512)
    try:
        with at.open("r+b", buffering=0) as file:
            file.write(mine)
            file.seek(0)
            return "ours" if file.read(512) == mine else "not what was written"
    except OSError as error:
        return str(error.strerror)


@pytest.mark.parametrize("direct", [True, False])
def test_dd_in_and_out_with_large_requests_whole(server: FileServer, tmp_path: Path, direct: bool) -> None:
    image, back = tmp_path / "image", tmp_path / "back"
    image.write_bytes(Random(1).randbytes(16 * MIB))
    flags = ("oflag=direct", "iflag=direct") if direct else ("oflag=sync", "iflag=fullblock")
    run("dd", f"if={image}", f"of={server.at}", "bs=1M", "conv=notrunc,fsync", *flags[:1])
    run("dd", f"if={server.at}", f"of={back}", "bs=1M", "count=16", *flags[1:])
    run("cmp", str(image), str(back))
    assert server.count("largest") == MIB
    assert server.count("flushes") > 0
    assert server.count("fuas") == (0 if direct else 16)
    wait_for(lambda: server.count("free") == 512)


def test_cp_over_it_keeps_its_size(server: FileServer, tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(Random(2).randbytes(MIB + 12345))
    run("cp", str(image), str(server.at))
    assert server.at.stat().st_size == 64 * MIB
    with server.at.open("rb") as file:
        assert sha256(file.read(MIB + 12345)).digest() == sha256(image.read_bytes()).digest()


@needs("fio")
@pytest.mark.parametrize(("engine", "depth"), [("psync", 1), ("libaio", 16)])
def test_fio_verifies_mixed_sizes(server: FileServer, engine: str, depth: int, tmp_path: Path) -> None:
    run(
        "fio", "--name=verify", f"--filename={server.at}", f"--ioengine={engine}", f"--iodepth={depth}", "--direct=1",
        "--rw=randrw", "--bsrange=512-1m", "--bs_unaligned=0", "--blockalign=512", "--size=32M", "--io_size=48M",
        "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--runtime=2", f"--aux-path={tmp_path}",
    )  # fmt: skip


def test_holes_and_zeroes_read_as_zeros(server: FileServer) -> None:
    with server.at.open("r+b", buffering=0) as file:
        file.write(b"\xee" * MIB)
        assert fallocate(file.fileno(), 0x03, 4096, 8192) == 0
        assert fallocate(file.fileno(), 0x10, 65536, 512) == 0
        assert fallocate(file.fileno(), 0x03, 5, 512) == -1
        wanted = bytearray(b"\xee" * MIB)
        wanted[4096:12288] = bytes(8192)
        wanted[65536:66048] = bytes(512)
        assert os.pread(file.fileno(), MIB, 0) == wanted


def test_the_ends_are_a_disks(server: FileServer) -> None:
    with server.at.open("r+b", buffering=0) as file:
        number = file.fileno()
        assert os.pwrite(number, b"x" * 100, 64 * MIB - 50) == 50
        assert os.pread(number, 100, 64 * MIB - 50) == b"x" * 50
        with pytest.raises(OSError, match="No space") as caught:
            os.pwrite(number, b"x", 64 * MIB)
        assert caught.value.errno == ENOSPC
        assert os.pread(number, 1, 64 * MIB) == b""


def test_growth_is_seen_by_whoever_has_it_open(server: FileServer) -> None:
    with server.at.open("r+b", buffering=0) as file:
        server.grow()
        wait_for(lambda: os.fstat(file.fileno()).st_size == 128 * MIB)


def test_an_error_below_is_the_errno_of_its_request_and_direct_is_direct(at: Path) -> None:
    with file_server("fuse", at, faults=Faults(bad_bytes=range(MIB, MIB + 512), status=EIO)):
        file = os.open(at, os.O_RDWR | os.O_DIRECT)
        try:
            assert len(os.pread(file, 512, 0)) == 512
            with pytest.raises(OSError, match="Input/output") as caught:
                os.pread(file, 4096, MIB)
            assert caught.value.errno == EIO
            page = mmap.mmap(-1, 4096)
            assert os.pwritev(file, [page], 0) == 4096
        finally:
            os.close(file)


def test_a_read_only_unit_is_a_read_only_mount(at: Path) -> None:
    with file_server("fuse", at, flags=ALL | UnitFlag.READ_ONLY):
        with pytest.raises(OSError, match="Read-only") as caught:
            at.open("r+b")
        assert caught.value.errno == EROFS
        assert read_start(at) == bytes(512)


def test_a_stop_takes_the_mount_away(server: FileServer) -> None:
    assert server.stop() == 0
    assert not is_mounted(server.at.parent)
    assert os.listdir(server.at.parent) == []


def test_a_stop_ends_though_somebody_has_it_open_and_a_request_never_ends(at: Path) -> None:
    with file_server("fuse", at, faults=Faults(delay_s=60), drain_s=0.2) as server:
        reader = os.fork()
        if not reader:
            try:
                at.open("rb", buffering=0).read(512)
            except OSError:
                os._exit(7)
            os._exit(0)
        wait_for(lambda: server.count("made") == 1)
        began_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began_s < 5
        assert os.waitstatus_to_exitcode(os.waitpid(reader, 0)[1]) == 7
        assert not is_mounted(at.parent)


def test_what_a_killed_process_left_is_cleared_by_its_successor(at: Path) -> None:
    with file_server("fuse", at) as server:
        holder = at.open("rb")
        server.child.kill_and_reap()
        with file_server("fuse", at):
            assert at.stat().st_size == 64 * MIB
            assert read_start(at) == bytes(512)
        with contextlib.suppress(OSError):  # its file is gone
            holder.close()


def test_a_living_process_is_not_driven_out(server: FileServer) -> None:
    with pytest.raises(OSError, match="another process shows") as caught:
        prepare(server.at.parent)
    assert caught.value.errno == EADDRINUSE
    assert server.at.stat().st_size


def test_locks_of_users_hold(server: FileServer) -> None:
    with server.at.open("rb") as one, server.at.open("rb") as other:
        fcntl.flock(one, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
