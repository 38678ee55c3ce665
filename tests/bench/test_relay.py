"""Proves the relay: delay, bandwidth and window are what they were said to be; bytes, order and ends are right."""

import hashlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.link import Link
from bench.relay import RESET, relaying
from tests.harness import free_ports

pytestmark = pytest.mark.system

MIB = 1 << 20


@dataclass
class Ends:
    """Connected pairs: what went to the relay, and what came out of it."""

    near: list[socket.socket]
    far: list[socket.socket]


@contextmanager
def connected(link: Link, count: int = 1) -> Iterator[Ends]:
    door, target = (("127.0.0.1", port) for port in free_ports(2))
    with socket.create_server(target) as listener, relaying({door: target}, link) as relay:
        listener.settimeout(20)
        ends = Ends([], [])
        for _ in range(count):
            ends.near.append(socket.create_connection(door))
            ends.far.append(listener.accept()[0])
        for sock in (*ends.near, *ends.far):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(20)
        yield ends
        for sock in (*ends.near, *ends.far):
            sock.close()
    assert set(relay.told) == {"there_bytes", "back_bytes", "cpu_s"}


def receive(sock: socket.socket, count: int) -> bytes:
    return sock.recv(count, socket.MSG_WAITALL)


def flood(sock: socket.socket, count: int) -> None:
    sock.sendall(bytes(count))


def drain(sock: socket.socket, until_s: float) -> list[tuple[float, int]]:
    """Read until then; give (when, bytes) of each receive."""
    got = []
    buffer = bytearray(256 << 10)
    sock.settimeout(0.02)
    while time.monotonic() < until_s:
        try:
            got.append((time.monotonic(), sock.recv_into(buffer)))
        except TimeoutError:
            continue
    return got


def test_a_round_trip_takes_twice_the_delay() -> None:
    with connected(Link(delay_s=0.02)) as ends:
        (near,), (far,) = ends.near, ends.far
        trips_s = []
        for _ in range(8):
            began_s = time.monotonic()
            near.sendall(b"ping")
            far.sendall(receive(far, 4))
            receive(near, 4)
            trips_s.append(time.monotonic() - began_s)
    assert min(trips_s) >= 0.04
    assert min(trips_s) < 0.05, trips_s


def test_without_a_delay_it_adds_next_to_nothing() -> None:
    with connected(Link()) as ends:
        began_s = time.monotonic()
        for _ in range(50):
            ends.near[0].sendall(b"ping")
            receive(ends.far[0], 4)
    assert time.monotonic() - began_s < 1.0


@pytest.mark.parametrize("link", [Link(), Link(0.005, 200e6, 100_000)])
def test_bytes_arrive_whole_and_in_order_both_ways_at_once(link: Link) -> None:
    def send(sock: socket.socket, data: bytes) -> None:
        for start in range(0, len(data), 77_777):
            sock.sendall(data[start : start + 77_777])
        sock.shutdown(socket.SHUT_WR)

    def read(sock: socket.socket) -> str:
        digest = hashlib.sha256()
        while part := sock.recv(65_536):
            digest.update(part)
        return digest.hexdigest()

    with connected(link, 3) as ends, ThreadPoolExecutor(12) as pool:
        socks = [*ends.near, *ends.far]
        sent = [os.urandom(4 * MIB + number) for number in range(len(socks))]
        for sock, data in zip(socks, sent, strict=True):
            pool.submit(send, sock, data)
        found = list(pool.map(read, [*ends.far, *ends.near]))
    assert found == [hashlib.sha256(data).hexdigest() for data in sent]


def test_all_connections_together_get_the_bandwidth_and_each_its_share() -> None:
    rate = 40e6
    with connected(Link(bytes_per_s=rate), 4) as ends, ThreadPoolExecutor(8) as pool:
        for far in ends.far:
            pool.submit(flood, far, 64 * MIB)
        until_s = time.monotonic() + 1.5
        got = list(pool.map(lambda near: drain(near, until_s), ends.near))
        for sock in (*ends.near, *ends.far):
            sock.close()
    rows = [row for each in got for row in each]
    seconds = max(at_s for at_s, _ in rows) - min(at_s for at_s, _ in rows)
    shares = [sum(count for _, count in each) for each in got]
    assert 0.85 * rate < sum(shares) / seconds < 1.05 * rate
    assert min(shares) > 0.8 * max(shares), shares


