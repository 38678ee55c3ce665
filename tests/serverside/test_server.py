"""Proves in which order things happen to sessions: grants, fences, places, changes, ends; and that no host kills it.

The server lives in this process and its loop is turned by whoever waits; sockets, SRWs, drivers and drives are real.
"""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from errno import ESTALE
from functools import partial
from pathlib import Path

import psutil
import pytest

from ipc.control import control_call
from protocol.errors import LoginRefused
from protocol.events import (
    Capacities,
    DataPorts,
    Fenced,
    Granted,
    Notice,
    Notified,
    PathRefused,
    PathTicket,
    StartTime,
    Units,
)
from protocol.ops import Op
from serverside.settings import HostSettings
from tests.serverside.rig import (
    HERE,
    SECRET,
    connected,
    host,
    is_over,
    readable,
    received,
    turn,
    unit,
)
from tests.serverside.server_world import PLACES, THERE, World

RESET = b"\1\0\0\0\0\0\0\0"
"""SO_LINGER: close by a reset."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        yield world


# --- Appendix D, steps 1 to 16 ---


def test_a_v2_host_learns_what_is_its_own_and_works(world: World) -> None:
    one = world.host1()
    granted = one.log_in()
    assert (granted.nsu_name, granted.verifier) == ("box1", world.server.storage.identity.verifier)
    for ask in (one.dialogue.ask_starttime, one.dialogue.ask_units, one.dialogue.ask_dataports):
        ask()
    assert one.next(StartTime).cookie == world.server.storage.cookie
    assert [(r.name, r.blocks) for r in one.next(Units).units] == [("a", 256), ("z", 512)]
    assert [(p.address, p.port, p.connections_max) for p in one.next(DataPorts).ports] == [(HERE, world.port1, PLACES)]
    peer = world.open_path(one)
    assert peer.ask(Op.WRITE, 7, 0, b"w" * 512)[0].status == 0
    assert peer.ask(Op.READ, 7, 512)[1] == b"w" * 512


def test_a_v1_host_learns_what_is_its_own_and_works(world: World) -> None:
    two = world.host2()
    two.log_in()
    two.dialogue.ask_starttime()
    two.dialogue.ask_capacities()
    assert two.next(StartTime).cookie == world.server.storage.cookie
    assert two.next(Capacities).sizes_bytes == (256 * 512,)
    world.server.look()
    with pytest.raises(ConnectionRefusedError):
        connected(world.port2, THERE)  # step 12 comes with the answer to step 10
    two.dialogue.ask_dataports()
    assert two.next(DataPorts).ports[0].port == world.port2
    peers = [world.open_v1_path(two) for _ in range(PLACES)]
    assert [srw.path for srw in world.server.srws.seated.values()] == [0, 1]
    assert peers[1].ask(Op.WRITE, 7, 0, b"v" * 512)[0].status == 0
    assert peers[0].ask(Op.READ, 7, 512)[1] == b"v" * 512


def test_who_is_offered_what(world: World) -> None:
    """Trap 26: 0x01 is off but for the address of a HOST without a secret."""
    assert [world.server.offered(address) for address in (HERE, THERE, "127.0.0.9")] == [0x02, 0x03, 0x02]
    assert world.server.secret_of("host1") == SECRET
    assert world.server.secret_of("host2") is None
    assert world.server.secret_of("nobody") is None


# --- places ---


def test_step_13_one_too_many_is_refused_at_connect_and_a_freed_place_is_given_again(world: World) -> None:
    one = world.logged_in(world.host1())
    first, _ = (world.open_path(one, path) for path in range(PLACES))
    with pytest.raises(ConnectionRefusedError):
        connected(world.port1)
    first.close()
    turn(world.loop, lambda: world.srws() == 1)
    world.open_path(one, 0)


def test_where_hosts_share_a_port_one_too_many_is_closed_without_a_byte(world: World) -> None:
    shared = replace(world.v1, data_ports=world.v2.data_ports)
    world.change(world.v2, shared)
    world.port2 = world.port1
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    for _ in range(PLACES):
        world.open_v1_path(two)
    message, _ = two.first_message()
    with connected(world.port2, THERE) as sock:
        sock.sendall(message)
        turn(world.loop, partial(readable, sock))
        assert sock.recv(512) == b""
    world.open_path(one)


def test_strangers_take_no_place(world: World) -> None:
    """Trap 21: places are for those who have said who they are."""
    one = world.logged_in(world.host1())
    strangers = [world.stack.enter_context(connected(world.port1)) for _ in range(10)]
    for sock in strangers[:5]:
        sock.sendall(bytes(512))
    for path in range(PLACES):
        world.open_path(one, path)
    for sock in strangers[:5]:
        turn(world.loop, partial(readable, sock))
        assert int.from_bytes(received(sock, 512)[40:44], "big") == 0xFFFFFFFF
    assert world.srws() == PLACES


def test_there_are_no_more_tickets_than_places_and_none_for_a_path_that_lives(world: World) -> None:
    one = world.logged_in(world.host1())
    world.open_path(one, 7)
    one.dialogue.ask_path(7)
    assert "cannot be opened now" in one.next(PathRefused).sentence
    one.ticket(8)
    one.dialogue.ask_path(9)
    assert "taken" in one.next(PathRefused).sentence


# --- sessions and their ends ---


def test_note_2_with_the_configuration_socket_go_the_data_sockets(world: World) -> None:
    two = world.logged_in(world.host2())
    peers = [world.open_v1_path(two) for _ in range(PLACES)]
    two.close()
    turn(world.loop, lambda: all(is_over(peer.sock) for peer in peers))
    turn(world.loop, lambda: world.srws() == 0)
    assert (world.server.sessions, world.server.lines) == ({}, {})
    with pytest.raises(ConnectionRefusedError):
        connected(world.port2, THERE)


def test_only_a_login_that_succeeds_ends_the_former_session(world: World) -> None:
    old = world.logged_in(world.host1())
    peer = world.open_path(old)
    silent = world.stack.enter_context(connected(world.config))
    wrong = world.host1(secret=bytes(32))
    with pytest.raises(Exception, match="unknown, or its proof"):
        wrong.log_in()
    assert peer.ask(Op.PING)[0].status == 0
    new = world.host1()
    assert new.log_in().session != 0
    turn(world.loop, lambda: old.is_over() and is_over(peer.sock))
    assert not is_over(silent)
    assert len(world.server.sessions) == 1


def test_a_new_session_is_granted_when_nothing_of_the_old_can_be_applied(world: World) -> None:
    """Trap 22: the old SRW is dead at once, but what it posted to the driver is not yet done."""
    old = world.logged_in(world.host1())
    world.post_a_write(world.open_path(old))
    new = world.host1()
    new.until(lambda: world.server.srws.drains)
    world.a_while()
    new.pump()
    assert new.heard == []
    world.driver.resume()
    new.log_in()
    assert world.srws() == 0
    new.dialogue.ask_dataports()
    new.next(DataPorts)
    assert world.open_path(new).ask(Op.READ, 0, 512, unit=1)[1] == b"z" * 512


@pytest.mark.parametrize("how", ["closes", "resets", "breaks the dialogue", "is evicted itself"])
def test_a_session_that_ends_while_a_burial_waits(world: World, how: str) -> None:
    old = world.logged_in(world.host1())
    world.post_a_write(world.open_path(old))
    waiting = world.host1()
    waiting.until(lambda: len(world.server.lines) == 1 and old.is_over())
    if how == "closes":
        waiting.close()
    elif how == "resets":
        waiting.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        waiting.close()
    elif how == "breaks the dialogue":
        waiting.sock.sendall(bytes(512))
        turn(world.loop, lambda: not next(iter(world.server.sessions.values())).awaits_grant)
        world.driver.resume()
        turn(world.loop, lambda: world.srws() == 0)
        assert world.server.lines, "it is just saying good-bye"
    last = world.host1()
    if how == "is evicted itself":
        last.until(waiting.is_over)
    world.a_while(0.05)
    world.driver.resume()
    last.log_in()
    assert [session.number for session in world.server.sessions.values()] == [3]


def test_a_fence_is_answered_when_it_is_true(world: World) -> None:
    one = world.logged_in(world.host1())
    peer = world.open_path(one, 5)
    world.post_a_write(peer)
    one.dialogue.ask_fence(5)
    one.dialogue.ask_fence(5)
    one.dialogue.ask_fence(6)  # of a path that never was
    assert one.next(Fenced).path == 6
    world.a_while()
    one.pump()
    assert one.heard == []
    world.driver.resume()
    assert [one.next(Fenced).path, one.next(Fenced).path] == [5, 5]
    assert world.srws() == 0
    assert world.open_path(one, 5).ask(Op.READ, 0, 512, unit=1)[1] == b"z" * 512


def test_a_host_that_breaks_the_dialogue_while_its_fence_waits(world: World) -> None:
    one = world.logged_in(world.host1())
    world.post_a_write(world.open_path(one))
    one.dialogue.ask_fence(0)
    one.flush()
    turn(world.loop, lambda: world.server.srws.burials.open)
    one.sock.sendall(b"\xff" * 512)
    turn(world.loop, lambda: not next(iter(world.server.sessions.values())).is_open)
    world.driver.resume()
    turn(world.loop, lambda: world.srws() == 0)
    turn(world.loop, one.is_over)
    world.host1().log_in()


def test_a_fenced_path_can_not_be_opened_with_its_old_ticket(world: World) -> None:
    one = world.logged_in(world.host1())
    message, _ = one.first_message(3)
    one.fence(3)
    with connected(world.port1) as sock:
        sock.sendall(message)
        turn(world.loop, partial(readable, sock))
        assert int.from_bytes(received(sock, 512)[40:44], "big") != 0
    assert world.srws() == 0


def test_a_host_that_is_gone_when_its_fence_is_true_while_its_other_srw_is_dead_too(world: World) -> None:
    """All in one reap: the answer can't be sent, so that the session ends in the middle of it."""
    one = world.logged_in(world.host1())
    peers = [world.open_path(one, path) for path in range(PLACES)]
    pids = [srw.child.pid for srw in world.server.srws.seated.values()]
    world.server.storage.places["unit0"].channel.commands.wait(0)
    one.dialogue.ask_fence(0)
    one.flush()
    turn(world.loop, lambda: not psutil.pid_exists(pids[0]) or is_over(peers[0].sock))
    one.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    os.kill(pids[1], signal.SIGKILL)
    one.close()
    turn(world.loop, lambda: world.srws() == 0 and not world.server.sessions)
    assert sorted(world.server.srws.admission.free) == list(range(world.server.srws.seats))


