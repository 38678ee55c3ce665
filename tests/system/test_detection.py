"""Proves that whoever falls silent is found within FOUND_WITHIN_S, on busy and on idle paths, and nobody who is only
slow: a drive that hangs costs no process and no path, and a stopped parent costs those nothing that work without it.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from protocol.timers import FOUND_WITHIN_S, STOPPED_MOST_S, USER_TIMEOUT_S
from tests.harness import Machine, conf_text, spawn_server, spawn_world
from tests.harness.apart import Apart, spawn_apart
from tests.harness.load import Load
from tests.harness.machine import wait_dead
from tests.harness.netns import needs_networks
from tests.harness.slow_drive import SlowDrive
from tests.hostside.frontends.file_server import NEEDS_FUSE
from tests.system.independent_v1_host import OP_READ, Message, log_in

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

PATHS = 4
BLOCKS = 131_072
LARGE_BYTES = 256 << 10
"""So that what is on its way to a peer that reads nothing is more than its window."""
LONGER_S = FOUND_WITHIN_S + 1.0
"""Longer than any bound of a path: who is not taken for gone by then will not be."""


class Both:
    """A server's machine and a host's, over loopback."""

    def __init__(self, stack: ExitStack) -> None:
        self.world = stack.enter_context(spawn_world(units={"unit_1": BLOCKS}, paths=PATHS, host_role=False))
        self.server = self.world.machine
        self.host = stack.enter_context(Machine())
        self.at = self.world.server.disks[0].at = self.host.folder / "unit_1.sock"
        self.host.start(conf_text("host1", self.host.state, self.world.server))
        self.host.wait_paths(PATHS)


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


def paths_of(machine: Machine) -> list[dict[str, Any]]:
    """Give a host's paths."""
    found: list[dict[str, Any]] = machine.status()["host"]["servers"][0]["paths"]
    return found


def lives_of(machine: Machine) -> list[tuple[str, int]]:
    """Give what changes when a path is given up, however soon it is back."""
    return [(path["state"], path["incarnation"]) for path in paths_of(machine)]


def session_of(machine: Machine) -> object:
    return machine.status()["host"]["servers"][0]["session"]


def stopped(machine: Machine, title: str, number: int = 0) -> psutil.Process:
    """Stop a process (SIGSTOP): its sockets' kernel goes on answering."""
    process = psutil.Process(machine.pids(title)[number])
    process.suspend()
    return process


def seconds_until_gone(*processes: psutil.Process) -> float:
    began_s = time.monotonic()
    assert not wait_dead(processes, 20), "nobody has found it"
    return time.monotonic() - began_s


# -- who stands still --------------------------------------------------------------------------------------------


def test_stopped_ones_on_busy_paths_hold_nobody_up_for_long(both: Both) -> None:
    """An SRW and another path's agent; and more is on its way to them than they have room for: windows are full."""
    with Load(both.at, clients=12, request_bytes=LARGE_BYTES) as load:
        stopped_at_s = load.mark()
        seconds_until_gone(stopped(both.server, "nsu: srw", 1), stopped(both.host, "nsu: agent", 3))
        load.wait_until_all_flows()
        assert STOPPED_MOST_S - 0.9 < load.longest_wait_s(stopped_at_s) < FOUND_WITHIN_S
        both.host.wait_paths(PATHS)


def test_stopped_ones_are_found_on_idle_paths(both: Both) -> None:
    """And an array's driver, which is idle nearly always."""
    srw, agent = stopped(both.server, "nsu: srw", 0), stopped(both.host, "nsu: agent", 2)
    driver = stopped(both.server, "nsu: driver")
    assert seconds_until_gone(srw, agent, driver) < FOUND_WITHIN_S
    both.host.wait_paths(PATHS)
    both.server.wait_for(lambda status: status["server"]["arrays"][0]["driver_pid"] not in (None, driver.pid))


# -- who is only slow, or not needed -----------------------------------------------------------------------------


@NEEDS_FUSE
@needs_networks
@pytest.mark.parametrize("seconds", [LONGER_S, pytest.param(20.0, marks=pytest.mark.soak)])
def test_a_drive_that_hangs_costs_no_path(tmp_path: Path, seconds: float) -> None:
    """No SRW beats, reads or answers, and all windows are full. When the drive goes on, so does everybody."""
    with ExitStack() as stack:
        drive = stack.enter_context(SlowDrive(tmp_path, BLOCKS * 512 + (1 << 20)))
        units = {"unit_1": BLOCKS}
        apart = stack.enter_context(spawn_apart(units=units, paths=PATHS, drive=drive.path, window_bytes=1 << 16))
        server, host = apart.server, apart.host
        with Load(host.folder / "unit_1.sock", clients=64, request_bytes=LARGE_BYTES, places=2) as load:
            before = session_of(host), lives_of(host), host.processes(), server.processes()
            drive.hang()
            hung_at_s = load.mark()
            time.sleep(seconds)
            drive.go_on()
            load.wait_until_all_flows()
            assert load.longest_wait_s(hung_at_s) > seconds - 1
            assert before == (session_of(host), lives_of(host), host.processes(), server.processes())


