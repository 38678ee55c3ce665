"""Proves the edge of the configuration socket: who gets a byte, the timer, the bounds, and how a line ends."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from ipc.loop import Loop
from ipc.tls import TlsIdentity
from protocol.events import AskStartTime, AskUnits, Event, Granted, LoginProven, StartTime
from protocol.limits import HANDSHAKE_TIMEOUT_S
from protocol.records import UnitFlag, UnitRecord
from protocol.v1 import codec
from serverside import config_port
from serverside.config_port import ConfigLine, ConfigPort
from tests.harness import free_ports
from tests.serverside.rig import HERE, SECRET, TalkingHost, connected, is_over, readable, received, turn

THERE = "127.0.0.3"
MANY_UNITS = [UnitRecord(n, 1, 8, UnitFlag(0), bytes(16), f"unit_{n}") for n in range(1000)]


class Server:
    """Grants whoever is proven, answers what is asked, and remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[ConfigLine] = []
        self.told: list[Event] = []
        self.closed: list[ConfigLine] = []
        self.refused: list[str] = []
        self.grants = True
        self.tls: TlsIdentity | None = None

    def offered(self, peer_address: str) -> int:
        return 0x03 if peer_address == HERE else 0x00

    def secret_of(self, login: str) -> bytes | None:
        return SECRET if login == "host1" else None

    def next_secret_of(self, login: str) -> bytes | None:
        return None

    def identity(self) -> TlsIdentity | None:
        return self.tls

    def on_event(self, line: ConfigLine, event: Event) -> None:
        self.told.append(event)
        if isinstance(event, LoginProven):
            self.lines.append(line)
            if self.grants:
                line.dialogue.grant(1, 1 << 32)
        elif isinstance(event, AskUnits):
            line.dialogue.answer_units(MANY_UNITS)
        elif isinstance(event, AskStartTime):
            line.dialogue.answer_starttime(42)

    def on_refused(self, peer_address: str, why: str) -> None:
        self.refused.append(f"{peer_address}: {why}")

    def on_closed(self, line: ConfigLine) -> None:
        self.closed.append(line)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def port(loop: Loop, server: Server) -> Iterator[ConfigPort]:
    port = opened(loop, server)
    yield port
    port.close()
    for line in server.lines:
        line.close()


def test_it_is_opened_on_new_addresses_and_left_on_others(loop: Loop, server: Server, port: ConfigPort) -> None:
    """Who came in on an address stays when it is left."""
    host = TalkingHost(loop, port.number)
    host.log_in()
    port.open((HERE, THERE))
    port.open((THERE,))
    socket.create_connection((THERE, port.number), timeout=5).close()
    port.close_others((THERE,))
    assert set(port.listeners) == {THERE}
    with pytest.raises(ConnectionRefusedError):
        connected(port.number)
    host.dialogue.ask_starttime()
    assert host.next(StartTime).cookie == 42
    host.close()


def opened(loop: Loop, server: Server, *, privileged: bool = False) -> ConfigPort:
    return ConfigPort(loop, "box1", (HERE,), free_ports(1)[0], privileged, server)


def number_of(port: ConfigPort) -> int:
    return port.number


def stranger(port: ConfigPort, source: str = HERE) -> socket.socket:
    return connected(number_of(port), source)


def greeted(loop: Loop, sock: socket.socket) -> codec.Header:
    turn(loop, partial(readable, sock))
    return codec.decode(received(sock, 512))


def wrong_reply() -> bytes:
    return codec.encode(codec.Header(zn_version=1, zn_reqsz_lo=0))


# --- steps 1 to 5 ---


def test_step_2_the_server_speaks_first_and_offers_what_the_address_may_have(loop: Loop, port: ConfigPort) -> None:
    with stranger(port) as known, stranger(port, "127.0.0.5") as unknown:
        assert greeted(loop, known).zn_version == 0x03
        assert greeted(loop, unknown).zn_version == 0x00


