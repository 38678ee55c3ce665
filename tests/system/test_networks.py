"""Proves that a disk goes on over the networks that are left, and that paths grow onto whatever network comes or
returns: by themselves, evenly, within a time that is stated; under fio's verification, over IPv4 and IPv6 at once.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hostside.networks import PATIENCE_S, REST_MOST_S, STEADY_FIRST_S
from ipc.endpoints import endpoint
from protocol.timers import CONNECT_WITHIN_S, FOUND_WITHIN_S
from tests.harness.apart import DATA_PORT, Apart, spawn_apart
from tests.harness.netns import needs_networks
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(180), needs_networks]

PATHS = 8
HALF = PATHS // 2
SPREAD_WITHIN_S = FOUND_WITHIN_S + PATIENCE_S + 2.0
"""After a network has gone, all paths are up over the other."""
BALANCED_WITHIN_S = 10.0
"""After it has come back, half of them are there again (docs/operating.md)."""
BUSY_S = 2.0
"""What forks may take on a machine with much else to do."""

assert CONNECT_WITHIN_S + REST_MOST_S + 2 * STEADY_FIRST_S + BUSY_S <= BALANCED_WITHIN_S


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    with spawn_apart(units={"unit_1": 131_072}, paths=PATHS, families=(4, 6)) as apart:
        yield apart
        for machine in (apart.server, apart.host):
            assert "Traceback" not in machine.log(), machine.log()


@pytest.fixture(autouse=True)
def _starts_evenly(apart: Apart) -> None:
    apart.wait_paths_on(HALF, HALF)


@contextmanager
def verified(apart: Apart) -> Iterator[None]:
    """Meanwhile fio writes and verifies; its first error of any kind is a failure."""
    command = [
        "fio", "--name=verify", "--ioengine=nbd", f"--uri={apart.uri('unit_1')}", "--rw=randwrite",
        "--bssplit=4k/60:64k/20:256k/20", "--iodepth=32", "--size=48M", "--verify=crc32c", "--verify_fatal=1",
        "--verify_backlog=256", "--serialize_overlap=1", "--time_based", "--runtime=600", "--thread",
    ]  # fmt: skip
    fio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert fio.poll() is None, fio.communicate()[0]
        fio.terminate()
        told, _ = fio.communicate(timeout=60)
    finally:
        fio.kill()
        fio.communicate()
    assert "err= 0" in told, told


def fewest_up(apart: Apart, *counts: int, within_s: float) -> int:
    """Wait until so many paths are up over each network; give the fewest that were up together meanwhile."""
    fewest = PATHS

    def holds(status: dict[str, object]) -> bool:
        nonlocal fewest
        up = [apart.paths_on(number, status) for number in range(len(counts))]
        fewest = min(fewest, sum(up))
        return up == [*counts]

    assert apart.host.wait_for(holds, within_s + 10) < within_s
    return fewest


@needs("fio")
def test_a_network_goes_and_comes_back(apart: Apart) -> None:
    with verified(apart):
        apart.networks[0].pull_cable()
        spread_s = apart.wait_paths_on(0, PATHS)
        apart.networks[0].mend()
        began_s = time.monotonic()
        assert fewest_up(apart, HALF, HALF, within_s=BALANCED_WITHIN_S) == PATHS, (
            "a working path was given up too early"
        )
        balanced_s = time.monotonic() - began_s
    print(
        f"\none of two networks cut: all paths on the other after {spread_s:.1f} s; back, even after {balanced_s:.1f} s"
    )
    assert spread_s < SPREAD_WITHIN_S


@needs("fio")
def test_a_blackhole_on_the_way_is_found_and_left_again(apart: Apart) -> None:
    """Nothing is wrong with interfaces or addresses, so nobody tells us when it is over."""
    with verified(apart):
        apart.networks.host.ip(f"route add blackhole {apart.addresses[1]}/128")
        assert apart.wait_paths_on(PATHS, 0) < SPREAD_WITHIN_S
        apart.networks.host.ip(f"route del blackhole {apart.addresses[1]}/128")
        assert fewest_up(apart, HALF, HALF, within_s=BALANCED_WITHIN_S) == PATHS


def warned(apart: Apart, words: str) -> bool:
    return any(words in warning for warning in apart.server.status()["server"]["warnings"])


def test_a_server_starts_without_one_of_its_addresses_and_takes_it_when_it_comes(apart: Apart) -> None:
    """Its interface came up later than nsu."""
    address, server = apart.addresses[0], apart.networks.server
    apart.server.kill()
    server.ip(f"addr del {address}/24 dev n0")
    apart.server.start()
    apart.wait_paths_on(0, PATHS)
    assert warned(apart, f"{address} is no address of this machine now")
    server.ip(f"addr add {address}/24 dev n0")
    assert fewest_up(apart, HALF, HALF, within_s=BALANCED_WITHIN_S) == PATHS
    assert not warned(apart, "no address")


@pytest.mark.soak
def test_an_address_that_goes_from_a_running_server_costs_nothing_but_the_wait(apart: Apart) -> None:
    address, server = apart.addresses[0], apart.networks.server
    for _ in range(3):
        with verified(apart):
            server.ip(f"addr del {address}/24 dev n0")
            assert apart.wait_paths_on(0, PATHS) < SPREAD_WITHIN_S
            assert warned(apart, f"{address} is no address of this machine now")
            server.ip(f"addr add {address}/24 dev n0")
            assert fewest_up(apart, HALF, HALF, within_s=BALANCED_WITHIN_S) == PATHS


def srws_on(apart: Apart, number: int) -> set[int]:
    return set(apart.server.pids(f"nsu: srw host1 {endpoint(apart.addresses[number], DATA_PORT)}"))


def test_a_port_that_nsu_conf_loses_and_gets_is_left_and_taken(apart: Apart) -> None:
    """The configuration port too is where LISTEN, or else the data ports, say; and who is not concerned stays."""
    host, listen = apart.nsu.hosts[0], apart.nsu.listen
    both, theirs = list(host.data_ports), srws_on(apart, 1)
    host.data_ports[:] = both[1:]
    apart.nsu.listen = listen[1:]
    apart.rewrite_server()
    assert apart.wait_paths_on(0, PATHS) < SPREAD_WITHIN_S
    assert theirs <= srws_on(apart, 1)
    assert apart.server.status()["server"]["listen"] == listen[1:]
    host.data_ports[:] = both
    apart.nsu.listen = listen
    apart.rewrite_server()
    assert fewest_up(apart, HALF, HALF, within_s=BALANCED_WITHIN_S) == PATHS
    assert apart.server.status()["server"]["listen"] == listen
