"""Proves which hosts a changed nsu.conf disturbs, and what of it has to wait for the next start."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.errors import LoginRefused
from protocol.events import Notice, Notified
from protocol.ops import Op
from protocol.v2.login import fingerprint
from serverside.changes import can_stay, differences, disturbed, is_key_known, possible, renewed
from serverside.settings import HostSettings, ServerSettings
from tests.serverside.rig import HERE, host, is_over, settings, turn, unit
from tests.serverside.server_world import PLACES, THERE, World

FOLDER = Path("/nowhere")
A = host("a", units=[unit("one", 8, 0), unit("two", 8, 8)], ports=[(10002, 4)])
B = host("b", units=[unit("one", 8, 16)], ports=[(10002, 4)])


def both(*hosts: HostSettings) -> ServerSettings:
    return settings(FOLDER, *hosts)


@pytest.mark.parametrize(
    "changed",
    [
        replace(A, units=(unit("one", 8, 0), unit("two", 9, 8))),
        replace(A, units=tuple(reversed(A.units))),
        replace(A, units=A.units[:1]),
        replace(A, units=(unit("one", 8, 0, read_only=True), A.units[1])),
        replace(A, data_ports=host(ports=[(10002, 5)]).data_ports),
        replace(A, secret=None),
        replace(A, secret=bytes(32)),
        replace(A, addresses=("127.0.0.9",)),
    ],
)
def test_only_the_host_that_changed_is_disturbed(changed: HostSettings) -> None:
    assert disturbed(both(A, B), both(changed, B)) == {"a"}
    assert disturbed(both(A, B), both(B, changed)) == {"a"}


def test_a_host_that_goes_is_disturbed_and_one_that_comes_disturbs_nobody() -> None:
    assert disturbed(both(A, B), both(B)) == {"a"}
    assert disturbed(both(B), both(A, B)) == frozenset()
    assert disturbed(both(A, B), both(A, B)) == frozenset()
    assert disturbed(both(A, B), both(A, replace(B, name="c"))) == {"b"}


def test_what_becomes_nobodys_is_told_and_disturbs_who_had_it() -> None:
    before = both(A, B)
    after = replace(both(replace(A, units=A.units[1:]), B), unassigned=A.units[:1])
    assert disturbed(before, after) == {"a"}
    assert differences(before, after) == ["HOST a changed (UNIT)", "unassigned UNIT one added"]
    assert differences(after, before) == ["HOST a changed (UNIT)", "unassigned UNIT one removed"]
    larger = replace(after, unassigned=(unit("one", 9, 0),))
    assert differences(after, larger) == ["unassigned UNIT one changed"]
    assert disturbed(after, larger) == frozenset()


def test_who_shares_a_range_is_disturbed_when_its_zero_map_comes_or_goes() -> None:
    """One view of a range for all: with ZERO at one host, the other's SRWs must go by the same map."""
    plain, zeroed = (host("b", units=[unit("theirs", 8, 0, zero=zero)]) for zero in (False, True))
    assert disturbed(both(A, plain), both(A, zeroed)) == {"a", "b"}
    assert disturbed(both(A, zeroed), both(A)) == {"a", "b"}
    assert disturbed(both(A), both(A, zeroed)) == {"a"}
    elsewhere = host("b", units=[unit("theirs", 8, 16, zero=True)])
    assert disturbed(both(A, B), both(A, elsewhere)) == {"b"}


def test_a_longer_zero_map_disturbs_all_who_use_it() -> None:
    first = host("b", units=[unit("theirs", 8, 0, zero=True)])
    grown = host("b", units=[unit("theirs", 9, 0, zero=True)])
    assert disturbed(both(A, first), both(A, grown)) == {"a", "b"}


def test_whose_ports_alone_have_changed_keeps_what_works() -> None:
    moved = replace(A, data_ports=host(ports=[(10003, 4)]).data_ports)
    assert disturbed(both(A, B), both(moved, B)) == {"a"}, "it is told"
    assert renewed(both(A, B), both(moved, B)) == frozenset()
    assert renewed(both(A, B), both(replace(moved, units=A.units[:1]), B)) == {"a"}
    assert renewed(both(A, B), both(replace(moved, secret=bytes(32)), B)) == {"a"}
    assert renewed(both(A, B), both(B)) == {"a"}
    plain, zeroed = (host("b", units=[unit("theirs", 8, 0, zero=zero)]) for zero in (False, True))
    assert renewed(both(A, plain), both(moved, zeroed)) == {"a", "b"}, "they share a zero map that has come"


def test_what_holds_from_start_to_end_is_kept_with_a_warning() -> None:
    old = both(A)
    wanted = replace(old, name="x", config_port=7, listen=("127.0.0.2",), arrays=(), privileged_port=True, hosts=(B,))
    now, warnings = possible(old, wanted)
    assert now == replace(old, privileged_port=True, hosts=(B,), listen=("127.0.0.2",))
    assert [sentence.split()[0] for sentence in warnings] == ["NSU", "CONFIG_PORT", "ARRAY"]
    assert possible(old, both(B)) == (both(B), [])


def test_who_may_stay() -> None:
    assert can_stay(A, 2, replace(A, units=()))
    assert not can_stay(A, 2, None)
    assert not can_stay(A, 2, replace(A, secret=bytes(32)))
    assert not can_stay(A, 2, replace(A, secret=None))
    without = replace(A, secret=None)
    assert not can_stay(without, 1, without)


