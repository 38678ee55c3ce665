"""Our two sides as they are measured: one NSU with a file for a drive, and hosts of the usual kind or `Door`s.

All hosts have partitions of one and the same file, the one that the peers serve too.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import USE_BYTES
from bench.processes import family
from hostside.settings import DiskSettings, ServerEntry
from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret

NETWORKS = ("127.0.0.1", "127.0.0.2")


@dataclass
class ServerSide:
    """The NSU, and what a host needs to know."""

    machine: Machine
    config_port: int
    secrets: Mapping[str, Path]
    """Of each host."""
    units: Mapping[str, int]
    """How many disks each host has; they are called HOST-0, HOST-1 …"""

    @property
    def drive(self) -> Path:
        return self.machine.folder / "drive.img"

    def pids(self) -> list[int]:
        """Give every process of it."""
        assert self.machine.supervisor is not None
        return family(self.machine.supervisor.pid)

    def entry(self, host: str, paths: int, *, payload_crc: bool = False) -> ServerEntry:
        """Give what `host` is to know of this server, for a `Door`."""
        disks = tuple(
            DiskSettings(f"{host}-{number}", number, "socket", self.machine.folder / f"{host}-{number}.sock")
            for number in range(self.units[host])
        )
        secret = bytes.fromhex(self.secrets[host].read_text())
        return ServerEntry("box1", NETWORKS, self.config_port, host, secret, paths, None, disks, payload_crc)


@contextmanager
def server_side(
    folder: Path, hosts: Mapping[str, int], *, paths_max: int = 8, disk_bytes: int = USE_BYTES
) -> Iterator[ServerSide]:
    """Run an NSU whose hosts have so many disks of `disk_bytes` each; its drive is filled: reading holes is no reading.

    `paths_max`: how many paths a host may have over each of the two networks.
    """
    machine = Machine(folder)
    config_port, *ports = free_ports(3, NETWORKS)
    secrets = {host: write_secret(folder / f"{host}.key") for host in hosts}
    data_ports = [(address, port, paths_max) for address, port in zip(NETWORKS, ports, strict=True)]
    conf_hosts, first, blocks = [], 0, disk_bytes // 512
    for host, count in hosts.items():
        units = []
        for number in range(count):
            units.append(Unit(f"{host}-{number}", "unit0", first, first + blocks - 1))
            first += blocks
        conf_hosts.append(Host(host, units, data_ports, (), secrets[host]))
    drive = folder / "drive.img"
    size_mib = (first * 512 >> 20) + 2
    nsu = Nsu("box1", config_port, {"unit0": ("jbod", [(drive, f"{size_mib}MiB")])}, conf_hosts, NETWORKS)
    with machine:
        machine.start(conf_text("box1", machine.state, nsu))
        machine.wait_for(lambda status: status["server"])
        fill(drive)
        yield ServerSide(machine, config_port, secrets, hosts)


def fill(drive: Path) -> None:
    """Write every whole mebibyte once; the same bytes each time, which no file system here makes use of."""
    mebibyte = bytes(range(256)) * 4096
    with open(drive, "r+b") as file:
        for _ in range(drive.stat().st_size >> 20):
            file.write(mebibyte)


@dataclass
class HostSide:
    """A machine with the host role: its disks are NBD sockets."""

    machine: Machine
    block: Server

    def uri(self, number: int = 0) -> str:
        disk = self.block.disks[number]
        return f"nbd+unix:///{disk.name}?socket={disk.at}"

    def pids(self) -> list[int]:
        """Give every process of it."""
        assert self.machine.supervisor is not None
        return family(self.machine.supervisor.pid)


@contextmanager
def host_side(server: ServerSide, host: str, paths: int, *, payload_crc: bool = False) -> Iterator[HostSide]:
    """Run the host role as `host`, with so many paths, all up."""
    machine = Machine()
    disks = [Disk(f"{host}-{n}", machine.folder / f"{host}-{n}.sock") for n in range(server.units[host])]
    lines = ["PAYLOAD_CRC = yes"] if payload_crc else []
    block = Server("box1", NETWORKS, server.config_port, disks, host, server.secrets[host], paths, lines)
    with machine:
        machine.start(conf_text("machine1", machine.state, block))
        machine.wait_paths(paths)
        yield HostSide(machine, block)
