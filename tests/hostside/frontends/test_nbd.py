"""Proves: the edge serves any number of clients through real sockets, loses no slot, drains, and cleans up."""

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostside.frontends.nbd import NbdFrontend
from ipc.loop import Loop
from tests.hostside.frontends.memory_driver import Faults, memory_driver, unit_of
from tests.hostside.frontends.nbd_protocol.wire import (
    FLUSH,
    GO,
    MIB,
    READ,
    STRUCTURED,
    WRITE,
    replies,
    request,
    write,
)
from tests.hostside.frontends.nbd_server import NbdServer, nbd_server, wait_for

HELLO = bytes([0, 0, 0, 3]) + STRUCTURED + GO
GREETING_TO_ACK_BYTES = 18 + 20 + 32 + 34 + 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NbdServer]:
    with nbd_server(tmp_path / "disk.sock") as server:
        yield server


def receive(client: socket.socket, size: int) -> bytes:
    data = memoryview(bytearray(size))
    at = 0
    while at < size:
        more = client.recv_into(data[at:])
        assert more, f"it hung up after {at} of {size} bytes"
        at += more
    return bytes(data)


def opened(server: NbdServer) -> socket.socket:
    client = server.connect()
    client.sendall(HELLO)
    receive(client, GREETING_TO_ACK_BYTES)
    return client


def reaches_end(client: socket.socket) -> bool:
    try:
        while client.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def test_the_socket_is_the_owners_alone_and_goes_at_the_end(server: NbdServer) -> None:
    assert stat.S_IMODE(server.at.stat().st_mode) == 0o600
    assert server.stop() == 0
    assert not server.at.exists()


def test_fifty_clients_at_once(server: NbdServer) -> None:
    clients = [opened(server) for _ in range(50)]
    for number, client in enumerate(clients):
        client.sendall(write(number * 4096, bytes([number]) * 4096))
    for client in clients:
        assert receive(client, 16)[:8] == bytes.fromhex("67446698 00000000")
    for number, client in enumerate(clients):
        client.sendall(request(READ, number * 4096, 4096))
    for number, client in enumerate(clients):
        assert receive(client, 28 + 4096)[28:] == bytes([number]) * 4096
        client.close()
    server.settle()


def test_a_large_write_and_read_back_through_the_socket(server: NbdServer) -> None:
    client = opened(server)
    data = bytes(range(256)) * (8 * MIB // 256)
    client.sendall(write(0, data))
    assert receive(client, 16)[4:8] == bytes(4)
    client.sendall(request(READ, 0, 8 * MIB))
    answer = receive(client, 8 * (28 + MIB) + 20)
    chunks = sorted(body for _, error, body in replies(answer) if error == -1)
    assert b"".join(chunk[8:] for chunk in chunks) == data
    client.close()
    server.settle()


def test_clients_that_vanish_anywhere_leave_nothing_behind(server: NbdServer) -> None:
    said = HELLO + write(0, bytes(300_000)) + request(READ, 0, 4 * MIB) + request(FLUSH, 0, 0)
    for cut in (0, 3, 4, 20, len(HELLO), len(HELLO) + 27, len(HELLO) + 28, len(HELLO) + 200_000, len(said)):
        client = server.connect()
        client.sendall(said[:cut])
        client.close()
    server.settle()
    assert server.stop() == 0


def test_clients_who_do_not_read_hold_up_nobody(server: NbdServer) -> None:
    deaf = [opened(server) for _ in range(3)]  # each may hold half of the pool
    for client in deaf:
        client.sendall(b"".join(request(READ, 0, MIB, cookie=number) for number in range(64)))
    wait_for(lambda: server.count("free") < 17)
    other = opened(server)
    other.sendall(request(READ, 0, 64 << 10))
    assert len(receive(other, 28 + (64 << 10))) == 28 + (64 << 10)
    for client in deaf:  # now they read, and get everything
        answers = [receive(client, 28 + MIB)[:28] for _ in range(64)]
        assert sorted(answer[15] for answer in answers) == list(range(64))
        client.close()
    other.close()
    server.settle()


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", bytes(4096), b"\xff" * 4096, b"IHAVEOPT" * 100])
def test_noise_costs_its_sender_only(server: NbdServer, noise: bytes) -> None:
    good, bad = opened(server), server.connect()
    bad.sendall(noise)
    bad.shutdown(socket.SHUT_WR)
    assert reaches_end(bad)
    good.sendall(request(FLUSH, 0, 0))
    assert receive(good, 16)[4:8] == bytes(4)
    good.close()
    server.settle()


def test_drain_answers_what_is_in_flight_then_hangs_up(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", faults=Faults(delay_s=0.3)) as server:
        client, idle = opened(server), opened(server)
        client.sendall(write(0, bytes(4096)) + request(READ, 0, 512, cookie=2))
        wait_for(lambda: server.count("in_flight") == 2)
        server.child.signal(15)
        assert reaches_end(idle)
        client.sendall(write(0, bytes(512), cookie=3))
        data = b""
        while more := client.recv(65536):
            data += more
        answers = {cookie: error for cookie, error, _ in replies(data)}
        assert answers == {1: 0, 2: -1, 3: 108}
        assert server.child.wait(5) == 0
        with pytest.raises(FileNotFoundError):
            server.connect()


def test_drain_does_not_wait_for_ever_for_a_client_who_does_not_finish(tmp_path: Path) -> None:
    with nbd_server(tmp_path / "disk.sock", drain_s=0.2) as server:
        client = opened(server)
        client.sendall(request(WRITE, 0, 4096, payload=bytes(100)))
        wait_for(lambda: server.count("made") == 1)
        assert server.stop() == 0
        assert reaches_end(client)


def test_who_connected_before_a_growth_is_told_of_until_they_connect_again(tmp_path: Path) -> None:
    loop = Loop()
    driver = memory_driver(loop, unit_of(10 << 30), slots=4)
    frontend = NbdFrontend(loop, driver, tmp_path / "disk.sock", "unit_1")

    def connected(said: bytes) -> socket.socket:
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(frontend.at))
        client.sendall(said)
        take_all()
        return client

    def take_all() -> None:
        loop.call_later(0.01, loop.stop)
        loop.run()

    def grow() -> None:
        driver.unit = driver.unit.changed(blocks=driver.unit.blocks * 2, generation=2, flags=driver.unit.flags)

    early, slow = [connected(HELLO), connected(HELLO)], connected(HELLO[:4])
    assert frontend.notices() == []
    grow()
    assert frontend.notices() == ["2 clients see 10 GiB until they connect again"]
    later = connected(HELLO)
    grow()
    slow.sendall(HELLO[4:])
    take_all()
    twenty = "1 client sees 20 GiB until it connects again"
    assert frontend.notices() == ["2 clients see 10 GiB until they connect again", twenty]
    assert frontend.outdated_clients == {10 << 30: 2, 20 << 30: 1}
    driver.faults.delay_s = 60
    for client in early:
        client.sendall(request(READ, 0, 512))
        take_all()
        client.close()
    take_all()
    assert frontend.notices() == [twenty], "who has left sees nothing, though a request of theirs is under way"
    driver.finish_all()
    for client in (slow, later):
        client.close()
    frontend.close()
    loop.close()