OLD, NEW = A.secret, bytes(32)
ROTATING = replace(A, secret_next=NEW, rotation_since_s=1.0)
DONE = replace(A, secret=NEW)


def test_a_key_that_comes_or_goes_beside_one_that_stays_disturbs_nobody() -> None:
    for before, after in ((A, ROTATING), (ROTATING, DONE), (ROTATING, A)):
        assert disturbed(both(before, B), both(after, B)) == frozenset()
        assert can_stay(before, 2, after)
        assert differences(both(before, B), both(after, B)) == ["HOST a changed (SECRET_FILE)"]
    assert disturbed(both(A, B), both(replace(ROTATING, units=A.units[:1]), B)) == {"a"}
    assert disturbed(both(A, B), both(DONE, B)) == {"a"}, "no key has stayed"


def test_whose_key_has_gone_is_known_by_its_fingerprint() -> None:
    assert OLD is not None
    old, new = fingerprint(OLD), fingerprint(NEW)
    assert [is_key_known(key, now) for key in (old, new) for now in (A, ROTATING, DONE, None)] == [
        *(True, True, False, False),
        *(False, True, True, False),
    ]
    assert not is_key_known("", A)


def test_what_changed_is_named() -> None:
    grown = replace(A, units=A.units[:1], data_ports=host(ports=[(10002, 5)]).data_ports)
    new = replace(both(grown, replace(B, name="c")), privileged_port=not both(A, B).privileged_port)
    port = "yes" if new.privileged_port else "no"
    assert differences(both(A, B), new) == [
        "HOST c added",
        "HOST b removed",
        "HOST a changed (DATA_PORT, UNIT)",
        f"PRIVILEGED_PORT = {port}",
    ]
    assert differences(both(A, B), both(replace(A, secret=bytes(32)), B)) == ["HOST a changed (SECRET_FILE)"]
    assert differences(both(A, B), both(B, A)) == ["the order of the HOSTs"]
    assert differences(both(A), replace(both(A), listen=("10.1.1.1", "fd00::1"))) == ["LISTEN: 10.1.1.1, fd00::1"]


# -- a whole server ------------------------------------------------------------------------------------------------


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        yield world


def test_a_port_that_comes_leaves_the_paths_alone_and_one_that_goes_takes_its_own_along(world: World) -> None:
    one = world.logged_in(world.host1())
    stays = world.open_path(one, 0)
    pids = {srw.path: srw.child.pid for srw in world.server.srws.seated.values()}
    both = host(ports=[(world.port1, PLACES), (world.spare_port, 1)]).data_ports
    world.change(replace(world.v2, data_ports=both), world.v1)
    assert one.next(Notified).kind == Notice.PORTS_CHANGED
    assert {srw.path: srw.child.pid for srw in world.server.srws.seated.values()} == pids
    assert stays.ask(Op.READ, 0, 512)[0].status == 0
    goes = one.open_path(world.spare_port, 1)
    world.change(world.v2, world.v1)
    turn(world.loop, lambda: is_over(goes.sock))
    goes.close()
    assert one.next(Notified).kind == Notice.PORTS_CHANGED
    assert stays.ask(Op.READ, 0, 512)[0].status == 0
    assert {srw.path: srw.child.pid for srw in world.server.srws.seated.values()} == pids


def test_0x01_is_cut_off_when_its_ports_change(world: World) -> None:
    """Note (3): it has no other way to hear of it."""
    two = world.logged_in(world.host2())
    world.change(world.v2, replace(world.v1, data_ports=host(ports=[(world.port2, 5)]).data_ports))
    turn(world.loop, two.is_over)


def test_the_configuration_port_follows_listen(world: World) -> None:
    world.coming.append(replace(world.settings(world.v2, world.v1), listen=(HERE, THERE)))
    world.server.reconsider()
    socket.create_connection((THERE, world.config), timeout=5).close()
    world.change(world.v2, world.v1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((THERE, world.config), timeout=5)


def test_a_rotation_leaves_sessions_and_paths_alone_and_its_end_closes_the_old_key_out(world: World) -> None:
    one = world.logged_in(world.host1())
    peer = world.open_path(one)
    pid = world.server.srws.seated[next(iter(world.server.srws.seated))].child.pid
    rotating = replace(world.v2, secret_next=NEW, rotation_since_s=1.0)
    world.change(rotating, world.v1)
    assert peer.ask(Op.READ, 0, 512)[0].status == 0
    assert [srw.child.pid for srw in world.server.srws.seated.values()] == [pid]
    again = world.logged_in(world.host1(secret=NEW))
    peer = world.open_path(again)
    (session,) = world.server.sessions.values()
    assert session.key == fingerprint(NEW)
    world.change(replace(world.v2, secret=NEW), world.v1)
    assert peer.ask(Op.READ, 0, 512)[0].status == 0
    old = world.host1()
    with pytest.raises(LoginRefused):
        old.log_in()
    assert list(world.server.sessions.values()) == [session]


def test_who_has_proven_the_old_key_only_is_cut_off_when_it_is_retired(world: World) -> None:
    one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
    world.change(replace(world.v2, secret_next=NEW), world.v1)
    assert len(world.server.sessions) == 2
    world.change(replace(world.v2, secret=NEW), world.v1)
    turn(world.loop, one.is_over)
    assert [session.host.name for session in world.server.sessions.values()] == ["host2"]
    assert not two.is_over()