def test_what_comes_and_goes_leaves_nothing_behind(world: World) -> None:
    def state() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")), len(psutil.Process().children())

    def come_and_go() -> None:
        one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
        peer = world.open_path(one)
        world.open_v1_path(two).close()
        one.fence(0)
        peer.close()
        one.close()
        two.close()
        turn(world.loop, lambda: not world.server.sessions and world.srws() == 0)

    come_and_go()
    before = state()
    for _ in range(5):
        come_and_go()
    assert state() == before


@pytest.mark.parametrize("seed", range(5))
def test_noise_after_the_login_ends_that_session_and_nobody_else(world: World, seed: int) -> None:
    two = world.logged_in(world.host2())
    peer = world.open_v1_path(two)
    one = world.host1()
    one.log_in()
    one.sock.sendall(bytes([seed * 51]) * 2048)
    turn(world.loop, one.is_over)
    assert peer.ask(Op.READ, 0, 512)[0].status == 0


# --- a changed nsu.conf ---


def resized(host_settings: HostSettings) -> HostSettings:
    first, *rest = host_settings.units
    return replace(host_settings, units=(replace(first, last_lba=first.last_lba - 1), *rest))


def test_note_3_a_v1_host_whose_units_changed_is_cut_off_and_comes_back_to_the_new(world: World) -> None:
    two, one = world.logged_in(world.host2()), world.logged_in(world.host1())
    theirs, mine = world.open_v1_path(two), world.open_path(one)
    cookie = world.server.storage.cookie
    world.change(world.v2, resized(world.v1))
    turn(world.loop, lambda: two.is_over() and is_over(theirs.sock))
    turn(world.loop, lambda: world.server.changing is None)
    assert mine.ask(Op.READ, 0, 512)[0].status == 0
    assert not one.is_over()
    assert one.heard == []
    assert world.server.storage.cookie != cookie
    again = world.host2()
    again.log_in()
    again.dialogue.ask_capacities()
    assert again.next(Capacities).sizes_bytes == (255 * 512,)


