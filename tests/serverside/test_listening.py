"""Proves that a listener refuses at connect when told to, listens again, and outlives a lack of descriptors."""

import os
import resource
import socket
from collections.abc import Iterator
from functools import partial

import pytest

from ipc.loop import Loop
from protocol.timers import KEEPALIVE_IDLE_S, USER_TIMEOUT_S
from serverside.listening import Listener
from tests.harness import free_ports
from tests.serverside.rig import HERE, connected, is_over, turn


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


class Accepting:
    """A listener and what it has accepted."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.loop = loop
        self.sockets: list[socket.socket] = []
        self.peers: list[tuple[str, int]] = []
        self.listener = Listener(loop, HERE, port, self.accepted)
        self.port = port

    def accepted(self, sock: socket.socket, peer: tuple[str, int]) -> None:
        self.sockets.append(sock)
        self.peers.append(peer)

    def has(self, count: int) -> bool:
        return len(self.sockets) == count

    def close(self) -> None:
        self.listener.close()
        for sock in self.sockets:
            sock.close()


@pytest.fixture
def accepting(loop: Loop) -> Iterator[Accepting]:
    accepting = Accepting(loop, free_ports(1)[0])
    yield accepting
    accepting.close()


def test_bound_is_not_listening(accepting: Accepting) -> None:
    with pytest.raises(ConnectionRefusedError):
        connected(accepting.port)


def test_it_listens_refuses_and_listens_again(accepting: Accepting) -> None:
    for round_ in range(1, 4):
        accepting.listener.listen()
        with connected(accepting.port) as mine:
            turn(accepting.loop, partial(accepting.has, round_))
            assert accepting.peers[-1] == mine.getsockname()
        accepting.listener.refuse()
        with pytest.raises(ConnectionRefusedError):
            connected(accepting.port)


def test_what_had_queued_up_is_reset_when_it_stops(accepting: Accepting) -> None:
    accepting.listener.listen()
    with connected(accepting.port) as mine:
        accepting.listener.refuse()
        turn(accepting.loop, lambda: is_over(mine))
    assert accepting.sockets == []


def test_a_closed_one_refuses_whoever_still_has_its_descriptor(accepting: Accepting) -> None:
    """A child that was forked a moment ago has it, until it has closed what it does not need."""
    accepting.listener.listen()
    with socket.socket(fileno=os.dup(accepting.listener.sock.fileno())):
        accepting.listener.close()
        with pytest.raises(ConnectionRefusedError):
            connected(accepting.port)


def test_a_port_that_is_taken_is_named(loop: Loop, accepting: Accepting) -> None:
    accepting.listener.listen()
    with pytest.raises(OSError, match=f"can't open {HERE}:{accepting.port}: Address already in use"):
        Listener(loop, HERE, accepting.port, accepting.accepted)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"can't open \[::1\]:{port}: Address already in use"):
            Listener(loop, "::1", port, accepting.accepted)


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_here_yet_is_no_obstacle(loop: Loop, accepting: Accepting, address: str) -> None:
    listener = Listener(loop, address, accepting.port, accepting.accepted)
    listener.listen()
    assert listener.listening
    listener.close()


def test_a_port_that_somebody_took_meanwhile_is_complained_of_once(
    accepting: Accepting, capsys: pytest.CaptureFixture[str]
) -> None:
    """SO_REUSEADDR lets two bind as long as neither listens."""
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        thief.bind((HERE, accepting.port))
        thief.listen()
        accepting.listener.listen()
        accepting.listener.listen()
        assert not accepting.listener.listening
        assert capsys.readouterr().err.count("can't listen") == 1
    accepting.listener.listen()
    assert accepting.listener.listening


def test_an_accepted_socket_finds_out_about_a_dead_peer(accepting: Accepting) -> None:
    accepting.listener.listen()
    with connected(accepting.port):
        turn(accepting.loop, lambda: accepting.sockets)
        sock = accepting.sockets[0]
        assert not sock.getblocking()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == USER_TIMEOUT_S * 1000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE_IDLE_S


def test_without_descriptors_it_pauses_and_goes_on_when_there_are_some(accepting: Accepting) -> None:
    """A listener that stays readable and can't accept would keep the loop turning at full speed."""
    accepting.listener.listen()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    turns = 0

    def count() -> None:
        nonlocal turns
        turns += 1

    accepting.loop.after_each(count)
    with connected(accepting.port):
        next_free = os.dup(0)
        os.close(next_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
        try:
            over_s = accepting.loop.now() + 0.3
            accepting.loop.call_at(over_s, accepting.loop.stop)
            accepting.loop.run()
            assert accepting.sockets == []
            assert turns < 30
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        turn(accepting.loop, lambda: len(accepting.sockets) == 1)
