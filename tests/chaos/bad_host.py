"""A host that logs in rightly and then behaves badly: `python -m tests.chaos.bad_host KIND ADDRESS PORT SECRET_FILE`.

It is a process of its own, so that it takes nothing from whoever measures but what it takes from the server. It says a
line when it has begun, and goes on until it is killed.

| kind | what it does |
|---|---|
| slow_reader | asks for as much as the server takes, on each path, and reads a kilobyte a second of the answers |
| slow_writer | sends its writes at a hundred bytes a second |
| promises | announces 64 KiB on each path and sends 1,000 bytes |
| connects | connects and hangs up, to all ports, as fast as it can |
| churns | opens paths, with all that is right, and hangs up, as fast as it can |
| logs_in | logs in again and again, as fast as it can, and leaves the old sockets open |
"""

import secrets
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from protocol.data import host_data
from protocol.data_base import HostData
from protocol.dialogue import HostDialogue
from protocol.errors import LoginRefused
from protocol.events import DataPorts, Event, Fenced, Granted, PathTicket, Units
from protocol.limits import HEADER_BYTES
from protocol.ops import Op
from protocol.path_login import check_login_answer, path_token, v2_login_message
from protocol.records import DataPort

LOGIN = "bad"
PATHS = 4
PIECE_BYTES = 64 << 10
PROMISED_SENT_BYTES = 1_000
READS = 64
_E = TypeVar("_E", bound=Event)


class RawHost:
    """The least that makes a host: a session and data sockets, blocking."""

    def __init__(self, address: str, port: int, secret: bytes, login: str = LOGIN) -> None:
        self.secret = secret
        self.sock = socket.create_connection((address, port), timeout=10)
        self.dialogue = HostDialogue(2, login, secret, secrets.token_bytes(32))
        self.heard: list[Event] = []
        try:
            self.granted = self.next(Granted)
        except LoginRefused:
            self.sock.close()
            raise
        self.dialogue.ask_units()
        self.generation = self.next(Units).units[0].generation
        self.dialogue.ask_dataports()
        self.ports = self.next(DataPorts).ports

    def next(self, kind: type[_E]) -> _E:
        """Talk until an event of this kind comes."""
        while True:
            self.sock.sendall(self.dialogue.data_to_send())
            for event in self.heard:
                if isinstance(event, kind):
                    self.heard.remove(event)
                    return event
            data = self.sock.recv(65536)
            assert data, "the server has hung up"
            self.heard += self.dialogue.receive(data)

    def open_path(self, path: int, port: DataPort) -> "RawPath":
        self.dialogue.ask_path(path)
        nonce = self.next(PathTicket).nonce
        key, granted = self.dialogue.session_key, self.granted
        assert key is not None
        tokens = [path_token(key, role, granted.session, path, nonce) for role in (b"host", b"server")]
        sock = socket.create_connection((port.address, port.port), timeout=10)
        sock.sendall(v2_login_message(granted.session, granted.epoch, path, tokens[0]))
        answer = sock.recv(HEADER_BYTES, socket.MSG_WAITALL)
        marker = check_login_answer(2, answer, session=granted.session, path=path, server_token=tokens[1])
        machine = host_data(2, session=granted.session, epoch=granted.epoch, path=path, marker=marker)
        return RawPath(sock, machine, self.generation)

    def open_paths(self) -> list["RawPath"]:
        return [self.open_path(path, self.ports[path % len(self.ports)]) for path in range(PATHS)]


class RawPath:
    """A data socket on which requests are only sent."""

    def __init__(self, sock: socket.socket, machine: HostData, generation: int) -> None:
        self.sock = sock
        self.machine = machine
        self.generation = generation

    def header(self, op: Op) -> bytes:
        """Give a request of PIECE_BYTES at block 0."""
        into = bytearray(HEADER_BYTES)
        self.machine.request(
            memoryview(into), op=op, flags=0, unit=0, generation=self.generation, lba=0, size_bytes=PIECE_BYTES, tag=0
        )
        return bytes(into)


def slow_reader(host: RawHost) -> None:
    paths = host.open_paths()
    for path in paths:
        path.sock.sendall(b"".join(path.header(Op.READ) for _ in range(READS)))
    begun()
    while True:
        time.sleep(1)
        for path in paths:
            path.sock.recv(1024)


def slow_writer(host: RawHost) -> None:
    paths = host.open_paths()
    for path in paths:
        path.sock.sendall(path.header(Op.WRITE))
    begun()
    while True:
        time.sleep(0.1)
        for path in paths:
            path.sock.sendall(bytes(10))


def promises(host: RawHost) -> None:
    paths = host.open_paths()
    for path in paths:
        path.sock.sendall(path.header(Op.WRITE) + bytes(PROMISED_SENT_BYTES))
    begun()
    time.sleep(3600)


def connects(host: RawHost) -> None:
    peer = host.sock.getpeername()
    addresses = [peer, *((port.address, port.port) for port in host.ports)]
    begun()
    while True:
        for address in addresses:
            socket.create_connection(address, timeout=10).close()


def churns(host: RawHost) -> None:
    begun()
    while True:
        host.open_path(0, host.ports[0]).sock.close()
        host.dialogue.ask_fence(0)
        host.next(Fenced)


def logs_in(host: RawHost) -> None:
    begun()
    former = deque([host], maxlen=200)
    while True:
        address, port = host.sock.getpeername()
        former.append(RawHost(address, port, host.secret))


def begun() -> None:
    print("begun", flush=True)


KINDS: dict[str, Callable[[RawHost], None]] = {
    "slow_reader": slow_reader,
    "slow_writer": slow_writer,
    "promises": promises,
    "connects": connects,
    "churns": churns,
    "logs_in": logs_in,
}


def main() -> None:
    kind, address, port, secret_file = sys.argv[1:]
    KINDS[kind](RawHost(address, int(port), bytes.fromhex(Path(secret_file).read_text().strip())))


if __name__ == "__main__":
    main()
