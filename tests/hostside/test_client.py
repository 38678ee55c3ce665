"""Proves: the Python API moves any amount right, tells errors with their sentence, and works with another's server."""

import errno
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

import hostside
from hostside.driver.unit import UnitFlag
from ipc.child import Life, fork_child
from ipc.control import ControlServer
from ipc.counters import CounterTable
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import ALL, Faults
from tests.hostside.frontends.nbd_protocol.wire import GO, READ, request
from tests.hostside.frontends.nbd_server import NbdServer, nbd_server, wait_for

MIB = 1 << 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NbdServer]:
    with nbd_server(tmp_path / "disk.sock") as server:
        yield server
        server.settle()
        assert server.stop() == 0


@pytest.fixture
def disk(server: NbdServer) -> Iterator[hostside.Disk]:
    with hostside.open_disk("unit_1", at=server.at) as disk:
        yield disk


def test_what_it_tells_of_itself(disk: hostside.Disk) -> None:
    assert (disk.name, disk.size_bytes, disk.read_only, disk.block_bytes) == ("unit_1", 64 * MIB, False, 512)


@pytest.mark.parametrize("size", [0, 512, 4096, MIB + 512, 40 * MIB])
def test_what_is_written_is_read(disk: hostside.Disk, size: int) -> None:
    data = Random(size).randbytes(size)
    disk.pwrite(data, 512)
    assert disk.pread(size, 512) == data
    into = bytearray(size)
    disk.pread_into(memoryview(into), 512)
    assert into == data
    assert disk.pread(512, 0) == bytes(512)


def test_fua_flush_trim_and_zeroes_reach_the_driver(server: NbdServer, disk: hostside.Disk) -> None:
    disk.pwrite(b"\xff" * MIB, 0, fua=True)
    disk.flush()
    disk.trim(0, 4096)
    disk.write_zeroes(8192, 4096)
    disk.pread(512, 0)  # the counters are told once per turn
    wait_for(lambda: (server.count("fuas"), server.count("flushes")) == (1, 1))
    assert disk.pread(12288, 4096) == b"\xff" * 4096 + bytes(4096) + b"\xff" * 4096


@pytest.mark.parametrize(("offset", "length"), [(1, 512), (0, 511), (-512, 512)])
def test_what_can_never_be_right_is_a_value_error(disk: hostside.Disk, offset: int, length: int) -> None:
    with pytest.raises(ValueError, match="multiples of 512 bytes"):
        disk.pwrite(bytes(length), offset)
    with pytest.raises(ValueError, match="multiples of 512 bytes"):
        disk.pread(length, offset)
    with pytest.raises(ValueError, match="must be 0 or more"):
        disk.pread(-512, 0)


def test_past_the_end_says_the_server_and_the_disk_lives(disk: hostside.Disk) -> None:
    with pytest.raises(OSError, match="past the end: the disk unit_1 has 67108864 bytes") as read:
        disk.pread(1024, disk.size_bytes - 512)
    with pytest.raises(OSError, match="past the end") as written:
        disk.pwrite(bytes(3 * MIB), disk.size_bytes - MIB)
    assert (read.value.errno, written.value.errno) == (errno.EINVAL, errno.ENOSPC)
    assert disk.pread(512, disk.size_bytes - 512) == bytes(512)


