"""Proves, in network namespaces, that an NSU without any address is set up by Ethernet frames, once, by claim key."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.control import ControlError, control_call
from nsu.history import History
from nsu.web.passwords import Users
from serverside.claim import KEY_NAME, RECORD_NAME
from tests.harness.machine import Machine
from tests.harness.netns import Networks, needs_networks

pytestmark = [pytest.mark.system, needs_networks]

ADDRESS = "10.0.0.5"
CONF = """\
MACHINE box1
  STATE = {state}
  SETUP = n0

NSU box1   # as it came
"""


@pytest.fixture
def networks() -> Iterator[Networks]:
    with Networks(1) as found:
        found.server.ip("addr flush dev n0", "link set n0 down")
        found.host.ip("addr add 10.0.0.1/24 dev n0")
        yield found


@pytest.fixture
def machine(networks: Networks) -> Iterator[Machine]:
    with Machine(namespace=networks.server) as found:
        found.start(CONF.format(state=found.state))
        wait_heard(found)
        yield found


def wait_heard(machine: Machine) -> None:
    """Wait until it hears on its interface."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            if control_call(machine.state / "setup.sock", "status")["interfaces"]:
                return
        except (ControlError, OSError):
            pass
        time.sleep(0.02)
    raise AssertionError(machine.log())


def configure(networks: Networks, machine: Machine, *more: str, key: str = "", password: str = "") -> tuple[int, str]:
    """Run `nsu configure` on the host; give its status and all it said."""
    heard = control_call(machine.state / "setup.sock", "status")["interfaces"]
    arguments = [heard["n0"], "--address", f"{ADDRESS}/24", *more]
    command = networks.host.command(sys.executable, "-m", "nsu", "configure", *arguments)
    typed = f"{key or (machine.state / KEY_NAME).read_text()}\n{password}\n".replace("\n\n", "\n")
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def connects(networks: Networks, port: int = 10001) -> bool:
    """Whether the host reaches the NSU's configuration port."""
    code = f"import socket; socket.create_connection(('{ADDRESS}', {port}), 5)"
    return subprocess.run(networks.host.command(sys.executable, "-c", code), check=False).returncode == 0


def counts(machine: Machine) -> dict[str, int]:
    return dict(control_call(machine.state / "setup.sock", "status")["counts"])


def test_an_nsu_without_any_address_is_set_up_once(networks: Networks, machine: Machine) -> None:
    assert (machine.state / KEY_NAME).stat().st_mode & 0o777 == 0o600
    key = (machine.state / KEY_NAME).read_text()
    assert key.strip() not in machine.log()

    status, said = configure(networks, machine, "--name", "disks", "--admin", "ada", password="correct horse")
    assert status == 0, said + machine.log()
    assert f"n0 has {ADDRESS}/24" in said
    assert connects(networks), machine.log()

    text = machine.conf.read_text()
    assert "NSU disks   # as it came" in text
    assert f"LISTEN = {ADDRESS}" in text
    newest = History(machine.state).newest()
    assert newest is not None
    assert newest.text == text
    assert "nsu configure" in newest.who
    assert Users(machine.state).check("ada", "correct horse") is not None
    record = json.loads((machine.state / RECORD_NAME).read_text())
    assert record["addresses"] == [f"{ADDRESS}/24"]
    assert not (machine.state / KEY_NAME).exists()
    for secret in (key.strip(), "correct horse"):
        assert secret not in machine.log() + text + json.dumps(record) + said

    status, said = configure(networks, machine, key=key)
    assert status == 1
    assert "claimed already" in said

    machine.stop()
    networks.server.ip("addr flush dev n0")
    machine.start()
    wait_heard(machine)
    machine.wait_for(lambda status: status["server"])
    assert connects(networks), machine.log()
    status, said = configure(networks, machine, key=key)
    assert "claimed already" in said
    assert counts(machine)["claimed"] >= 1


def test_a_wrong_key_is_refused_and_counted(networks: Networks, machine: Machine) -> None:
    before = machine.conf.read_text()
    status, said = configure(networks, machine, key="ABCD-" * 7 + "ABCD")
    assert status == 1
    assert "refuses this claim key" in said
    assert counts(machine)["wrong_proofs"] == 1
    assert "a wrong claim key, from" in machine.log()
    assert machine.conf.read_text() == before


def test_what_cannot_be_set_is_said_and_nothing_is_claimed(networks: Networks, machine: Machine) -> None:
    before = machine.conf.read_text()
    status, said = configure(networks, machine, "--on", "eth77", "--admin", "ada", password="correct horse")
    assert status == 1
    assert "no interface eth77" in " ".join(said.split())
    status, said = configure(networks, machine, "--admin", "ada", password="short")
    assert "8 to 1024" in " ".join(said.split())
    (machine.state / f"{RECORD_NAME}.new").mkdir()  # the very last step fails
    status, said = configure(networks, machine, "--name", "disks", "--admin", "ada", password="correct horse")
    assert status == 1
    assert RECORD_NAME in said
    (machine.state / f"{RECORD_NAME}.new").rmdir()
    assert ADDRESS not in networks.server.run("ip", "addr", "show", "dev", "n0")
    assert machine.conf.read_text() == before
    assert not Users(machine.state).known()
    assert not (machine.state / RECORD_NAME).exists()
    assert counts(machine)["orders_failed"] == 3
    status, said = configure(networks, machine)
    assert status == 0, said


def test_who_does_not_answer_is_told_of(networks: Networks, machine: Machine, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text((machine.state / KEY_NAME).read_text())
    arguments = ["02:00:00:00:00:77", "--address", f"{ADDRESS}/24", "--claim-key-file", str(key)]
    command = networks.host.command(sys.executable, "-m", "nsu", "configure", *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