def test_a_v2_host_whose_units_changed_is_told_and_stays(world: World) -> None:
    two, one = world.logged_in(world.host2()), world.logged_in(world.host1())
    theirs, mine = world.open_v1_path(two), world.open_path(one)
    world.change(resized(world.v2), world.v1)
    assert one.next(Notified).kind == Notice.UNITS_CHANGED
    turn(world.loop, lambda: is_over(mine.sock))
    one.dialogue.ask_units()
    units = one.next(Units).units
    assert [(r.name, r.blocks) for r in units] == [("a", 255), ("z", 512)]
    assert [r.generation for r in units] != list(mine.generations)
    assert units[1].generation == mine.generations[1], "z is as it was"
    one.dialogue.ask_fence(0)
    assert one.next(Fenced).path == 0
    again = world.open_path(one)
    assert again.ask(Op.READ, 254, 512, generation=mine.generations[0])[0].status == ESTALE
    assert again.ask(Op.READ, 254, 512)[0].status == 0
    assert theirs.ask(Op.READ, 0, 512)[0].status == 0
    assert not two.is_over()


def test_a_change_of_ports_alone_is_told_as_such(world: World) -> None:
    one = world.logged_in(world.host1())
    world.change(replace(world.v2, data_ports=host(ports=[(world.spare_port, 3)]).data_ports), world.v1)
    assert one.next(Notified).kind == Notice.PORTS_CHANGED
    one.dialogue.ask_dataports()
    assert [(p.port, p.connections_max) for p in one.next(DataPorts).ports] == [(world.spare_port, 3)]
    one.open_path(world.spare_port).close()
    with pytest.raises(ConnectionRefusedError):
        connected(world.port1)