def test_read_only(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", flags=ALL | UnitFlag.READ_ONLY) as server:
        with hostside.open_disk(at=server.at) as disk:
            assert disk.read_only
            with pytest.raises(PermissionError, match="The disk unit_1 is read-only"):
                disk.pwrite(bytes(512), 0)


def test_an_error_in_the_middle_ends_the_call_and_not_the_disk(tmp_path: Path) -> None:
    faults = Faults(bad_bytes=range(5 * MIB, 5 * MIB + 1), status=errno.EIO, sentence="drive 2 is gone")
    with nbd_server(tmp_path / "disk.sock", faults=faults) as server:
        with hostside.open_disk(at=server.at) as disk:
            with pytest.raises(OSError, match="drive 2 is gone") as caught:
                disk.pread(60 * MIB, 0)
            assert caught.value.errno == errno.EIO
            assert disk.pread(512, 0) == bytes(512)


def test_without_fua_below_a_flush_stands_in(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", flags=UnitFlag.CAN_FLUSH) as server:
        with hostside.open_disk(at=server.at) as disk:
            disk.pwrite(bytes(512), 0, fua=True)
            disk.pread(512, 0)
            wait_for(lambda: server.count("flushes") == 1)


def test_a_closed_disk_says_so(server: NbdServer) -> None:
    disk = hostside.open_disk(at=server.at)
    disk.close()
    disk.close()
    with pytest.raises(OSError, match="is closed") as caught:
        disk.pread(512, 0)
    assert caught.value.errno == errno.EBADF


def test_a_server_that_dies_is_a_connection_error(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock") as server, hostside.open_disk(at=server.at) as disk:
        server.child.kill_and_reap()
        with pytest.raises(ConnectionError):
            disk.pread(512, 0)
        with pytest.raises(OSError, match="is closed"):
            disk.pread(512, 0)


def test_a_shutdown_is_told(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", faults=Faults(delay_s=0.3)) as server:
        busy = server.connect()
        busy.sendall(bytes([0, 0, 0, 3]) + GO + request(READ, 0, 512))
        with hostside.open_disk(at=server.at) as disk:
            wait_for(lambda: server.count("in_flight") == 1)
            server.child.signal(signal.SIGTERM)
            with pytest.raises(OSError, match=r"shut down|hung up|Broken pipe|reset") as caught:
                disk.pread(60 * MIB, 0)  # longer than the drain
            assert caught.value.errno in (errno.ESHUTDOWN, errno.ECONNABORTED, errno.EPIPE, errno.ECONNRESET)


def test_a_socket_that_is_no_disk_is_told_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostside.client.HANDSHAKE_MOST_S", 0.2)
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "host.sock"))
        silent.listen()
        with pytest.raises(TimeoutError, match=r"did not greet as an NBD server within 0.2 s; name the disk's AT"):
            hostside.open_disk(at=tmp_path / "host.sock")


def test_only_the_handshake_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostside.client.HANDSHAKE_MOST_S", 0.2)
    with nbd_server(tmp_path / "disk.sock", faults=Faults(delay_s=0.4)) as server:
        with hostside.open_disk(at=server.at) as disk:
            assert disk.pread(512, 0) == bytes(512)


def test_nobody_there_and_no_such_export(server: NbdServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot be opened"):
        hostside.open_disk(at=tmp_path / "missing.sock")
    with pytest.raises(FileNotFoundError, match="There is no export 'unit_9' here"):
        hostside.open_disk("unit_9", at=str(server.at))


def test_it_asks_the_host_role_where_the_disk_is(server: NbdServer, tmp_path: Path) -> None:
    disks = [
        {"name": "unit_1", "at": str(server.at), "show": "socket"},
        {"name": "unit_2", "at": "/dev/nbd3", "show": "nbd"},
        {"name": "unit_3", "at": "/s", "show": "socket", "shown": False, "trouble": ""},
        {"name": "unit_4", "at": "/s", "show": "socket", "shown": False, "trouble": "it has no such partition"},
    ]

    def main(life: Life) -> int:
        loop = Loop()
        control = ControlServer(loop, tmp_path / "host.sock", {"disks": lambda arguments: {"disks": disks}})
        loop.on_signal(15, loop.stop)
        life.ready()
        loop.run()
        control.close()
        return 0

    child = fork_child("nsu test: host", main, hearts=CounterTable(1, ["beat_ns"]), heart_row=0)
    try:
        wait_for(lambda: child.is_ready)
        with hostside.open_disk("unit_1", state_dir=tmp_path) as disk:
            assert disk.size_bytes == 64 * MIB
        with pytest.raises(ConnectionRefusedError, match="the disk unit_3 is not there yet: waiting for the server"):
            hostside.open_disk("unit_3", state_dir=str(tmp_path))
        with pytest.raises(ConnectionRefusedError, match="the disk unit_4 is not there yet: it has no such partition"):
            hostside.open_disk("unit_4", state_dir=tmp_path)
        with pytest.raises(OSError, match="shown as nbd at /dev/nbd3; open that instead"):
            hostside.open_disk("unit_2", state_dir=tmp_path)
        with pytest.raises(FileNotFoundError, match="there is no disk 'x' on this host; there are: unit_1, unit_2,"):
            hostside.open_disk("x", state_dir=tmp_path)
    finally:
        child.kill_and_reap()
        child.close()


def test_without_a_host_role_the_sentence_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConnectionRefusedError, match=r"is `nsu run` running with this STATE.*state_dir="):
        hostside.open_disk("unit_1", state_dir=tmp_path)


@pytest.mark.system
@pytest.mark.parametrize("options", [[], ["--no-sr"]], ids=["structured", "simple"])
def test_with_a_server_that_nobody_here_wrote(tmp_path: Path, options: list[str]) -> None:
    if shutil.which("nbdkit") is None:
        pytest.skip("nbdkit is not installed (Debian: nbdkit)")
    at = tmp_path / "kit.sock"
    command = ["nbdkit", "-f", "-U", str(at), *options, "memory", "64M"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=sys.stderr) as nbdkit:
        try:
            wait_for(at.exists)
            with hostside.open_disk(at=at) as disk:
                data = Random(1).randbytes(20 * MIB)
                disk.pwrite(data, 3 * MIB, fua=True)
                disk.flush()
                disk.trim(0, MIB)
                disk.write_zeroes(4 * MIB, MIB)
                assert disk.pread(64 * MIB, 0) == (
                    bytes(3 * MIB) + data[:MIB] + bytes(MIB) + data[2 * MIB :] + bytes(41 * MIB)
                )
                with pytest.raises(OSError, match=r"."):
                    disk.pread(1024, disk.size_bytes - 512)
        finally:
            nbdkit.kill()
