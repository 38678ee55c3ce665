"""Proves how a path is closed when there are enough, and how a network is tried anew: the agent that is asked to go,
and the link that asks it, each with the rest of the world moved by hand.
"""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from hostside.balance import CLOSE_MOST_S
from hostside.link import SIGKILL, SIGTERM
from hostside.packets import Report
from ipc.exits import Exit
from protocol.limits import HEADER_BYTES
from protocol.ops import Op
from protocol.timers import LOOK_EVERY_S
from tests.hostside.agent_rig import PATH, Rig, make_wiring, reports_in
from tests.hostside.link_world import PATHS, PORTS, LinkWorld, PathLife

# -- the agent ---------------------------------------------------------------------------------------------------


def living(rig: Rig) -> threading.Thread:
    """The agent runs by itself; the NSU's end waits for what it reads."""
    rig.agent.poll.unregister(rig.agent.sock.fileno())
    rig.nsu.setblocking(True)
    rig.nsu.settimeout(5)
    lived = threading.Thread(target=rig.agent.run)
    lived.start()
    return lived


def test_asked_to_close_it_says_so_and_finishes_what_it_was_given() -> None:
    """What the disk gave before it had heard of it is done too; and it does not sleep through the signal."""
    wiring = make_wiring(disks=2)
    rig = Rig(2, wiring=wiring, window=2)
    tags = [rig.command(Op.READ, number, disk=0) for number in range(5)]
    lived = living(rig)
    asked = rig.nsu.recv(2 * HEADER_BYTES, socket.MSG_WAITALL)
    rig.agent.life._take_sigterm(15, None)
    while (Report.CLOSING, PATH, 5) not in [
        (said.kind, said.path, said.incarnation) for said in reports_in(wiring.disks[1].reports)
    ]:
        assert lived.is_alive()
        time.sleep(0.001)
    tags.append(rig.command(Op.READ, 9, disk=0))
    for count in (2, 2, 0):
        rig.nsu.sendall(b"".join(rig.drive.answers(asked)))
        asked = rig.nsu.recv(count * HEADER_BYTES, socket.MSG_WAITALL) if count else b""
    lived.join(5)
    assert not lived.is_alive()
    said = reports_in(wiring.disks[0].reports)
    assert [one.kind for one in said].count(Report.CLOSING) == 1
    assert [one.tag for one in said if one.kind is Report.DONE] == tags
    rig.close()


def test_an_idle_agent_that_is_asked_to_close_is_gone_at_once() -> None:
    rig = Rig(2)
    lived = living(rig)
    while not rig.wiring.disks[0].reports.wait(0):
        time.sleep(0.001)
    time.sleep(0.02)  # it sleeps
    began_s = time.monotonic()
    rig.agent.life._take_sigterm(15, None)
    lived.join(5)
    assert time.monotonic() - began_s < LOOK_EVERY_S / 2
    rig.close()


def test_it_tells_for_how_long_its_window_was_full_and_how_far_away_the_network_is() -> None:
    rig = Rig(2, window=1)
    row = rig.wiring.counters.row(PATH)
    rig.command(Op.READ, 0)
    rig.command(Op.READ, 1)
    lived = living(rig)
    for _ in range(2):
        asked = rig.nsu.recv(HEADER_BYTES, socket.MSG_WAITALL)
        time.sleep(0.1)  # an answer that takes long: once with one that waits behind it
        rig.nsu.sendall(b"".join(rig.drive.answers(asked)))
    until_s = time.monotonic() + 5
    while not row.get("waited_ms") and time.monotonic() < until_s:
        time.sleep(0.01)
    assert 90 <= row.get("waited_ms") < 190
    rig.agent.life._take_sigterm(15, None)
    lived.join(5)
    rig.close()


# -- the link ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def world(request: pytest.FixtureRequest) -> Iterator[LinkWorld]:
    world = LinkWorld(request.param)
    world.settle()
    yield world
    world.close()


@pytest.fixture
def world2() -> Iterator[LinkWorld]:
    world = LinkWorld(2)
    world.settle()
    yield world
    world.close()


def killed(world: LinkWorld) -> list[PathLife]:
    return [life for life, puppet in world.agents.items() if SIGKILL in puppet.signals]


def with_one_too_many(world: LinkWorld) -> PathLife:
    """More paths were of use for a while; give the one that is told to close."""
    world.link.paths.wanted = PATHS + 1
    world.link.tend_paths()
    world.answer_all()
    for life in list(world.agents):
        world.agent_ready(life)
    assert world.link.paths.up_count == PATHS + 1
    world.pass_time(1.0)
    world.link.paths.wanted = PATHS
    world.link.tend_paths()
    (closing,) = [life for life, puppet in world.agents.items() if SIGTERM in puppet.signals]
    return closing


def test_a_path_that_is_not_needed_is_told_to_close_and_is_buried_like_any_other(
    world: LinkWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    closing = with_one_too_many(world)
    world.link.tend_paths()
    assert sum(bool(puppet.signals) for puppet in world.agents.values()) == 1, "one at a time, and one is enough"
    assert world.told == []
    world.agent_dies(closing, Exit.OK)
    world.answer_all()
    assert world.told == [closing]
    assert world.has_session, "0x01 too: no answer was outstanding"
    world.settle()
    assert world.told == [closing]
    assert "enough" in world.link.paths.paths[closing[0]].reason
    assert "opened again" not in capsys.readouterr().err


@pytest.mark.parametrize("status", [-9, 10])
def test_0x01_fences_a_closing_path_that_was_lost_by_a_new_session(status: int) -> None:
    """It may have had a request on the wire."""
    world = LinkWorld(1)
    world.settle()
    closing = with_one_too_many(world)
    world.agent_dies(closing, status)
    assert not world.has_session
    world.settle()
    assert closing in world.told
    world.close()


def test_an_agent_that_does_not_close_in_time_is_killed(world2: LinkWorld) -> None:
    closing = with_one_too_many(world2)
    world2.pass_time(CLOSE_MOST_S - 0.1)
    assert SIGKILL not in world2.agents[closing].signals
    world2.pass_time(0.2)
    assert SIGKILL in world2.agents[closing].signals
    world2.settle()


def test_an_interface_that_comes_up_is_a_reason_to_try_what_does_not_work_at_once(world2: LinkWorld) -> None:
    lost = [life for life in world2.agents if world2.link.paths.paths[life[0]].port == PORTS[1]]
    for life in lost:
        world2.agent_dies(life)
    for _ in range(8):  # it is tried, and does not answer
        world2.answer_all()
        for life in world2.agents.keys() - set(killed(world2)):
            if not world2.agents[life].is_ready:
                world2.agent_dies(life)
        world2.pass_time(3.0)
    world2.answer_all()
    (trying,) = [life for life, puppet in world2.agents.items() if not puppet.is_ready]
    world2.link.try_networks()
    assert killed(world2) == [trying], "it may wait for long until TCP asks again"
    world2.agent_dies(trying, -9)
    world2.pass_time(0.06)
    world2.answer_all()
    assert any(life[0] == trying[0] and life != trying for life in world2.agents)
    world2.settle()