def test_a_host_that_is_gone_or_has_another_secret_is_cut_off(world: World) -> None:
    one = world.logged_in(world.host1())
    world.change(replace(world.v2, secret=bytes(32)), world.v1)
    turn(world.loop, one.is_over)
    other = world.host1(secret=bytes(32))
    other.log_in()
    world.change(world.v1)
    turn(world.loop, other.is_over)
    assert world.server.sessions == {}


def test_a_host_that_comes_disturbs_nobody_and_can_log_in(world: World) -> None:
    one = world.logged_in(world.host1())
    peer = world.open_path(one)
    third = host("host3", units=[unit("c", 8, 1024)], ports=[(world.spare_port, 1)], secret=b"3" * 32)
    world.change(world.v2, world.v1, third)
    new = world.host1(secret=b"3" * 32, login="host3")
    world.logged_in(new)
    new.open_path(world.spare_port).close()
    assert peer.ask(Op.READ, 0, 512)[0].status == 0
    assert one.heard == []


@pytest.mark.parametrize("who", ["host1", "host2"])
def test_who_logs_in_while_a_change_is_on_its_way_gets_the_new(world: World, who: str) -> None:
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    world.post_a_write(world.open_path(one))  # so that the change has to wait
    world.change(resized(world.v2), resized(world.v1))
    assert world.server.changing == frozenset({"host1", "host2"})
    turn(world.loop, two.is_over)
    if who == "host2":
        late = world.host2()
        late.log_in()
        world.driver.resume()
        turn(world.loop, late.is_over)  # what it may have heard is no longer true
        late = world.host2()
        late.log_in()
        late.dialogue.ask_capacities()
        assert late.next(Capacities).sizes_bytes == (255 * 512,)
    else:
        late = world.host1()
        late.until(one.is_over)
        world.driver.resume()
        late.log_in()
        late.dialogue.ask_units()
        turn(world.loop, lambda: world.server.changing is None)
        late.dialogue.ask_units()
        late.next(Units)
        assert late.next(Units).units[0].blocks == 255


