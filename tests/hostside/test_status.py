"""Proves that what the host process tells is plain JSON, true, and says in words what a person should know."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hostside.config_client import ConfigClient
from hostside.disks import DiskState
from hostside.host import HostProcess
from hostside.link import ServerLink
from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from hostside.status import TIMERS, describe_disks, describe_host, describe_link
from ipc.child import Child
from ipc.interfaces import Interfaces
from protocol import events
from protocol.records import DataPort, UnitFlag, UnitRecord
from protocol.timers import FOUND_WITHIN_S
from tests.hostside.agent_rig import make_life, make_wiring
from tests.hostside.link_world import PATHS, PORTS, LinkWorld, Puppet


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostProcess]:
    """A host process of one 0x02 and one 0x01 server, not connected to either."""
    monkeypatch.setattr("hostside.link.make_wiring", lambda entry: make_wiring(len(entry.disks), entry.connections))
    entries = [
        ServerEntry(
            name, ("127.0.0.1",), 10001, "host1", secret, 2, None,
            (DiskSettings(f"{name}_disk", 0, "socket", tmp_path / f"{name}.sock"),),
        )
        for name, secret in (("new", bytes(32)), ("old", None))
    ]  # fmt: skip
    host = HostProcess(make_life(), HostRoleSettings("m1", tmp_path, tuple(entries)))
    yield host
    host.control.close()
    host.loop.close()


def test_all_of_it_is_json(host: HostProcess) -> None:
    told = json.loads(json.dumps(describe_host(host)))
    assert [server["name"] for server in told["servers"]] == ["new", "old"]
    assert told["servers"][0]["session"] is None
    assert [path["state"] for path in told["servers"][0]["paths"]] == ["idle", "idle"]
    assert told["disks"] == json.loads(json.dumps(describe_disks(host)))["disks"]
    assert all(float(str(timer["value_s"])) > 0 for timer in TIMERS)


def test_a_disk_tells_where_it_is_and_what_it_waits_for(host: HostProcess, tmp_path: Path) -> None:
    disk = describe_disks(host)["disks"][0]
    at = tmp_path / "new.sock"
    assert (disk["at"], disk["uri"]) == (str(at), f"nbd+unix:///new_disk?socket={at}")
    assert disk["control"] == str(tmp_path / "disk-new_disk.sock")
    assert (disk["shown"], disk["size_bytes"], disk["trouble"]) == (False, None, "waiting for the server")


def test_a_shown_disk_tells_its_size_and_rights(host: HostProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    link = host.links[0]
    puppet = Puppet("nsu: disk")

    def fork(_: ServerLink, disk: DiskState) -> Child:
        assert disk.index == 0
        return puppet

    monkeypatch.setattr(link, "start_disk", fork)
    link.on_units(events.Units((UnitRecord(0, 1, 2000, UnitFlag.READ_ONLY, bytes(16), "new_disk"),)))
    disk = describe_disks(host)["disks"][0]
    assert (disk["shown"], disk["size_bytes"], disk["read_only"], disk["trouble"]) == (False, 1_024_000, True, "")
    puppet.say_ready()
    assert describe_disks(host)["disks"][0]["shown"]
    puppet.die(0)
    puppet.close()


def test_0x01_is_warned_of_as_long_as_it_is_spoken(host: HostProcess) -> None:
    (warning,) = describe_host(host)["warnings"]
    assert "SERVER old" in warning
    assert "0x01" in warning


def test_every_time_in_force_is_told_with_its_source(host: HostProcess) -> None:
    link = host.links[0]
    host.settings = replace(host.settings, servers=(replace(link.entry, fail_after_s=7.0),))
    told = {timer["source"]: timer["value_s"] for timer in describe_host(host)["timers"]}
    assert told["protocol/timers.py FOUND_WITHIN_S"] == FOUND_WITHIN_S
    assert told["nsu.conf, ON_NO_PATH"] == 7.0


def test_a_server_whose_process_stands_still_is_told_of(host: HostProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ConfigClient, "is_silent", property(lambda client: client is host.links[0].client))
    words = [words for words in describe_host(host)["warnings"] if "stands still" in words]
    assert len(words) == 1
    assert "SERVER new" in words[0]


def test_fewer_places_than_connections_are_told(host: HostProcess) -> None:
    link = host.links[0]
    link.granted = events.Granted(2, 4, 5, "box1")
    link.paths.set_ports((DataPort("127.0.0.1", 10002, 1),), 0.0)
    assert any("1 places" in words for words in describe_host(host)["warnings"])
    link.paths.set_ports(PORTS, 0.0)
    assert not any("places" in words for words in describe_host(host)["warnings"])


def test_networks_are_told_with_what_is_wrong_with_them(host: HostProcess) -> None:
    link = host.links[0]
    link.paths.set_ports((*PORTS, DataPort("fd00::1", 10002, 3)), 0.0)
    link.paths.networks[0].came_up(1.0)
    link.paths.networks[2].failed(1.0)
    link.paths.networks[2].trouble = "connecting to [fd00::1]:10002: timed out"
    assert [(network["at"], network["state"], network["trouble"]) for network in describe_link(link)["networks"]] == [
        ("127.0.0.1:10002", "works", ""),
        ("127.0.0.2:10002", "being tried", ""),
        ("[fd00::1]:10002", "down", "connecting to [fd00::1]:10002: timed out"),
    ]


def test_an_interface_that_comes_up_is_seen_by_the_host_process(host: HostProcess) -> None:
    up: set[tuple[str, str]] = set()
    host.interfaces = Interfaces(lambda: frozenset(up))
    paths = host.links[0].paths
    paths.set_ports(PORTS, 0.0)
    network = paths.networks[0]
    for _ in range(9):
        network.failed(host.loop.now())
    host.look_around()
    assert network.probe_at_s > host.loop.now() + 1
    up.add(("n0", "10.1.1.1"))
    host.look_around()
    assert network.probe_at_s <= host.loop.now()
    assert host.links[0].load_meter.looked_s is not None, "and how busy the paths are, it sees as well"


def test_a_link_at_work_tells_its_paths() -> None:
    world = LinkWorld(2)
    world.settle()
    life = next(iter(world.agents))
    world.link.wiring.counters.row(0).add("requests", 3)
    world.link.wiring.write_reason(life[0], "it fell")
    told = describe_link(world.link)
    assert (told["version"], told["session"], told["cookie"], told["paths_up"]) == (2, world.sessions, 7, 3)
    first = told["paths"][0]
    assert (first["state"], first["incarnation"], first["requests"]) == ("up", 1, 3)
    assert first["network"] in {f"{port.address}:{port.port}" for port in PORTS}
    world.agent_dies(life)
    fallen = describe_link(world.link)["paths"][life[0]]
    assert (fallen["state"], fallen["reason"], fallen["pid"]) == ("fencing", "it fell", None)
    assert describe_link(world.link)["totals"]["requests"] == 3
    world.close()


def test_places_that_are_not_needed_are_not_shown_and_missing_paths_are() -> None:
    world = LinkWorld(2)
    assert len(describe_link(world.link)["paths"]) == PATHS
    world.settle()
    assert len(describe_link(world.link)["paths"]) == PATHS
    world.link.paths.wanted = PATHS - 1
    world.pass_time(1.0)
    world.link.tend_paths()
    assert [path["state"] for path in describe_link(world.link)["paths"]] == ["up", "up", "closing"]
    world.close()
