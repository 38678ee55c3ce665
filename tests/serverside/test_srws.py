"""Proves the life of SRW processes: forked with what they need and nothing else, counted, buried, truly fenced."""

import gc
import os
import resource
import signal
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ipc.loop import Loop
from protocol.data import host_data
from protocol.ops import Op
from serverside.data_login import Login
from serverside.data_ports import DataPort, FirstHeader
from serverside.sessions import Session, Srw
from serverside.srws import Srws
from serverside.storage import Storage
from tests.harness import free_ports
from tests.serverside.rig import HERE, DataPeer, connected, host, is_over, readable, received, settings, turn, unit
from tests.serverside.test_sessions import proven_dialogue

PLACES, SEATS = 2, 3
UNITS = [unit("plain", 256), unit("zeroed", 1024, 256, zero=True)]


class World:
    """A port, a session, and the SRWs of its data sockets; every login is good."""

    def __init__(self, folder: Path) -> None:
        self.loop = Loop()
        self.number = free_ports(1)[0]
        self.host = host(units=UNITS, ports=[(self.number, PLACES)])
        self.storage = Storage(settings(folder, self.host), SEATS)
        self.storage.start_drivers()
        self.sockets: list[socket.socket] = []
        self.places_told: list[tuple[int, int]] = []
        """(free places, SRWs of the session) at each call."""
        self.srws = Srws(self.loop, self.storage, SEATS, self.on_places)
        self.loop.on_signal(signal.SIGCHLD, self.reap)
        self.port = DataPort(self.loop, (HERE, self.number), self.on_first)
        self.port.set_listening(True)
        self.session = self.new_session(1)
        self.next_path = 0

    def new_session(self, number: int) -> Session:
        dialogue, _ = proven_dialogue()
        return Session(
            number, number << 32, 2, self.host, HERE, dialogue, lambda: None, lambda: None, lambda: None, 0.0
        )

    def on_places(self) -> None:
        self.places_told.append((self.free(), len(self.session.srws)))

    def reap(self) -> None:
        self.storage.mind_drivers()
        self.srws.reap()

    def on_first(self, first: FirstHeader) -> None:
        login = Login(self.session, self.next_path, 99, b"L" * 512)
        self.next_path += 1
        self.srws.fork(login, first)

    def knock(self) -> socket.socket:
        """Connect and say the first 512 bytes."""
        self.sockets.append(connected(self.number))
        self.sockets[-1].sendall(bytes(512))
        return self.sockets[-1]

    def open_path(self) -> tuple[DataPeer, Srw]:
        sock = self.knock()
        turn(self.loop, partial(readable, sock))
        assert received(sock, 512) == b"L" * 512
        path = self.next_path - 1
        session = self.session
        machine = host_data(2, session=session.number, epoch=session.epoch, path=path, marker=99)
        generations = [record.generation for record in self.storage.unit_records(self.host)]
        return DataPeer(sock, machine, generations), session.srws[path]

    def free(self) -> int:
        return self.srws.free_places(self.host, self.port.key)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        self.srws.close()
        self.port.close()
        self.storage.close()
        for place in self.storage.places.values():
            place.channel.close()
        self.loop.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def test_an_srw_serves_and_its_place_is_free_again_when_its_peer_goes(world: World) -> None:
    peer, srw = world.open_path()
    assert world.free() == PLACES - 1
    assert peer.ask(Op.WRITE, 0, 0, b"w" * 512)[0].status == 0
    assert peer.ask(Op.READ, 0, 512)[1] == b"w" * 512
    assert world.srws.tallies.of_seat(srw.seat)["writes"] == 1
    peer.close()
    turn(world.loop, lambda: world.free() == PLACES)
    assert world.places_told[-1] == (PLACES, 0)
    assert (world.session.srws, world.srws.seated, world.srws.drains) == ({}, {}, {})
    _, successor = world.open_path()
    assert world.srws.tallies.of_seat(successor.seat)["writes"] == 0


def test_that_a_place_is_taken_is_told_before_the_fork(world: World) -> None:
    """So the port refuses before the host can know, by its answer, that it has the last place (13)."""
    world.open_path()
    assert world.places_told == [(PLACES - 1, 0)]


def test_an_srw_has_the_descriptors_it_needs_and_no_others(world: World) -> None:
    peer, srw = world.open_path()
    world.open_path()
    peer.ask(Op.PING)
    links = {os.readlink(entry) for entry in Path(f"/proc/{srw.child.pid}/fd").iterdir() if int(entry.name) > 2}
    sockets = {link for link in links if link.startswith("socket:")}
    pipes = {link for link in links if link.startswith("pipe:")}
    files = links - sockets - pipes
    assert len(sockets) == 1, "its own, and neither the listener nor another's"
    assert len(pipes) <= 3, "commands, its answers, its ready pipe"
    assert {Path(link).name for link in files} == {"drive0.img"}


