"""Measures and proves what more paths than CONNECTIONS are worth: over a long way they come, carry more, and go when
they are not needed any more; in one building they never come.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from hostside.growth import FAR_S, GROW_AFTER, MEASURE, SHRINK_AFTER
from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, World, conf_text, spawn_world, write_secret
from tests.harness.long_wire import SERVER_ADDRESS, LongWire
from tests.harness.netns import Networks, needs_networks
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.soak, pytest.mark.timeout(300), needs("fio")]

KEPT, MOST = 2, 8
BLOCKS = 131_072
DEPTH = 512
"""Requests in flight that the application keeps: as many as eight windows hold."""


@contextmanager
def spawn_far(delay_s: float) -> Iterator[World]:
    """Run both sides with a round trip of twice `delay_s` between them."""
    with (
        Networks(0) as networks,
        LongWire(networks.server, networks.host, delay_s),
        Machine(namespace=networks.server) as server,
        Machine(namespace=networks.host) as host,
    ):
        secret = write_secret(host.folder / "host1.key")
        units = [Unit("unit_1", "unit0", 0, BLOCKS - 1)]
        hosts = [Host("host1", units, [(SERVER_ADDRESS, 10_002, MOST)], (), secret)]
        drives = [(server.folder / "drive0.img", f"{BLOCKS >> 11}MiB")]
        nsu = Nsu("box1", 10_001, {"unit0": ("jbod", drives)}, hosts, [SERVER_ADDRESS])
        disks = [Disk("unit_1", host.folder / "unit_1.sock")]
        lines = [f"CONNECTIONS_MAX = {MOST}"]
        block = Server("box1", [SERVER_ADDRESS], 10_001, disks, "host1", secret, KEPT, lines)
        server.start(conf_text("box1", server.state, nsu))
        server.wait_for(lambda status: status["server"])
        host.start(conf_text("machine1", host.state, block))
        host.wait_paths(KEPT)
        yield World(host, nsu, block, KEPT)


@contextmanager
def busy(world: World, depth: int) -> Iterator[None]:
    """Meanwhile fio keeps `depth` reads of 4 KiB in flight."""
    command = [
        "fio", "--name=far", "--ioengine=nbd", f"--uri={world.uri('unit_1')}", "--rw=randread", "--bs=4k",
        f"--iodepth={depth}", "--size=32M", "--time_based", "--runtime=600", "--thread",
    ]  # fmt: skip
    fio = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        assert fio.poll() is None, fio.communicate()[0]
    finally:
        fio.terminate()
        fio.communicate(timeout=60)


def paths_up(world: World) -> int:
    (server,) = world.machine.status()["host"]["servers"]
    return int(server["paths_up"])


def reads_per_s(world: World, seconds: float) -> float:
    def reads() -> int:
        (server,) = world.machine.status()["host"]["servers"]
        return int(server["totals"]["requests"])

    before, began_s = reads(), time.monotonic()
    time.sleep(seconds)
    return (reads() - before) / (time.monotonic() - began_s)


@needs_networks
def test_over_a_long_way_more_paths_come_and_carry_more_and_go_when_they_are_not_needed() -> None:
    with spawn_far(delay_s=0.02) as world:
        with busy(world, DEPTH):
            before = reads_per_s(world, GROW_AFTER - 0.5)
            world.machine.wait_for(lambda _: paths_up(world) >= 2 * KEPT, 60)
            after, up = reads_per_s(world, MEASURE), paths_up(world)
            trip_ms = least_trip_ms(world)
        gone_s = world.machine.wait_for(lambda _: paths_up(world) == KEPT, SHRINK_AFTER + 20)
    print(
        f"\n{trip_ms:.1f} ms of round trip, {DEPTH} reads of 4 KiB in flight: {before:.0f}/s with {KEPT} paths,"
        f" {after:.0f}/s with {up}; closed {gone_s:.0f} s after the load has ended"
    )
    assert trip_ms >= FAR_S * 1000
    assert after > 1.3 * before


def test_in_one_building_no_more_come_however_much_waits() -> None:
    with (
        spawn_world(units={"unit_1": BLOCKS}, paths=KEPT, lines=[f"CONNECTIONS_MAX = {MOST}"]) as world,
        busy(world, DEPTH),
    ):
        most = 0
        for _ in range(200):
            time.sleep(0.2)
            most = max(most, paths_up(world))
        rate, trip_ms = reads_per_s(world, 2.0), least_trip_ms(world)
    print(f"\n{trip_ms:.2f} ms of round trip, {DEPTH} reads of 4 KiB in flight: {rate:.0f}/s with {most} paths")
    assert most == KEPT


def least_trip_ms(world: World) -> float:
    (server,) = world.machine.status()["host"]["servers"]
    return float(min(path["round_trip_us"] for path in server["paths"] if path["state"] == "up")) / 1000
