"""Proves the edge of the data ports: the first 512 bytes in time and whole, refusals that arrive, bounds, slowing."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from ipc.loop import Loop
from protocol.limits import HANDSHAKE_TIMEOUT_S
from serverside import data_ports
from serverside.data_ports import DataPort, DataPorts, Failures, FirstHeader, keys_of
from tests.harness import free_ports
from tests.serverside.rig import HERE, connected, host, is_over, readable, received, settings, turn

FIRST = bytes(range(256)) * 2


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Judge:
    """Does with each first message as the test says."""

    def __init__(self) -> None:
        self.seen: list[FirstHeader] = []
        self.verdict: Callable[[FirstHeader], object] = lambda first: None

    def __call__(self, first: FirstHeader) -> None:
        self.seen.append(first)
        self.verdict(first)


@pytest.fixture
def judge() -> Judge:
    return Judge()


@pytest.fixture
def port(loop: Loop, judge: Judge) -> Iterator[DataPort]:
    port = DataPort(loop, (HERE, free_ports(1)[0]), judge)
    port.set_listening(True)
    yield port
    port.close()


def stranger(port: DataPort, source: str = HERE) -> socket.socket:
    return connected(port.key[1], source)


@pytest.mark.parametrize("pieces", [[FIRST], [FIRST[:1], FIRST[1:]], [bytes([b]) for b in FIRST]])
def test_the_first_512_bytes_are_judged_once_they_are_whole(
    loop: Loop, port: DataPort, judge: Judge, pieces: list[bytes]
) -> None:
    with stranger(port) as sock:
        for piece in pieces[:-1]:
            sock.sendall(piece)
        turn(loop, lambda: port.half_open)
        assert judge.seen == []
        sock.sendall(pieces[-1])
        turn(loop, lambda: judge.seen)
        assert (judge.seen[0].data, judge.seen[0].peer_address) == (FIRST, HERE)


def test_what_comes_behind_them_is_left_for_the_srw(loop: Loop, port: DataPort, judge: Judge) -> None:
    taken: list[socket.socket] = []
    judge.verdict = lambda first: taken.append(first.take())
    with stranger(port) as sock:
        sock.sendall(FIRST + b"a request")
        turn(loop, lambda: taken)
        with taken[0] as given:
            assert received(given, 9) == b"a request"
            assert port.half_open == {}
            loop.call_later(0.05, loop.stop)
            loop.run()  # nobody else listens to it
            given.sendall(b"?")
            assert received(sock, 1) == b"?"


def test_who_says_nothing_or_half_is_closed_in_time(
    loop: Loop, port: DataPort, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert HANDSHAKE_TIMEOUT_S == 5.0
    monkeypatch.setattr("serverside.data_ports.HANDSHAKE_TIMEOUT_S", 0.1)
    with stranger(port) as silent, stranger(port) as half:
        half.sendall(FIRST[:-1])
        began_s = loop.now()
        turn(loop, lambda: is_over(silent) and is_over(half))
        assert 0.1 <= loop.now() - began_s < 1
    assert (judge.seen, port.half_open) == ([], {})


@pytest.mark.parametrize("behind", [0, 4096, 300_000])
def test_a_refusal_arrives_though_more_input_waits(loop: Loop, port: DataPort, judge: Judge, behind: int) -> None:
    judge.verdict = lambda first: first.refuse(b"R" * 512, 0)
    with stranger(port) as sock:
        sock.sendall(FIRST + bytes(behind))
        turn(loop, partial(readable, sock))
        assert received(sock, 512) == b"R" * 512
        assert sock.recv(1) == b""
    turn(loop, lambda: not port.half_open)


def test_a_refused_one_that_neither_reads_nor_goes_is_let_go(loop: Loop, port: DataPort, judge: Judge) -> None:
    judge.verdict = lambda first: first.refuse(b"R" * 512, 0)
    with stranger(port) as sock:
        sock.sendall(FIRST)
        turn(loop, lambda: judge.seen)
        turn(loop, lambda: not port.half_open, data_ports.GOODBYE_S + 1)


def test_a_refusal_may_wait_and_who_goes_meanwhile_is_forgotten(loop: Loop, port: DataPort, judge: Judge) -> None:
    judge.verdict = lambda first: first.refuse(b"R" * 512, 0.2)
    with stranger(port) as stays:
        for sock in (stays, gone := stranger(port)):
            sock.sendall(FIRST)
        turn(loop, lambda: len(judge.seen) == 2)
        gone.close()
        began_s = loop.now()
        turn(loop, partial(readable, stays))
        assert loop.now() - began_s > 0.1
    turn(loop, lambda: not port.half_open)


def test_of_the_half_open_the_oldest_goes_first_those_included_that_are_refused(
    loop: Loop, port: DataPort, judge: Judge
) -> None:
    judge.verdict = lambda first: first.refuse(b"R" * 512, 60)
    with ExitStack() as stack:
        sockets = []
        for number in range(data_ports.HALF_OPEN_MAX + 3):
            sock = stack.enter_context(stranger(port))
            sock.sendall(FIRST)
            sockets.append(sock)
            turn(loop, lambda number=number: len(judge.seen) > number)  # type: ignore[misc]  # mypy: can't infer
        assert [is_over(sock) for sock in sockets[:4]] == [True, True, True, False]
        assert len(port.half_open) == data_ports.HALF_OPEN_MAX


def test_a_reset_at_any_moment_costs_nothing(loop: Loop, port: DataPort, judge: Judge) -> None:
    judge.verdict = lambda first: first.refuse(b"R" * 512, 0.01)
    for say in (b"", FIRST[:100], FIRST, FIRST * 4):
        sock = stranger(port)
        sock.sendall(say)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
    with stranger(port) as last:
        last.sendall(FIRST)
        turn(loop, partial(readable, last))
    turn(loop, lambda: not port.half_open)


def test_closing_a_port_closes_those_who_wait_there(loop: Loop, port: DataPort) -> None:
    with stranger(port) as sock:
        turn(loop, lambda: port.half_open)
        port.close()
        assert is_over(sock)
    with pytest.raises(ConnectionRefusedError):
        stranger(port)


# --- all ports ---


def test_ports_are_bound_for_new_settings_and_closed_when_nobody_has_them(
    loop: Loop, judge: Judge, tmp_path: Path
) -> None:
    first, second, third = free_ports(3)
    old = settings(tmp_path, host("a", ports=[(first, 1), (second, 1)]), host("b", ports=[(first, 1)]))
    new = settings(tmp_path, host("a", ports=[(third, 1)]), host("b", ports=[(first, 1)]))
    ports = DataPorts(loop, judge)
    ports.open(old)
    assert set(ports.ports) == keys_of(old) == {(HERE, first), (HERE, second)}
    stays = ports.ports[HERE, first]
    ports.open(new)
    ports.keep(new)
    assert set(ports.ports) == keys_of(new)
    assert ports.ports[HERE, first] is stays
    assert not any(port.listening for port in ports)
    ports.close()
    assert list(ports) == []


def test_a_port_that_cannot_be_had_leaves_the_others_as_they_were(loop: Loop, judge: Judge, tmp_path: Path) -> None:
    first, taken = free_ports(2)
    ports = DataPorts(loop, judge)
    ports.open(settings(tmp_path, host(ports=[(first, 1)])))
    with socket.create_server((HERE, taken)), pytest.raises(OSError, match=str(taken)):
        ports.open(settings(tmp_path, host(ports=[(first, 1), (taken, 1)])))
    assert set(ports.ports) == {(HERE, first)}
    ports.close()


# --- guessing is slowed ---


def test_the_21st_wrong_token_of_an_address_within_10_s_waits_and_nobody_elses() -> None:
    failures = Failures()
    assert [failures.delay_s("a", 100.0 + n / 10) for n in range(20)] == [0.0] * 20
    assert failures.delay_s("a", 103.0) == data_ports.SLOWED_BY_S
    assert failures.delay_s("b", 103.0) == 0.0
    assert failures.delay_s("a", 111.0) == 0.0


def test_who_comes_from_everywhere_is_counted_as_one() -> None:
    failures = Failures()
    for number in range(data_ports.FAILED_ADDRESSES_MAX):
        assert failures.delay_s(f"fd00::{number:x}", 100.0) == 0.0
    assert [failures.delay_s(f"fd01::{n:x}", 100.0) for n in range(21)] == [0.0] * 20 + [data_ports.SLOWED_BY_S]
    assert len(failures.counts) == data_ports.FAILED_ADDRESSES_MAX + 1
    assert failures.delay_s("fd00::1", 100.0) == 0.0


def test_what_is_counted_is_forgotten() -> None:
    failures = Failures()
    for number in range(5000):
        failures.delay_s(str(number), number / 100)
    assert len(failures.counts) < 1100
