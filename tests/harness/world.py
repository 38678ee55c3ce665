"""Whole worlds of the usual shapes: a server alone, or both sides on one machine."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.conf import Disk, Host, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.harness.machine import Machine
from tests.harness.tls import authority, tls_files, tls_lines

NETWORKS = ("127.0.0.1", "127.0.0.2")


@dataclass
class ServerUnderTest:
    """A running NSU without a host role, for hosts that are not ours."""

    machine: Machine
    config_port: int
    data_ports: list[tuple[str, int]]
    nsu: Nsu

    def pids(self) -> list[int]:
        """Give every process of it."""
        return list(self.machine.processes())

    @property
    def server_pid(self) -> int:
        return self.machine.pids("nsu: server")[0]

    def rewrite(self) -> None:
        """Write nsu.conf again from `nsu`, as an administrator would; the server sees it by itself."""
        fresh = self.machine.conf.with_suffix(".new")
        fresh.write_text(conf_text("box1", self.machine.state, self.nsu))
        fresh.replace(self.machine.conf)


@contextmanager
def spawn_server(
    *,
    v1_hosts: Sequence[str] = ("127.0.0.1",),
    connections_max: int = 4,
    privileged_port: bool = False,
    units: Mapping[str, int] | None = None,
    read_only: Sequence[str] = (),
    shared_port: bool = False,
) -> Iterator[ServerUnderTest]:
    """Run an NSU with one version 0x01 HOST for each address, each with the same `units` (name -> blocks) of its own.

    `shared_port`: all hosts have the same data port; otherwise one each.
    """
    units = units or {"unit_1": 2048, "unit_2": 1001}
    machine = Machine()
    ports = free_ports(1 + len(v1_hosts))
    hosts, first = [], 0
    for index, address in enumerate(v1_hosts):
        theirs = []
        for name, blocks in units.items():
            access = "read-only" if name in read_only else "read-write"
            theirs.append(Unit(name, "unit0", first, first + blocks - 1, access))
            first += blocks
        port = ports[1] if shared_port else ports[1 + index]
        hosts.append(Host(f"host{index + 1}", theirs, [("127.0.0.1", port, connections_max)], [address]))
    drives = [(machine.folder / "drive0.img", f"{(first * 512 + (1 << 20) - 1) >> 20}MiB")]
    nsu = Nsu("box1", ports[0], {"unit0": ("jbod", drives)}, hosts, privileged_port=privileged_port)
    with machine:
        machine.start(conf_text("box1", machine.state, nsu))
        machine.wait_for(lambda status: status["server"])
        data_ports = [(address, port) for host in hosts for address, port, _ in host.data_ports]
        yield ServerUnderTest(machine, ports[0], data_ports, nsu)


@dataclass
class World:
    """Both sides on one machine; disks by name, each with its NBD socket."""

    machine: Machine
    nsu: Nsu
    server: Server
    paths: int
    web_port: int | None = None
    user: str | None = None

    def at(self, disk: str) -> Path:
        """Give where the disk is shown: its socket, its file, the link to its device."""
        shown = {known.name: known.at for known in self.server.disks}
        return shown.get(disk, self.machine.folder / f"{disk}.sock")

    def uri(self, disk: str) -> str:
        return f"nbd+unix:///{disk}?socket={self.at(disk)}"

    def rewrite(self) -> None:
        """Write nsu.conf again, as an administrator would."""
        fresh = self.machine.conf.with_suffix(".new")
        roles = (self.nsu, self.server)
        fresh.write_text(conf_text("box1", self.machine.state, *roles, web_port=self.web_port, user=self.user))
        fresh.replace(self.machine.conf)


def place_of(machine: Machine, disk: str, show: str) -> Path:
    """Give a place that fits the way in which a disk is shown."""
    return machine.folder / {"socket": f"{disk}.sock", "fuse": f"{disk}/{disk}", "loop": f"dev-{disk}"}[show]


@contextmanager
def spawn_world(
    *,
    units: Mapping[str, int],
    paths: int = 4,
    version: int = 2,
    read_only: Sequence[str] = (),
    zero: Sequence[str] = (),
    level: str = "jbod",
    drives: int = 1,
    lines: Sequence[str] = (),
    folder: Path | None = None,
    host_role: bool = True,
    prepare: Callable[[Machine], None] | None = None,
    show: str = "socket",
    networks: tuple[str, str] = NETWORKS,
    web: bool = False,
    user: str | None = None,
    tls: bool = False,
) -> Iterator[World]:
    """Run both sides with one host that has `units` (name -> blocks), over two networks, all paths up.

    Without `host_role` the server waits for a host that the caller brings. `prepare` is called before the start. `web`:
    with the pages, at `web_port`. `user`: USER, whom processes that move data become; NSU_TEST_USER has any world have
    one, so that every system test can be run confined. `tls`: both sides insist on it, with certificates of an
    authority in folder/tls.
    """
    user = user or os.environ.get("NSU_TEST_USER")
    machine = Machine(folder)
    config_port, port_a, port_b, web_port = free_ports(4, networks)
    web_at = web_port if web else None
    theirs, first = [], 0
    for name, blocks in units.items():
        access = "read-only" if name in read_only else "read-write"
        theirs.append(Unit(name, "unit0", first, first + blocks - 1, access, zero=name in zero))
        first += blocks
    with_data = {"raid5": drives - 1, "raid10": drives // 2}.get(level, drives)
    each = first * 512 // with_data + (1 << 20)
    files = [(machine.folder / f"drive{i}.img", f"{(each >> 20) + 1}MiB") for i in range(drives)]
    if prepare is not None:
        prepare(machine)
    secret = write_secret(machine.folder / "host1.key") if version == 2 else None
    addresses = networks if version == 1 else ()
    ports = [(networks[0], port_a, paths), (networks[1], port_b, paths)]
    host = Host("host1", theirs, ports, addresses, secret)
    nsu = Nsu("box1", config_port, {"unit0": (level, files)}, [host], listen=networks)
    disks = [Disk(name, place_of(machine, name, show), show=show) for name in units]
    server = Server("box1", networks, config_port, disks, "host1", secret, paths, list(lines))
    if tls:
        ca = authority(machine.folder / "tls")
        nsu.lines += tls_lines(tls_files(ca, "box1"))
        host.lines += ["TLS = required"]
        server.lines += ["TLS = required", *tls_lines(tls_files(ca, "host1"))]
    with machine:
        roles = (nsu, server) if host_role else (nsu,)
        machine.start(conf_text("box1", machine.state, *roles, web_port=web_at, user=user))
        if host_role:
            machine.wait_paths(paths)
        else:
            machine.wait_for(lambda status: status["server"])
        yield World(machine, nsu, server, paths, web_at, user)
