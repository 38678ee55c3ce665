"""For tests of the server's edge: settings in a line, a loop turned until something holds, a host that talks."""

import select
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ipc.loop import Loop
from protocol.data import host_data
from protocol.data_base import Answer, HostData
from protocol.dialogue import HostDialogue
from protocol.events import Event, Fenced, Granted, PathTicket
from protocol.path_login import (
    check_login_answer,
    path_token,
    v1_login_message,
    v2_login_message,
)
from serverside.settings import (
    ArraySettings,
    DataPortSettings,
    DriveSettings,
    HostSettings,
    PartitionSettings,
    ServerSettings,
)

SECRET = bytes(range(32))
HERE = "127.0.0.1"
TURN_MOST_S = 10.0


def unit(
    name: str = "unit_1", blocks: int = 256, first: int = 0, *, read_only: bool = False, zero: bool = False
) -> PartitionSettings:
    return PartitionSettings(name, "unit0", first, first + blocks - 1, read_only, zero)


def host(
    name: str = "host1",
    *,
    units: Sequence[PartitionSettings] = (unit(),),
    ports: Sequence[tuple[int, int]] = (),
    secret: bytes | None = SECRET,
    address: str = HERE,
) -> HostSettings:
    """`ports`: (port number, connections)."""
    data_ports = tuple(DataPortSettings(HERE, number, most) for number, most in ports)
    return HostSettings(name, (address,), secret, data_ports, tuple(units))


def settings(folder: Path, *hosts: HostSettings, config_port: int = 0, drive_blocks: int = 2048) -> ServerSettings:
    drives = (DriveSettings(folder / "drive0.img", drive_blocks * 512),)
    return ServerSettings(
        "box1", folder / "state", config_port, (HERE,), False, (ArraySettings("unit0", "jbod", drives),), hosts
    )


def turn(loop: Loop, holds: Callable[[], object], timeout_s: float = TURN_MOST_S) -> None:
    """Turn the loop until `holds`; fail when that takes too long."""
    until_s = loop.now() + timeout_s

    def look() -> None:
        if holds() or loop.now() > until_s:
            loop.stop()
        else:
            loop.call_later(0.001, look)

    if not holds():
        loop.call_later(0, look)
        loop.run()
        assert holds(), "not in time"


def is_over(sock: socket.socket) -> bool:
    """Whether the peer has closed, orderly or not. Waits for nothing; what still comes is thrown away."""
    try:
        while readable(sock):
            if not sock.recv(65536):
                return True
    except OSError:
        return True
    return False


def readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def connected(port: int, source: str = HERE) -> socket.socket:
    return socket.create_connection((HERE, port), timeout=5, source_address=(source, 0))


_E = TypeVar("_E", bound=Event)


class TalkingHost:
    """A host's configuration socket; whoever waits turns the server's loop meanwhile."""

    def __init__(
        self, loop: Loop, port: int, *, secret: bytes | None = SECRET, login: str = "host1", source: str = HERE
    ) -> None:
        self.loop = loop
        self.sock = connected(port, source)
        self.dialogue = HostDialogue(0x02 if secret else 0x01, login, secret, bytes(32))
        self.heard: list[Event] = []
        self.over = False
        self.granted: Granted | None = None

    def pump(self) -> None:
        """Move what there is to be moved."""
        while not self.over and readable(self.sock):
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                data = b""
            self.over = not data
            self.heard += self.dialogue.receive(data)
        self.flush()

    def flush(self) -> None:
        data = self.dialogue.data_to_send()
        if data and not self.over:
            self.sock.sendall(data)

    def next(self, kind: type[_E]) -> _E:
        """Give the next event of this kind; others are left."""
        self.flush()

        self.until(lambda: any(isinstance(event, kind) for event in self.heard))
        event = next(event for event in self.heard if isinstance(event, kind))
        self.heard.remove(event)
        return event

    def until(self, holds: Callable[[], object]) -> None:
        """Talk on until something holds."""

        def pumped() -> object:
            self.pump()
            return holds()

        turn(self.loop, pumped)

    def log_in(self) -> Granted:
        self.granted = self.next(Granted)
        return self.granted

    def ticket(self, path: int) -> PathTicket:
        self.dialogue.ask_path(path)
        return self.next(PathTicket)

    def fence(self, path: int) -> Fenced:
        self.dialogue.ask_fence(path)
        return self.next(Fenced)

    def first_message(self, path: int = 0) -> tuple[bytes, bytes]:
        """Give the login of a data socket, and the token that the server must answer with."""
        if self.dialogue.version == 1:
            return v1_login_message(self.dialogue.challenge), b""
        key, granted = self.dialogue.session_key, self.granted
        assert key is not None
        assert granted is not None
        nonce = self.ticket(path).nonce
        mine, theirs = (path_token(key, role, granted.session, path, nonce) for role in (b"host", b"server"))
        return v2_login_message(granted.session, granted.epoch, path, mine), theirs

    def open_path(self, port: int, path: int = 0) -> "DataPeer":
        """Open a data socket, logged in."""
        message, proof = self.first_message(path)
        sock = connected(port)
        sock.sendall(message)
        turn(self.loop, lambda: readable(sock))
        granted, version = self.granted, self.dialogue.version
        assert granted is not None
        assert version is not None
        answer = received(sock, 512)
        marker = check_login_answer(version, answer, session=granted.session, path=path, server_token=proof)
        machine = host_data(version, session=granted.session, epoch=granted.epoch, path=path, marker=marker)
        return DataPeer(sock, machine)

    def is_over(self) -> bool:
        """Whether the server has hung up."""
        self.pump()
        return self.over

    def close(self) -> None:
        self.sock.close()


def received(sock: socket.socket, count: int) -> bytes:
    """Receive exactly so many bytes; EOFError when the peer closes before."""
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise EOFError(f"closed after {len(data)} bytes")
        data += piece
    return data


class DataPeer:
    """A host's end of a data socket: asks, and reads answers."""

    def __init__(self, sock: socket.socket, machine: HostData, generations: Sequence[int] = ()) -> None:
        self.sock = sock
        self.machine = machine
        self.generations = generations
        """Of the units, by number; 1 where none is given."""
        sock.settimeout(5)
        self.tag = 0

    def request(
        self,
        op: int,
        lba: int = 0,
        size: int = 0,
        payload: bytes = b"",
        *,
        flags: int = 0,
        unit: int = 0,
        generation: int | None = None,
        payload_crc: int = 0,
        tag: int | None = None,
    ) -> bytes:
        """Give the bytes of a request."""
        header = bytearray(512)
        self.tag += 1
        self.machine.request(
            memoryview(header),
            op=op,
            flags=flags,
            unit=unit,
            generation=self.generation_of(unit) if generation is None else generation,
            lba=lba,
            size_bytes=len(payload) or size,
            tag=self.tag if tag is None else tag,
            payload_crc=payload_crc,
        )
        return bytes(header) + payload

    def generation_of(self, unit: int) -> int:
        return self.generations[unit] if unit < len(self.generations) else 1

    def answer(self) -> tuple[Answer, bytes]:
        """Read the next answer and its data."""
        header = received(self.sock, 512)
        answer = self.machine.next(memoryview(header), 0, 512)
        assert answer is not None
        return answer, received(self.sock, answer.payload_bytes)

    def ask(self, *arguments: int | bytes, **more: int) -> tuple[Answer, bytes]:
        """Send a request and read its answer."""
        self.sock.sendall(self.request(*arguments, **more))  # type: ignore[arg-type]  # handed on as they are
        return self.answer()

    def close(self) -> None:
        self.sock.close()
