"""Proves that what the server tells of itself is plain, whole, and says in words who is not protected."""

import json
from contextlib import ExitStack
from pathlib import Path

from protocol.ops import Op
from serverside.status import describe_server
from tests.serverside.server_world import World


def test_all_of_it_is_told(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        one, two = world.logged_in(world.host1()), world.logged_in(world.host2())
        world.open_path(one, 4).ask(Op.WRITE, 0, 0, bytes(1024))
        told = json.loads(json.dumps(describe_server(world.server)))
        assert (told["role"], told["name"], told["config_port"]) == ("server", "box1", world.config)
        assert told["cookie"] == world.server.storage.cookie
        ports = [(port["port"], port["listening"]) for port in told["data_ports"]]
        assert sorted(ports) == sorted([(world.port1, True), (world.port2, True)])
        first, second = told["sessions"]
        assert (first["host"], first["version"], first["epoch"] >> 32) == ("host1", 2, 1)
        assert (second["host"], second["version"], second["peer"], second["srws"]) == ("host2", 1, "127.0.0.3", [])
        (srw,) = first["srws"]
        assert (srw["path"], srw["port"], srw["writes"], srw["written_bytes"]) == (
            4,
            f"127.0.0.1:{world.port1}",
            1,
            1024,
        )
        assert srw["pid"] in [seated.child.pid for seated in world.server.srws.seated.values()]
        assert {timer["name"]: timer["value_s"] for timer in told["timers"]}["handshake"] == 5.0
        assert [word for word in told["warnings"] if "host2" in word and "not protected" in word]
        assert not [word for word in told["warnings"] if "host1" in word]
        assert [host["version"] for host in told["hosts"]] == [2, 1]
        two.close()


def test_a_warning_of_a_change_is_told_until_the_next(tmp_path: Path) -> None:
    with ExitStack() as stack:
        world = World(tmp_path, stack)
        stack.callback(world.close)
        world.server.warn("something is odd")
        assert "something is odd" in describe_server(world.server)["warnings"]
