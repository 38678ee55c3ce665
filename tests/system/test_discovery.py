"""Proves that two NSUs on a bridge are found by `nsu discover`: without addresses, with those of another subnet, after
they moved; by every way; and that a flood of malformed frames changes nothing.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from ipc.link_socket import BROADCAST_MAC, LinkSocket
from tests.harness.machine import Machine
from tests.harness.netns import Namespace, inside, needs_networks

pytestmark = [pytest.mark.system, pytest.mark.timeout(120), needs_networks]

ALL_WAYS = ["Ethernet", "IPv4 multicast", "IPv6 multicast", "broadcast"]
FLOOD = 100_000


@dataclass
class Segment:
    """A host and two NSUs, e0 of each on one bridge. Only link-local addresses of IPv6 are there from the start."""

    host: Namespace
    nsus: list[Namespace]
    machines: list[Machine]

    def discover(self, *flags: str) -> list[dict[str, Any]]:
        """Run `nsu discover` on the host."""
        command = self.host.command(sys.executable, "-m", "nsu", "discover", "--json", "--timeout", "2", *flags)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        assert done.returncode == (0 if found else 1), done.stderr
        return found

    def until(self, wanted: list[str], ways: list[str], *flags: str) -> list[dict[str, Any]]:
        """Discover until these addresses, and no others, are told and can be logged in at: a change takes a second."""
        until_s = time.monotonic() + 20
        while True:
            found = self.discover(*flags)
            told = [each for row in found for one in row["interfaces"] for each in one["addresses"]]
            is_there = wanted == [each["address"] for each in told] and all(each["config_port_open"] for each in told)
            if is_there and [row["found_by"] for row in found] == [ways, ways]:
                return found
            assert time.monotonic() < until_s, found


def conf(name: str, machine: Machine, *lines: str) -> str:
    return "\n".join([f"MACHINE {name}", f"  STATE = {machine.state}", f"NSU {name}", *lines, ""])


@pytest.fixture(scope="module", name="segment")
def make_segment() -> Iterator[Segment]:
    with ExitStack() as stack:
        switch, host, one, other = (Namespace() for _ in range(4))
        for namespace in (switch, host, one, other):
            stack.callback(namespace.close)
        switch.ip("link add b0 type bridge mcast_snooping 0", "link set b0 up")
        for number, end in enumerate((host, one, other)):
            end.run("sh", "-c", "for i in all default; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done")
            end.run("sh", "-c", "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad")
            switch.ip(
                f"link add p{number} type veth peer name e0 netns {end.holder.pid}",
                f"link set p{number} master b0",
                f"link set p{number} up",
            )
            end.ip("link set e0 up")
        machines = [stack.enter_context(Machine(namespace=namespace)) for namespace in (one, other)]
        for number, machine in enumerate(machines, 1):
            machine.start(conf(f"box{number}", machine))
        for machine in machines:
            machine.wait_for(lambda status: status["server"] and status["server"]["discovery"]["ethernet"])
        yield Segment(host, [one, other], machines)
        for machine in machines:
            assert "Traceback" not in machine.log(), machine.log()


def test_without_an_address_they_are_found(segment: Segment) -> None:
    ways = ["Ethernet", "IPv6 multicast", "broadcast"]
    found = segment.until([], ways)
    assert [(row["name"], row["is_set_up"], row["versions"]) for row in found] == [
        ("box1", False, []), ("box2", False, []),
    ]  # fmt: skip
    links = [json.loads(nsu.run("ip", "-json", "link", "show", "e0")) for nsu in segment.nsus]
    assert [row["mac"] for row in found] == [link[0]["address"] for link in links]
    assert len(segment.discover("--interface", "e0")) == 2


def test_of_another_subnet_and_moved_they_are_found_by_all_ways(segment: Segment) -> None:
    segment.host.ip("addr add 10.1.0.1/24 dev e0")
    for place, nets in enumerate(((1, 1), (2, 3), (4, 5))):
        addresses = [f"10.{net}.0.{number}" for number, net in enumerate(nets, 11)]
        for nsu, machine, address in zip(segment.nsus, segment.machines, addresses, strict=True):
            nsu.ip("addr flush dev e0 scope global", f"addr add {address}/24 dev e0")
            fresh = machine.conf.with_suffix(".new")
            name = f"box{segment.machines.index(machine) + 1}"
            fresh.write_text(conf(name, machine, f"  LISTEN = {address}"))
            fresh.replace(machine.conf)
        found = segment.until(addresses, ALL_WAYS)
        if place == 0:
            identities = [row["instance"] for row in found]
        assert [row["instance"] for row in found] == identities, "it is the same NSU, wherever it is"


def test_a_flood_of_malformed_frames_is_counted_and_they_are_found_all_the_same(segment: Segment) -> None:
    def malformed() -> int:
        return sum(machine.status()["server"]["discovery"]["malformed"] for machine in segment.machines)

    before = malformed()
    link = inside(segment.host, lambda: LinkSocket("e0"))
    began_s = time.monotonic()
    for number in range(FLOOD):
        try:
            link.send(BROADCAST_MAC, b"NSU\0\1\1" + number.to_bytes(4) + bytes(60))
        except (BlockingIOError, OSError):
            continue
    took_s = time.monotonic() - began_s
    link.close()
    segment.machines[0].wait_for(lambda _: malformed() > before)
    assert len(segment.discover()) == 2
    print(
        f"\n{FLOOD} malformed frames in {took_s:.1f} s: {malformed() - before} looked at by two NSUs, the rest dropped"
    )
    for machine in segment.machines:
        assert len(machine.pids("nsu: server")) == 1
