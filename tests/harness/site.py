"""One NSU and two hosts, each a machine of its own: `strong` speaks 0x02, `plain` 0x01; partitions change by verbs.

with spawn_site() as site:
    site.nsu("partition", "resize", "strong/data", "+4MiB")
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.harness.conf import Disk, Host, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.harness.machine import Machine

MIB_BLOCKS = 2048
DATA_BLOCKS = 8 * MIB_BLOCKS
ADDRESSES = ("127.0.0.1", "127.0.0.2")
HOSTS = {"strong": 2, "plain": 1}
"""Host -> the version it speaks."""


class Site:
    """Each host has one partition `data` of 8 MiB, with as much free space behind it."""

    def __init__(self, stack: ExitStack, show: str) -> None:
        self.box = stack.enter_context(Machine())
        self.hosts = {name: stack.enter_context(Machine()) for name in HOSTS}
        self.show = show
        self.ports = free_ports(3)
        self.secret = write_secret(self.box.folder / "strong.key")
        self.box.start(conf_text("box1", self.box.state, self.server_role()))
        self.box.wait_for(lambda status: status["server"])
        for name, machine in self.hosts.items():
            machine.start(self.host_conf(name, ["data"]))
        for machine in self.hosts.values():
            machine.wait_paths(2)

    def server_role(self) -> Nsu:
        hosts = []
        for place, (name, version) in enumerate(HOSTS.items()):
            first = place * 2 * DATA_BLOCKS
            unit = Unit("data", "unit0", first, first + DATA_BLOCKS - 1)
            port = [("127.0.0.1", self.ports[1 + place], 4)]
            is_strong = version == 2
            hosts.append(Host(name, [unit], port, () if is_strong else ADDRESSES, self.secret if is_strong else None))
        drives = [(self.box.folder / "drive0.img", "64MiB")]
        return Nsu("box1", self.ports[0], {"unit0": ("jbod", drives)}, hosts, listen=ADDRESSES[:1])

    def host_conf(self, name: str, disks: list[str]) -> str:
        machine = self.hosts[name]
        shown = [Disk(disk, self.at(name, disk), number, self.show) for number, disk in enumerate(disks)]
        secret = self.secret if HOSTS[name] == 2 else None
        return conf_text(name, machine.state, Server("box1", ADDRESSES[:1], self.ports[0], shown, name, secret, 2))

    def at(self, host: str, disk: str) -> Path:
        """Where a disk is shown."""
        return self.hosts[host].folder / (f"{disk}.sock" if self.show == "socket" else disk)

    def uri(self, host: str, disk: str) -> str:
        return f"nbd+unix:///{disk}?socket={self.at(host, disk)}"

    def nsu(self, *arguments: str, on: Machine | None = None) -> "subprocess.CompletedProcess[str]":
        """Give a verb of the command line, on the NSU's machine or another; never fails by itself."""
        command = [sys.executable, "-m", "nsu", *arguments, "-c", str((on or self.box).conf)]
        environment = os.environ | {"COLUMNS": "80"}
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)

    def done(self, *arguments: str) -> dict[str, Any]:
        """Give a verb that has to succeed; its JSON answer."""
        result = self.nsu(*arguments, "--json")
        assert result.returncode == 0, f"{arguments}: {result.stdout}{result.stderr}"
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    def server(self) -> dict[str, Any]:
        status: dict[str, Any] = self.box.status()["server"]
        return status

    def session_of(self, host: str) -> tuple[int, frozenset[int]]:
        """(number, pids of its SRWs)"""
        (session,) = [each for each in self.server()["sessions"] if each["host"] == host]
        return session["session"], frozenset(srw["pid"] for srw in session["srws"])


@contextmanager
def spawn_site(show: str = "socket") -> Iterator[Site]:
    """Run all three; in the end the hosts stop first, in order, so that what they show is taken away."""
    with ExitStack() as stack:
        site = Site(stack, show)
        try:
            yield site
        finally:
            for machine in site.hosts.values():
                if machine.supervisor is not None and machine.supervisor.poll() is None:
                    machine.stop()