def test_a_host_that_vanishes_while_it_logs_in(world: World) -> None:
    """Its session was made by settings that are no more when it asks."""
    one = world.logged_in(world.host1())
    world.post_a_write(world.open_path(one))
    world.change(world.v1)
    late = world.host1()
    late.until(lambda: world.server.sessions)
    world.driver.resume()
    turn(world.loop, late.is_over)
    assert world.server.sessions == {}
    assert one.is_over()


def test_meanwhile_only_the_hosts_concerned_get_no_new_paths(world: World) -> None:
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    world.post_a_write(world.open_path(one))
    world.change(resized(world.v2), world.v1)
    message, _ = one.first_message(1)
    with connected(world.port1) as sock:
        sock.sendall(message)
        turn(world.loop, partial(readable, sock))
        assert sock.recv(1) == b""
    world.open_v1_path(two)
    world.driver.resume()
    assert one.next(Notified).kind == Notice.UNITS_CHANGED


def test_changes_come_one_after_the_other(world: World) -> None:
    one = world.logged_in(world.host1())
    world.post_a_write(world.open_path(one))
    world.change(resized(world.v2), world.v1)
    world.change(resized(resized(world.v2)), world.v1)
    assert len(world.coming) == 1
    world.driver.resume()
    one.next(Notified)
    world.server.reconsider()
    one.next(Notified)
    one.dialogue.ask_units()
    assert one.next(Units).units[0].blocks == 254


UNUSABLE: dict[str, Callable[[World], Sequence[HostSettings]]] = {
    "a unit beyond the array": lambda w: [replace(w.v2, units=(unit("a", 4096),)), w.v1],
    "an array that is not open": lambda w: [replace(w.v2, units=(replace(unit("a"), array="unit7"),)), w.v1],
    "a port that can't be bound": lambda w: [replace(w.v2, data_ports=host(ports=[(w.config, 1)]).data_ports), w.v1],
}


