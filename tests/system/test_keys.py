"""Proves that a key is changed under running I/O with no path lost, that the old one opens nothing afterwards, and that
no key is found in anything a running machine shows.
"""

import base64
import re
import resource
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from nsu.conf.secrets import read_secret
from protocol.v2.login import fingerprint
from tests.harness import Disk, Machine, Server, World, conf_text, spawn_world
from tests.harness.load import Load
from tests.harness.world import NETWORKS

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PATHS = 2


@dataclass
class Sides:
    """An NSU, and a host with a key file of its own."""

    world: World
    host: Machine
    server_key: Path
    host_key: Path

    def key(self, machine: Machine, *arguments: str, said: str = "") -> str:
        """Run `nsu key` on a machine; give what it prints, or what is wrong, joined to one line."""
        return " ".join(nsu(machine, "key", *arguments, said=said).split())

    def hand_over(self) -> None:
        """Show a key on the one machine and install it on the other, by a pipe."""
        self.key(self.host, "install", "box1", said=self.key(self.world.machine, "show", "host1"))

    def wait_for_login(self, key: str) -> None:
        """Wait until the host has logged in with the key of that fingerprint."""
        self.world.machine.wait_for(
            lambda status: status["server"] and [each["key"] for each in status["server"]["sessions"]] == [key]
        )
        self.host.wait_paths(PATHS)

    def session(self) -> dict[str, Any]:
        (session,) = self.world.machine.status()["server"]["sessions"]
        assert isinstance(session, dict)
        return session


@pytest.fixture(scope="module")
def sides() -> Iterator[Sides]:
    with spawn_world(units={"unit_1": 8192}, paths=PATHS, host_role=False, web=True) as world, Machine() as host:
        server_key = world.machine.folder / "host1.key"
        host_key = Path(shutil.copy(server_key, host.folder / "box1.key"))
        host_key.chmod(0o600)
        disk = Disk("unit_1", host.folder / "unit_1.sock")
        entry = Server("box1", NETWORKS, world.nsu.config_port, [disk], "host1", host_key, PATHS)
        host.start(conf_text("host1", host.state, entry))
        host.wait_paths(PATHS)
        yield Sides(world, host, server_key, host_key)


def test_a_rotation_under_load_loses_no_path_and_retires_the_old_key(sides: Sides) -> None:
    machine, host = sides.world.machine, sides.host
    old = read_secret(sides.server_key)
    srws, agents = machine.pids("nsu: srw"), host.pids("nsu: agent")
    with Load(host.folder / "unit_1.sock", clients=4) as load:
        began = sides.session()
        assert "holds beside the old one" in sides.key(machine, "rotate", "host1")
        machine.wait_for(lambda status: status["server"]["hosts"][0]["keys"]["next"])
        sides.hand_over()
        load.wait_until_all_flows()
        new = read_secret(sides.host_key)
        assert new != old
        assert (sides.session()["epoch"], sides.session()["key"]) == (began["epoch"], fingerprint(old))
        assert "has a session that was proven by the old key" in sides.key(machine, "rotate", "host1", "--finish")
        assert (machine.pids("nsu: srw"), host.pids("nsu: agent")) == (srws, agents), "no path was lost"

        machine.kill_process("nsu: server")  # the host logs in again, whatever the reason
        sides.wait_for_login(fingerprint(new))
        load.wait_until_all_flows()
        srws, agents = machine.pids("nsu: srw"), host.pids("nsu: agent")
        assert fingerprint(new) in sides.key(machine, "rotate", "host1", "--finish")
        machine.wait_for(lambda status: status["server"]["hosts"][0]["keys"]["current"] == fingerprint(new))
        load.wait_until_all_flows()
        assert (machine.pids("nsu: srw"), host.pids("nsu: agent")) == (srws, agents), "no path was lost"
        assert sides.session()["key"] == host.status()["host"]["servers"][0]["key"] == fingerprint(new)

    sides.key(host, "install", "box1", said=old.hex())
    machine.kill_process("nsu: server")
    host.wait_for(lambda status: "refused the login" in status["host"]["servers"][0]["trouble"])
    sides.key(host, "install", "box1", said=new.hex())
    host.wait_paths(PATHS, 30)


def test_the_old_key_retired_by_force_brings_the_host_back_with_the_new_one(sides: Sides) -> None:
    machine = sides.world.machine
    with Load(sides.host.folder / "unit_1.sock", clients=2) as load:
        sides.key(machine, "rotate", "host1")
        sides.hand_over()
        sides.key(machine, "rotate", "host1", "--finish", "--force")
        sides.wait_for_login(fingerprint(read_secret(sides.host_key)))
        load.wait_until_all_flows()


def test_no_key_is_found_in_what_a_running_machine_shows(sides: Sides) -> None:
    """Logs, status, pages' metrics, history, command lines, environments; and no process can be dumped."""
    machine, host = sides.world.machine, sides.host
    sides.key(machine, "rotate", "host1")
    machine.wait_for(lambda status: status["server"]["hosts"][0]["keys"]["next"])
    secrets = [read_secret(path) for path in (sides.server_key, sides.server_key.with_name("host1.key.next"))]
    shown = [sides.key(machine, "list"), sides.key(machine, "list", "--json"), sides.key(machine, "rotate", "host1")]
    for side in (machine, host):
        shown += [side.log(), side.conf.read_text(), nsu(side, "status"), nsu(side, "status", "--json")]
        shown += [nsu(side, "check"), nsu(side, "history")]
        shown += [path.read_text(errors="replace") for path in side.state.rglob("*") if path.is_file()]
        for pid in side.processes():
            shown += [Path(f"/proc/{pid}/{what}").read_bytes().decode("latin-1") for what in ("cmdline", "environ")]
            assert psutil.Process(pid).rlimit(resource.RLIMIT_CORE) == (0, 0)
            assert Path(f"/proc/{pid}/environ").stat().st_uid == 0, "not dumpable: root's"
    token = nsu(machine, "token", "create", "test").strip()
    metrics = f"http://127.0.0.1:{sides.world.web_port}/metrics"
    request = urllib.request.Request(metrics, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=30) as reply:
        shown.append(reply.read().decode())
    assert "nsu_" in shown[-1]
    text = "\n".join(shown)
    assert fingerprint(secrets[0]) in text, "it is looked at the right place"
    for secret in secrets:
        forms = [secret.hex(), base64.b64encode(secret).decode()[:40], base64.urlsafe_b64encode(secret).decode()[:40]]
        forms += [repr(secret)[2:-1], secret.decode("latin-1"), secret.hex("-"), str(int.from_bytes(secret, "big"))]
        for form in forms:
            assert not re.search(re.escape(form), text, re.IGNORECASE), f"{form[:8]}… is shown"


def test_a_key_that_others_may_read_is_refused_at_the_start_and_at_a_change(sides: Sides) -> None:
    machine = sides.world.machine
    sides.server_key.chmod(0o640)
    machine.conf.touch()
    machine.wait_for(lambda status: any("chmod 600" in words for words in status["server"]["conf"]["errors"]))
    assert sides.session()["key"], "what runs goes on"
    assert f"chmod 600 {sides.server_key}" in " ".join(nsu(machine, "check").split())
    machine.stop()
    machine.start()
    assert machine.supervisor is not None
    assert machine.supervisor.wait(30) == 1


def nsu(machine: Machine, *arguments: str, said: str = "") -> str:
    """Run a verb; give all that it prints."""
    command = [sys.executable, "-m", "nsu", *arguments, "-c", str(machine.conf)]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr
