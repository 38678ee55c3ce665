"""Proves that both versions of the protocol go over IPv6 as over IPv4, and over both at once, on any machine."""

import socket
from collections import Counter

import pytest

from hostside import open_disk
from tests.harness import World, spawn_world

PATHS = 4


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(60),
    pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1: enable IPv6 on its loopback"),
]


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_a_disk_over_ipv6_and_ipv4(version: int) -> None:
    with spawn_world(units={"unit_1": 8192}, paths=PATHS, version=version, networks=("::1", "127.0.0.1")) as world:
        world.machine.wait_for(lambda _: every_path_carried_something(world))
        assert world.machine.pids("nsu: srw host1 [::1]:")
        # The configuration socket, too: the server is up, so the first ADDRESS that is tried is the one that is taken.
        seen = {session_address(world)}
        for _ in range(20):
            if "::1" in seen:
                break
            killed = world.machine.kill_process("nsu: host")
            world.machine.wait_for(lambda _, killed=killed: killed not in world.machine.pids("nsu: host"))  # type: ignore[misc]
            world.machine.wait_paths(PATHS)
            seen.add(session_address(world))
        assert "::1" in seen
        write_and_read(world)


def write_and_read(world: World) -> None:
    with open_disk(at=world.at("unit_1")) as disk:
        for number in range(64):
            disk.pwrite(bytes([number]) * 65536, number * 65536)
        assert all(disk.pread(65536, number * 65536) == bytes([number]) * 65536 for number in range(64))


def every_path_carried_something(world: World) -> bool:
    """Go on writing until it is so: one request at a time goes to whichever path looks best at that moment."""
    write_and_read(world)
    return paths_used(world) == {"[::1]": PATHS // 2, "127.0.0.1": PATHS // 2}


def paths_used(world: World) -> Counter[str]:
    (server,) = world.machine.status()["host"]["servers"]
    return Counter(path["network"].rpartition(":")[0] for path in server["paths"] if path["requests"])


def session_address(world: World) -> str:
    """Give the address over which the host is logged in, as both sides see it."""
    status = world.machine.status()
    (server,) = status["host"]["servers"]
    (session,) = status["server"]["sessions"]
    assert session["peer"] == server["address"]
    return str(server["address"])