def test_ended_processes_cost_the_server_no_descriptor(world: World) -> None:
    def descriptors() -> int:
        gc.collect()  # other tests' worlds
        return len(os.listdir("/proc/self/fd"))

    before = descriptors()
    for _ in range(10):
        peer, _ = world.open_path()
        peer.close()
        turn(world.loop, lambda: world.free() == PLACES)
    assert descriptors() == before


def test_a_fence_is_true_when_it_is_told(world: World) -> None:
    """Killed, reaped, and its seat drained: when `done` is called there is no process and no posted command."""
    _, srw = world.open_path()
    order: list[str] = []

    def done() -> None:
        assert not psutil.pid_exists(srw.child.pid)
        assert srw.seat not in world.srws.drains
        order.append("buried")

    world.srws.bury([srw], done)
    assert order == []
    turn(world.loop, lambda: order)
    assert world.free() == PLACES


def test_a_fence_waits_for_what_the_driver_still_has_to_do(world: World) -> None:
    peer, srw = world.open_path()
    place = world.storage.places["unit0"]
    assert place.child is not None
    os.kill(place.child.pid, signal.SIGSTOP)
    peer.sock.sendall(peer.request(Op.WRITE, 0, 0, b"z" * 512, unit=1))  # a first write: it is posted
    turn(world.loop, lambda: place.channel.commands.wait(0))
    done: list[str] = []
    world.srws.bury([srw], lambda: done.append("buried"))
    turn(world.loop, lambda: srw.reaped)
    world.loop.call_later(0.2, world.loop.stop)
    world.loop.run()
    assert done == []
    assert world.free() == PLACES - 1, "its place is taken until then"
    assert world.session.srws, "and its path"
    os.kill(place.child.pid, signal.SIGCONT)
    turn(world.loop, lambda: done)
    view = bytearray(512)
    world.storage.view_of(world.host).partitions[1].read_into(memoryview(view), 0)
    assert view == b"z" * 512


def test_a_driver_that_dies_with_a_posted_write_holds_no_fence_up(world: World) -> None:
    peer, srw = world.open_path()
    place = world.storage.places["unit0"]
    assert place.child is not None
    os.kill(place.child.pid, signal.SIGSTOP)
    peer.sock.sendall(peer.request(Op.WRITE, 0, 0, b"z" * 512, unit=1))
    turn(world.loop, lambda: place.channel.commands.wait(0))
    done: list[str] = []
    world.srws.bury([srw], lambda: done.append("buried"))
    os.kill(place.child.pid, signal.SIGKILL)
    world.loop.call_later(1.1, world.reap)  # as the server does once a second
    turn(world.loop, lambda: done)


def test_all_at_once_and_twice_is_still_each_once(world: World) -> None:
    """Two fences of one path, both SRWs dead in one reap, and a callback that buries the other."""
    (_, first), (_, second) = world.open_path(), world.open_path()
    done: list[int] = []
    world.srws.bury([first], lambda: world.srws.bury([second], lambda: done.append(1)))
    world.srws.bury([first, second], lambda: done.append(2))
    turn(world.loop, lambda: len(done) == 2)
    assert world.free() == PLACES
    assert sorted(world.srws.admission.free) == list(range(SEATS))


def test_those_of_ended_sessions_are_known(world: World) -> None:
    _, old = world.open_path()
    assert world.srws.of_ended("host1") == []
    world.session.ended = True
    world.session = world.new_session(2)
    _, new = world.open_path()
    assert world.srws.of_ended("host1") == [old]
    assert world.srws.of_hosts(frozenset({"host1"})) == [old, new]
    assert world.srws.of_hosts(frozenset({"host2"})) == []


def test_without_a_process_to_be_had_the_socket_is_closed_and_the_place_free(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    sock = connected(world.number)
    world.sockets.append(sock)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    turn(world.loop, lambda: world.port.half_open)
    sock.sendall(bytes(512))
    next_free = os.dup(0)
    os.close(next_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
    try:
        turn(world.loop, lambda: not world.port.half_open)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert is_over(sock)
    assert world.free() == PLACES
    assert "can't be started" in capfd.readouterr().err
    world.open_path()


def test_the_end_leaves_no_process(world: World) -> None:
    pids = [world.open_path()[1].child.pid for _ in range(2)]
    assert [child.pid for child in world.srws.children()] == pids
    os.kill(pids[0], signal.SIGSTOP)
    assert world.srws.busy
    world.srws.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_asked_to_stop_they_go_by_themselves(world: World) -> None:
    peer, _ = world.open_path()
    peer.ask(Op.PING)
    world.srws.ask_to_stop()
    turn(world.loop, lambda: not world.srws.busy)
    assert is_over(peer.sock)