@pytest.mark.parametrize("what", UNUSABLE)
def test_a_change_that_can_not_be_had_disturbs_nobody(
    world: World, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    peers = [world.open_path(one), world.open_v1_path(two)]
    cookie = world.server.storage.cookie
    ports = set(world.server.data_ports.ports)
    world.change(*UNUSABLE[what](world))
    world.a_while()
    assert [peer.ask(Op.READ, 0, 512)[0].status for peer in peers] == [0, 0]
    assert (one.heard, one.is_over(), two.is_over()) == ([], False, False)
    assert world.server.storage.cookie == cookie
    assert set(world.server.data_ports.ports) == ports
    (warning,) = world.server.warnings
    assert "the old settings stay in force" in warning
    assert warning in capsys.readouterr().err
    world.change(world.v2, resized(world.v1))
    turn(world.loop, two.is_over)
    assert world.server.warnings == []


def test_what_takes_effect_at_the_next_start_is_said_and_changes_nothing(world: World) -> None:
    one = world.logged_in(world.host1())
    cookie, driver = world.server.storage.cookie, world.driver.pid
    world.coming.append(replace(world.server.settings, config_port=1, arrays=()))
    world.server.reconsider()
    assert [warning.split()[0] for warning in world.server.warnings] == ["CONFIG_PORT", "ARRAY"]
    assert (world.server.storage.cookie, world.driver.pid, one.heard) == (cookie, driver, [])


def test_more_places_than_were_prepared_are_warned_of(world: World) -> None:
    world.change(replace(world.v2, data_ports=host(ports=[(world.port1, 100)]).data_ports), world.v1)
    assert "till the next start" in world.server.warnings[0]


# --- the end, and what is told ---


def test_sigterm_tells_drains_and_goes(world: World) -> None:
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    peers = [world.open_path(one), world.open_v1_path(two)]
    half = world.stack.enter_context(connected(world.config))
    for peer in peers:
        peer.ask(Op.READ, 0, 512)
        peer.sock.sendall(peer.request(Op.WRITE, 3, 0, b"last" * 128))
        turn(world.loop, partial(readable, peer.sock))
    world.server.stop()
    world.loop.run()
    one.pump()
    assert one.next(Notified).kind == Notice.SHUTTING_DOWN
    for peer in peers:
        assert peer.answer()[0].status == 0
        assert is_over(peer.sock)
    assert is_over(half)
    assert not world.server.srws.busy
    with pytest.raises(ConnectionRefusedError):
        connected(world.config)


def test_sigterm_while_a_session_waits_for_its_grant(world: World) -> None:
    old = world.logged_in(world.host1())
    world.post_a_write(world.open_path(old))
    waiting = world.host1()
    waiting.until(old.is_over)
    world.server.stop()
    world.loop.run()
    world.driver.resume()
    assert not world.server.srws.busy


def test_the_status_is_asked_over_the_control_socket(world: World) -> None:
    one = world.logged_in(world.host1())
    world.open_path(one, 4)
    pid = os.fork()
    if pid == 0:  # the asker waits for the answer, so it is somebody else
        try:
            told = control_call(world.folder / "state" / "server.sock", "status")
            good = told["role"] == "server" and told["sessions"][0]["srws"][0]["path"] == 4
            os._exit(0 if good and json.dumps(told) else 1)
        finally:
            os._exit(2)
    turn(world.loop, lambda: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT))
    assert os.waitpid(pid, 0)[1] == 0


def test_a_ticket_is_for_who_is_logged_in(world: World) -> None:
    one = world.host1()
    granted = one.log_in()
    assert isinstance(granted, Granted)
    assert isinstance(one.ticket(0), PathTicket)
    assert granted.epoch >> 32 == world.server.storage.identity.boot


# --- words ---


@pytest.mark.parametrize(
    ("login", "why"), [("host1", "its secret is not that of HOST host1"), ("nobody", "nsu.conf has no HOST 'nobody'")]
)
def test_a_refused_login_says_from_where_and_why(
    world: World, capsys: pytest.CaptureFixture[str], login: str, why: str
) -> None:
    with pytest.raises(LoginRefused):
        world.host1(secret=bytes(32), login=login).log_in()
    assert f"nsu: server: login refused from {HERE}: {why}" in capsys.readouterr().err


def test_who_went_away_without_a_login_is_told_with_what_he_was_offered(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    with connected(world.config) as sock:
        turn(world.loop, partial(readable, sock))
    turn(world.loop, lambda: not world.server.config_port.half_open)
    assert "went away without a login; it was offered version 0x02" in capsys.readouterr().err


def test_a_changed_file_that_is_accepted_says_what_changed(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.change(replace(world.v2, units=world.v2.units[:1]))
    said = capsys.readouterr().err
    assert "nsu: server: the changed nsu.conf is in force: HOST host2 removed; HOST host1 changed (UNIT)" in said
