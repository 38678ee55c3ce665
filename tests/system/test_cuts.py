"""Measures the seconds after something breaks, and proves that they are few: a network cut by a reset or by silence, a
server killed and started again under a verifying load, a host role killed and started again.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from statistics import quantiles

import psutil
import pytest

from hostside import open_disk
from protocol.timers import FOUND_WITHIN_S
from tests.harness import Machine, conf_text, spawn_world
from tests.harness.apart import Apart, spawn_apart
from tests.harness.load import Load
from tests.harness.machine import wait_dead
from tests.harness.netns import Network, needs_networks
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PATHS = 4
BLOCKS = 131_072
RESET_MOST_S = 1.0
BACK_MOST_S = 5.0
"""From the moment that what was killed is at work again."""
MANY = 50
FEW = 5


def say_figures(what: str, waits_s: list[float]) -> float:
    """Print and give the 99th percentile."""
    percentiles = quantiles(waits_s, n=100, method="inclusive")
    print(
        f"\n{what}: the longest wait of any request, over {len(waits_s)} cuts: "
        f"p50 {percentiles[49]:.2f} s, p99 {percentiles[98]:.2f} s, most {max(waits_s):.2f} s"
    )
    return percentiles[98]


# -- networks ----------------------------------------------------------------------------------------------------


class Wires:
    """Two machines and two networks, half of the paths on each, and a load that keeps all of them busy."""

    def __init__(self, apart: Apart, load: Load) -> None:
        self.apart = apart
        self.load = load

    def paths_on(self, network: Network) -> int:
        """Give how many paths are up on it."""
        paths = self.apart.host.status()["host"]["servers"][0]["paths"]
        return sum(path["state"] == "up" and network.server_address in path["network"] for path in paths)

    def wait_balanced(self) -> None:
        self.apart.host.wait_for(lambda _: all(self.paths_on(n) == PATHS // 2 for n in self.apart.networks), 60)

    def kill_srws(self, network: Network) -> None:
        """As a firewall that resets some connections: the session stays."""
        for pid in self.apart.server.pids(f"nsu: srw host1 {network.server_address}"):
            psutil.Process(pid).kill()

    def cut(self, number: int, kind: str) -> float:
        """Cut a network; give how long any request waited for it.

        Each twice, in turn: the first time the configuration socket is on it, the second time on the other.
        """
        self.wait_balanced()
        pair = number // 2
        network, is_first_way = self.apart.networks[pair % 2], (pair + pair // 2) % 2 == 0
        began_s = self.load.mark()
        if kind == "reset":
            network.reset() if is_first_way else self.kill_srws(network)
        else:
            network.silence() if is_first_way else network.pull_cable()
            self.apart.host.wait_for(lambda _: self.paths_on(network) == 0)
        self.load.wait_until_all_flows()
        waited_s = self.load.longest_wait_s(began_s)
        if kind == "silence":
            network.mend()
        return waited_s


@pytest.fixture(scope="module")
def wires() -> Iterator[Wires]:
    with (
        spawn_apart(units={"unit_1": BLOCKS}, paths=PATHS, places=PATHS // 2) as apart,
        Load(apart.host.folder / "unit_1.sock", clients=16) as load,
    ):
        yield Wires(apart, load)


@needs_networks
@pytest.mark.parametrize("cuts", [FEW, pytest.param(MANY, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])])
@pytest.mark.parametrize(("kind", "most_s"), [("reset", RESET_MOST_S), ("silence", FOUND_WITHIN_S)])
def test_a_cut_network_costs_no_more_than_was_said(wires: Wires, kind: str, most_s: float, cuts: int) -> None:
    waits_s = [wires.cut(number, kind) for number in range(cuts)]
    assert say_figures(f"a network cut by {kind}", waits_s) < most_s
    assert kind == "reset" or min(waits_s) > 1.0, "nothing was on its way over the network that was cut"


# -- the server --------------------------------------------------------------------------------------------------


class Both:
    """A server's machine and a host's over loopback, fio verifying one disk, a load on the other."""

    def __init__(self, stack: ExitStack) -> None:
        units = {"unit_1": BLOCKS, "unit_2": 16_384}
        self.world = stack.enter_context(spawn_world(units=units, paths=PATHS, host_role=False))
        self.server = self.world.machine
        self.host = stack.enter_context(Machine())
        for disk in self.world.server.disks:
            disk.at = self.host.folder / f"{disk.name}.sock"
        self.host.start(conf_text("host1", self.host.state, self.world.server))
        self.host.wait_paths(PATHS)

    def start_fio(self, seconds: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [
                "fio", "--name=verify", "--ioengine=nbd", f"--uri={self.world.uri('unit_1')}", "--rw=randwrite",
                "--bssplit=4k/60:64k/20:256k/20", "--iodepth=32", "--size=48M", "--verify=crc32c", "--verify_fatal=1",
                "--verify_backlog=256", "--serialize_overlap=1", "--time_based", f"--runtime={seconds}",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def kill_server_process(self) -> None:
        killed = self.server.kill_process("nsu: server")
        self.server.wait_for(lambda status: status["server"] and self.server.pids("nsu: server") not in ([], [killed]))

    def kill_server_machine(self) -> None:
        """All of it at once; started again by a person or by systemd."""
        self.server.kill()
        self.server.start()
        self.server.wait_for(lambda status: status["server"])


@pytest.fixture(scope="module")
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


@needs("fio")
def test_a_killed_server_costs_a_pause_and_no_error(both: Both) -> None:
    fio = both.start_fio(8)
    try:
        with Load(both.world.at("unit_2"), clients=2) as load:
            for what, kill in (
                ("the server process", both.kill_server_process),
                ("the server's machine", both.kill_server_machine),
            ):
                began_s = load.mark()
                kill()
                back_s = load.mark()
                load.wait_until_all_flows()
                pause_s = load.longest_wait_s(began_s)
                after_s = load.longest_wait_s(back_s)
                print(
                    f"\n{what} killed and started again: a pause of {pause_s:.2f} s, {after_s:.2f} s after it was back"
                )
                assert after_s < BACK_MOST_S
                both.host.wait_paths(PATHS)
        told, _ = fio.communicate(timeout=60)
    finally:
        fio.kill()
    assert fio.returncode == 0, told
    assert "err= 0" in told


# -- the host ----------------------------------------------------------------------------------------------------


def test_a_killed_host_role_serves_its_disks_again(both: Both) -> None:
    """Its clients are cut off, for their disk's process dies with it: docs/decisions/0007 says why."""
    with open_disk(at=both.world.at("unit_1")) as disk:
        disk.pwrite(b"kept" * 1024, 0)
        disk_process = psutil.Process(both.host.pids("nsu: disk unit_1")[0])
        began_s = time.monotonic()
        both.host.kill_process("nsu: host")
        assert not wait_dead([disk_process])
        with pytest.raises(ConnectionError):
            disk.pread(4096, 0)
    while True:
        assert time.monotonic() - began_s < BACK_MOST_S
        try:
            with open_disk(at=both.world.at("unit_1")) as disk:
                assert disk.pread(4096, 0) == b"kept" * 1024
                break
        except (ConnectionError, FileNotFoundError):  # the dead one's socket is removed before the new one is made
            time.sleep(0.01)
    print(f"\nthe host role killed and started again: its disk is read again after {time.monotonic() - began_s:.2f} s")
    both.host.wait_paths(PATHS)