def test_one_connection_gets_one_window_in_each_round_trip() -> None:
    window, delay_s = 128 << 10, 0.05
    with connected(Link(delay_s, window_bytes=window)) as ends, ThreadPoolExecutor(1) as pool:
        began_s = time.monotonic()
        pool.submit(flood, ends.far[0], 16 * MIB)
        got = drain(ends.near[0], began_s + 0.05 + 10 * 2 * delay_s)
        ends.near[0].close()
    count = sum(count for _, count in got)
    assert count <= 11 * window, "more than a window was under way"
    assert count >= 7 * window


def test_the_next_window_waits_for_the_way_back_too() -> None:
    window, delay_s = 64 << 10, 0.1
    with connected(Link(delay_s, window_bytes=window)) as ends:
        began_s = time.monotonic()
        ends.near[0].sendall(bytes(window + 1))
        receive(ends.far[0], window)
        first_s = time.monotonic() - began_s
        receive(ends.far[0], 1)
        second_s = time.monotonic() - began_s
    assert delay_s <= first_s < 2 * delay_s
    assert second_s >= 3 * delay_s


def test_a_receiver_that_reads_nothing_stops_its_sender_and_nobody_else() -> None:
    with connected(Link(window_bytes=MIB), 2) as ends:
        ends.far[0].setblocking(False)
        sent = 0
        until_s = time.monotonic() + 10
        quiet_s = time.monotonic() + 0.3
        while time.monotonic() < min(until_s, quiet_s):
            try:
                sent += ends.far[0].send(bytes(MIB))
                quiet_s = time.monotonic() + 0.3
            except BlockingIOError:
                time.sleep(0.01)
        assert time.monotonic() < until_s, "it takes without end"
        ends.far[1].sendall(b"free")
        assert receive(ends.near[1], 4) == b"free"
        found = sum(count for _, count in drain(ends.near[0], time.monotonic() + 1.0))
        assert 0 < found <= sent


def test_the_end_of_one_direction_is_carried_over_alone() -> None:
    with connected(Link(delay_s=0.02)) as ends:
        (near,), (far,) = ends.near, ends.far
        near.sendall(b"last words")
        near.shutdown(socket.SHUT_WR)
        assert receive(far, 10) == b"last words"
        assert far.recv(1) == b""
        far.sendall(b"answer")
        assert receive(near, 6) == b"answer"
        far.close()
        assert near.recv(1) == b""


def test_a_reset_is_carried_over() -> None:
    with connected(Link(delay_s=0.02)) as ends:
        ends.far[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        ends.far[0].close()
        with pytest.raises(ConnectionResetError):
            ends.near[0].recv(1)


def test_nobody_at_the_far_end_is_a_reset() -> None:
    door, target = (("127.0.0.1", port) for port in free_ports(2))
    with relaying({door: target}, Link()), socket.create_connection(door) as near:
        near.settimeout(20)
        with pytest.raises(ConnectionResetError):
            near.recv(1)


def test_it_carries_to_a_unix_socket(tmp_path: Path) -> None:
    door = ("127.0.0.1", free_ports(1)[0])
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with relaying({door: tmp_path / "s"}, Link()), socket.create_connection(door) as near:
            near.sendall(b"words")
            far, _ = listener.accept()
            assert receive(far, 5) == b"words"
            far.close()


def test_it_ends_while_connections_are_busy() -> None:
    door, target = (("127.0.0.1", port) for port in free_ports(2))
    with socket.create_server(target) as listener:
        with relaying({door: target}, Link(delay_s=0.5)) as relay:
            near = socket.create_connection(door)
            far, _ = listener.accept()
            sender = threading.Thread(target=near.sendall, args=(bytes(MIB),))
            sender.start()
            sender.join()
        near.close()
        far.close()
    assert relay.told["there_bytes"] <= MIB
