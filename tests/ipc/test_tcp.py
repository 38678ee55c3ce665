"""Proves on the kernel's own TCP what it says of a peer: gone when nothing is acknowledged, there when it waits."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from ipc.tcp import keep_alive, least_round_trip_s, limit_unacknowledged, unanswered_s
from tests.harness.netns import Networks, needs_networks

PORT = 4000


def pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    mine.setblocking(False)
    return mine, theirs


def fill(sock: socket.socket) -> None:
    """Send until the peer's window and our own buffer are full."""
    try:
        while True:
            sock.send(bytes(1 << 16))
    except BlockingIOError:
        pass


def watch(sock: socket.socket, seconds: float) -> float:
    """Give the longest time for which the peer has left something unanswered."""
    most_s, until_s = 0.0, time.monotonic() + seconds
    while time.monotonic() < until_s:
        most_s = max(most_s, unanswered_s(sock))
        time.sleep(0.01)
    return most_s


def test_who_has_nothing_to_say_owes_nothing() -> None:
    """Keepalive's questions are answered by the kernel."""
    mine, theirs = pair()
    with mine, theirs:
        keep_alive(mine, idle_s=1, every_s=1, probes=3)
        assert watch(mine, 2.5) < 1.0


def test_a_full_window_is_no_silence_and_user_timeout_counts_it_all_the_same() -> None:
    """Two ends whose peers read nothing and are alive: the one with a TCP_USER_TIMEOUT is ended (traps 20, 21)."""
    limited, first = pair()
    patient, second = pair()
    with limited, first, patient, second:
        limit_unacknowledged(limited, 1.0)
        keep_alive(patient, idle_s=1, every_s=1, probes=3)
        fill(limited)
        fill(patient)
        assert watch(patient, 3.0) < 1.0
        assert limited.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 110
        assert patient.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


class Peer:
    """A connection over a network that can be silenced: made here, its peer there, in a process of its own."""

    SERVE = f"""
import socket, sys
with socket.create_server((sys.argv[1], {PORT})) as listener:
    print("there", flush=True)
    kept = [listener.accept()[0] for _ in range(int(sys.argv[2]))]
    sys.stdin.read()
"""
    TALK = f"""
import json, socket, sys, time
from ipc.tcp import keep_alive, limit_unacknowledged, unanswered_s
busy, idle, limited = (socket.create_connection((sys.argv[1], {PORT})) for _ in range(3))
for sock in (busy, idle):
    keep_alive(sock, idle_s=1, every_s=1, probes=3)
limit_unacknowledged(limited, 1)
time.sleep(1.5)
print("ready", flush=True)
sys.stdin.readline()
cut_s = time.monotonic()
busy.send(b"x")
limited.send(b"x")
found = {{}}
while len(found) < 3 and time.monotonic() - cut_s < 8:
    passed_s = time.monotonic() - cut_s
    for name, sock in (("busy", busy), ("idle", idle)):
        if name not in found and unanswered_s(sock) >= 2:
            found[name] = passed_s
    if "limited" not in found and limited.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        found["limited"] = passed_s
    time.sleep(0.01)
print(json.dumps(found), flush=True)
"""

    def __init__(self, networks: Networks) -> None:
        address = networks[0].server_address
        self.there = self.process(networks.server.command(sys.executable, "-c", self.SERVE, address, "3"))
        assert self.there.stdout is not None
        assert self.there.stdout.readline() == "there\n"
        self.here = self.process(networks.host.command(sys.executable, "-c", self.TALK, address))

    def process(self, command: list[str]) -> "subprocess.Popen[str]":
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def close(self) -> None:
        for process in (self.here, self.there):
            process.kill()
            process.communicate()


def test_the_round_trip_is_that_of_the_network_and_not_of_a_program_that_takes_long() -> None:
    mine, theirs = pair()
    with mine, theirs:
        for _ in range(3):
            mine.send(b"?")
            time.sleep(0.05)
            theirs.send(theirs.recv(1))
            time.sleep(0.01)
            mine.recv(1)
        assert 0 < least_round_trip_s(mine) < 0.04


def test_what_is_no_tcp_socket_has_no_round_trip() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        assert least_round_trip_s(mine) == 0.0


@pytest.fixture
def networks() -> Iterator[Networks]:
    with Networks(1) as networks:
        yield networks


@needs_networks
def test_a_silent_network_is_found_on_a_busy_and_on_an_idle_connection(networks: Networks) -> None:
    peer = Peer(networks)
    try:
        assert peer.here.stdout is not None
        assert peer.here.stdout.readline() == "ready\n"
        networks[0].silence()
        told, _ = peer.here.communicate("cut\n", timeout=20)
        found: dict[str, float] = json.loads(told)
        assert 1.0 < found["busy"] < 2.5
        assert 1.0 < found["idle"] < 3.5
        assert 0.9 < found["limited"] < 2.0
    finally:
        peer.close()