def test_step_1_an_unprivileged_port_is_closed_without_a_byte(loop: Loop, server: Server) -> None:
    port = opened(loop, server, privileged=True)
    with stranger(port) as sock:
        turn(loop, partial(readable, sock))
        assert sock.recv(1) == b""
        number = sock.getsockname()[1]
    assert port.half_open == {}
    assert server.refused == [f"{HERE}: its port is {number}, and PRIVILEGED_PORT = yes asks for one below 1024"]
    port.close()


@pytest.mark.parametrize("secret", [SECRET, None], ids=["v2", "v1"])
def test_a_proven_host_is_told_and_held(loop: Loop, port: ConfigPort, server: Server, secret: bytes | None) -> None:
    host = TalkingHost(loop, number_of(port), secret=secret)
    assert host.next(Granted).version == (2 if secret else 1)
    assert port.half_open == {}
    host.dialogue.ask_starttime()
    assert host.next(StartTime).cookie == 42
    host.close()
    turn(loop, lambda: server.closed == server.lines)


def test_step_4_who_says_nothing_or_half_is_closed_in_time(
    loop: Loop, port: ConfigPort, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HANDSHAKE_TIMEOUT_S == 5.0
    monkeypatch.setattr("serverside.config_port.HANDSHAKE_TIMEOUT_S", 0.1)
    with stranger(port) as silent, stranger(port) as half:
        half.sendall(bytes(511))
        began_s = loop.now()
        turn(loop, lambda: is_over(silent) and is_over(half))
        assert 0.1 <= loop.now() - began_s < 1
    assert (len(server.closed), port.half_open) == (2, {})


def test_the_timer_is_over_once_a_host_is_proven(
    loop: Loop, port: ConfigPort, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The grant may wait for a burial; that is not the host's fault."""
    monkeypatch.setattr("serverside.config_port.HANDSHAKE_TIMEOUT_S", 0.1)
    server.grants = False
    host = TalkingHost(loop, number_of(port))
    host.until(lambda: server.lines)
    loop.call_later(0.3, loop.stop)
    loop.run()
    server.lines[0].dialogue.grant(1, 1)
    server.lines[0].send()
    assert host.next(Granted).session == 1
    host.close()


@pytest.mark.parametrize("behind", [0, 4096, 300_000])
def test_step_5_a_wrong_complement_is_told_then_closed(
    loop: Loop, port: ConfigPort, server: Server, behind: int
) -> None:
    """Also when more input waits unread: that would reset the connection and could take the answer away."""
    with stranger(port) as sock:
        greeted(loop, sock)
        sock.sendall(wrong_reply() + bytes(behind))
        answer = greeted(loop, sock)
        assert answer.zn_status == 0xFFFFFFFF
        turn(loop, partial(readable, sock))
        assert sock.recv(1) == b""
    assert server.told == []
    assert len(server.refused) == 1
    assert "complement" in server.refused[0]


# --- bounds ---


def test_of_the_half_open_the_oldest_goes_first(loop: Loop, port: ConfigPort) -> None:
    with ExitStack() as stack:
        sockets = [stack.enter_context(stranger(port)) for _ in range(config_port.HALF_OPEN_MAX + 3)]
        turn(loop, lambda: all(readable(sock) for sock in sockets))
        turn(loop, lambda: [is_over(sock) for sock in sockets[:4]] == [True, True, True, False])
        assert len(port.half_open) == config_port.HALF_OPEN_MAX


def test_who_is_being_refused_and_does_not_go_is_counted_too(loop: Loop, port: ConfigPort) -> None:
    """Else a second's worth of wrong replies would hold as many descriptors as anybody likes."""
    before = len(os.listdir("/proc/self/fd"))
    with ExitStack() as stack:
        for _ in range(config_port.HALF_OPEN_MAX * 2):
            sock = stack.enter_context(stranger(port))
            greeted(loop, sock)
            sock.sendall(wrong_reply())
            turn(loop, partial(readable, sock))
        assert len(port.half_open) == config_port.HALF_OPEN_MAX
        assert len(os.listdir("/proc/self/fd")) == before + 3 * config_port.HALF_OPEN_MAX, "two thirds are ours"


def test_of_those_that_hear_last_words_the_oldest_goes_first(loop: Loop, port: ConfigPort, server: Server) -> None:
    """Else a host that logs in again and again, and never hangs up, would hold as many descriptors as it likes."""
    with ExitStack() as stack:
        hosts = []
        for _ in range(config_port.HALF_OPEN_MAX + 3):
            host = TalkingHost(loop, number_of(port))
            stack.callback(host.close)
            host.next(Granted)
            server.lines[-1].finish_now()
            hosts.append(host)
        assert len(port.half_open) == config_port.HALF_OPEN_MAX
        assert [line in server.closed for line in server.lines[:4]] == [True, True, True, False]


def test_who_asks_much_and_reads_nothing_is_cut_off(loop: Loop, port: ConfigPort, server: Server) -> None:
    host = TalkingHost(loop, number_of(port))
    host.next(Granted)
    host.sock.settimeout(0)
    for _ in range(200):  # 128 KB of answer each
        host.dialogue.ask_units()
        try:
            host.sock.sendall(host.dialogue.data_to_send())
        except OSError:
            break
    turn(loop, lambda: server.closed)
    host.close()


def test_a_line_that_ends_while_its_output_waits_ends_in_time_and_turns_no_wheels(
    loop: Loop, port: ConfigPort, server: Server
) -> None:
    host = TalkingHost(loop, number_of(port))
    host.next(Granted)
    line = server.lines[0]
    line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1

    for _ in range(4):
        host.dialogue.ask_units()
    host.sock.sendall(host.dialogue.data_to_send())
    turn(loop, lambda: line.unsent)
    host.sock.sendall(b"\xff" * 512)
    turn(loop, lambda: line.finishing)
    began_s = loop.now()
    loop.after_each(count)
    loop.call_later(0.2, loop.stop)
    loop.run()
    assert turns < 50, "blocked output"
    turns = 0
    while not line.closed and line.unsent:  # the host reads at last: what is queued still comes
        host.sock.recv(1 << 20)
        loop.call_later(0.01, loop.stop)
        loop.run()
    turns = 0
    loop.call_later(0.2, loop.stop)
    loop.run()
    assert turns < 50, "said good-bye"
    turn(loop, lambda: line.closed)
    assert loop.now() - began_s < config_port.GOODBYE_S + 1
    host.close()


# --- ends ---


@pytest.mark.parametrize("noise", [b"\xff" * 512, b"\xff" * 4096, bytes(512)])
def test_noise_after_the_login_ends_the_line_once(loop: Loop, port: ConfigPort, server: Server, noise: bytes) -> None:
    host = TalkingHost(loop, number_of(port))
    host.next(Granted)
    host.sock.sendall(noise)
    turn(loop, host.is_over)
    host.close()
    turn(loop, lambda: server.closed)
    server.lines[0].close()
    assert server.closed == server.lines


def test_a_reset_at_any_moment_is_one_end(loop: Loop, port: ConfigPort, server: Server) -> None:
    for say in (b"", bytes(100), wrong_reply(), b"\xff" * 2048):
        sock = stranger(port)
        sock.sendall(say)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    turn(loop, lambda: len(server.closed) == 4)
    assert port.half_open == {}


def test_going_on_before_the_answer_of_step_5_ends_the_line(loop: Loop, port: ConfigPort, server: Server) -> None:
    server.grants = False
    host = TalkingHost(loop, number_of(port))
    host.until(lambda: server.lines)
    host.sock.sendall(bytes(512))
    turn(loop, lambda: server.closed)
    host.close()


def test_closing_the_port_refuses_and_ends_the_half_open(loop: Loop, port: ConfigPort, server: Server) -> None:
    with stranger(port) as sock:
        greeted(loop, sock)
        number = number_of(port)
        port.close()
        turn(loop, partial(is_over, sock))
        with pytest.raises(ConnectionRefusedError):
            connected(number)