def test_a_stopped_server_process_holds_up_nothing_that_goes_well(both: Both) -> None:
    """Its configuration socket is silent; its reader/writers work, so the session is kept, and said to be in doubt."""
    before = session_of(both.host), lives_of(both.host)
    with Load(both.at) as load:
        stopped_at_s = load.mark()
        server = stopped(both.server, "nsu: server")
        both.host.wait_for(lambda status: any("stands still" in words for words in status["host"]["warnings"]))
        time.sleep(LONGER_S - (load.mark() - stopped_at_s))
        assert load.longest_wait_s(stopped_at_s) < 1.5
        server.resume()
        both.host.wait_for(lambda status: not status["host"]["warnings"])
        load.wait_until_all_flows()
    assert before == (session_of(both.host), lives_of(both.host))


def test_a_stopped_host_process_holds_up_nothing_that_goes_well(both: Both) -> None:
    """The server does not judge a host by the silence of its configuration socket while its kernel answers."""
    before = session_of(both.host), lives_of(both.host)
    with Load(both.at) as load:
        stopped_at_s = load.mark()
        host = stopped(both.host, "nsu: host")
        time.sleep(LONGER_S)
        assert load.longest_wait_s(stopped_at_s) < 1.5
        host.resume()
        load.wait_until_all_flows()
    assert before == (session_of(both.host), lives_of(both.host))


def test_a_host_that_slept_as_a_whole_goes_on_where_it_was(both: Both) -> None:
    """All its processes are stopped, as a machine in a snapshot: on waking nobody takes another for silent."""
    before = session_of(both.host), lives_of(both.host), both.host.processes()
    with Load(both.at) as load:
        asleep = [psutil.Process(pid) for pid in both.host.processes()]
        for process in asleep:
            process.suspend()
        time.sleep(LONGER_S)
        for process in asleep:
            process.resume()
        load.wait_until_all_flows()
        time.sleep(1.0)  # everybody has looked
    assert before == (session_of(both.host), lives_of(both.host), both.host.processes())


def test_a_server_that_stands_still_as_a_whole_is_given_up_and_waited_for(both: Both) -> None:
    """Nobody is left to watch there; its kernel acknowledges all. Requests wait, and are done when it goes on."""
    with Load(both.at) as load:
        asleep = [psutil.Process(pid) for pid in both.server.processes()]
        for process in asleep:
            process.suspend()
        found_s = both.host.wait_for(lambda status: status["host"]["servers"][0]["paths_up"] == 0)
        assert found_s < FOUND_WITHIN_S
        for process in asleep:
            process.resume()
        load.wait_until_all_flows()
    both.host.wait_paths(PATHS)


# -- who is gone without a word ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with spawn_apart(units={"unit_1": BLOCKS}, paths=PATHS) as apart:
        yield apart


@needs_networks
def test_a_network_that_falls_silent_is_found_on_idle_paths(apart: Apart) -> None:
    """The second network; the configuration socket is on the first, so the session stays."""
    before = session_of(apart.host)
    silent = apart.networks[1]
    silent.silence()
    found_s = apart.host.wait_for(
        lambda _: (
            not any(path["state"] == "up" and silent.server_address in path["network"] for path in paths_of(apart.host))
        )
    )
    assert found_s < FOUND_WITHIN_S
    assert session_of(apart.host) == before
    silent.mend()
    apart.host.wait_paths(PATHS)


@needs_networks
def test_both_ends_find_the_other_gone_and_a_rebooted_host_is_let_in_at_once(apart: Apart) -> None:
    """The host dies behind a silent network: no FIN, no RST. Nothing of it is left at the server."""
    for network in apart.networks:
        network.silence()
    began_s = time.monotonic()
    lost_s = apart.host.wait_for(lambda status: status["host"]["servers"][0]["paths_up"] == 0)
    apart.host.kill()
    apart.server.wait_for(lambda status: not status["server"]["sessions"] and not apart.server.pids("nsu: srw"))
    assert lost_s < FOUND_WITHIN_S
    assert time.monotonic() - began_s < FOUND_WITHIN_S + 1.0
    for network in apart.networks:
        network.mend()
    apart.host.start()
    assert apart.host.wait_paths(PATHS) < FOUND_WITHIN_S


# -- who takes nothing -------------------------------------------------------------------------------------------


def test_a_host_that_takes_no_answers_is_found() -> None:
    """It asks for more than its window holds and reads nothing, while its kernel says that the window is full."""
    with spawn_server() as server, log_in("127.0.0.1", server.config_port) as session, session.open_data() as data:
        asked = Message(op=OP_READ, reqsz_lo=128 << 10).packed() * 400
        began_s = time.monotonic()
        data.send(asked)
        server.machine.wait_for(lambda _: not server.machine.pids("nsu: srw"))
        assert USER_TIMEOUT_S - 0.5 < time.monotonic() - began_s < FOUND_WITHIN_S + 0.5
