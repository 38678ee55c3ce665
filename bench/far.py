"""An NSU at the far end of links, and hosts at this end: what `distance.py` and `unequal.py` measure.

A host is told by the server where its data ports are. So that it comes to the relay when it goes there, the server
lives in a network namespace with nothing but its own loopback, and the relay listens on the very same addresses out
here. Namespaces are for root.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import USE_BYTES
from bench.relay import Address
from bench.sides import NETWORKS, fill
from hostside.settings import DiskSettings, ServerEntry
from tests.harness import Host, Machine, Nsu, Unit, conf_text, free_ports, write_secret
from tests.harness.netns import Namespace

BLOCKS = USE_BYTES // 512


@dataclass(frozen=True)
class FarHost:
    """What a host of the NSU is: which version it speaks, and over which of NETWORKS."""

    version: int = 2
    networks: tuple[str, ...] = NETWORKS[:1]


@dataclass
class FarServer:
    """The NSU, with one disk for each host; all disks are of one file."""

    machine: Machine
    namespace: Namespace
    hosts: Mapping[str, FarHost]
    config_port: int
    data_ports: Mapping[str, int]
    """Of each host."""
    drive: Path

    def doors(self, network: str) -> dict[Address, Address]:
        """Give what a relay in the place of `network` has to carry."""
        theirs = [port for host, port in self.data_ports.items() if network in self.hosts[host].networks]
        return {(network, port): (network, port) for port in (self.config_port, *theirs)}

    def entry(self, host: str, paths: int) -> ServerEntry:
        """Give what `host` has to know, to open so many paths."""
        secret_file = self.machine.folder / f"{host}.key"
        is_new = self.hosts[host].version == 2
        secret = bytes.fromhex(secret_file.read_text()) if is_new else None
        disk = DiskSettings(host, 0, "socket", self.machine.folder / f"{host}.sock")
        networks = self.hosts[host].networks
        return ServerEntry("box1", networks, self.config_port, host, secret, paths, None, (disk,))


@contextmanager
def far_server(folder: Path, hosts: Mapping[str, FarHost], *, paths_max: int = 8) -> Iterator[FarServer]:
    """Run it, with a disk of USE_BYTES for each of `hosts`; every byte of the file is written once before."""
    folder.mkdir(exist_ok=True)
    namespace = Namespace()
    drive = folder / "drive.img"
    config_port, *ports = free_ports(1 + len(hosts), NETWORKS)
    data_ports = dict(zip(hosts, ports, strict=True))
    blocks = [
        _block(name, host, data_ports[name], number * BLOCKS, paths_max, folder)
        for number, (name, host) in enumerate(hosts.items())
    ]
    size = f"{(len(hosts) * USE_BYTES >> 20) + 2}MiB"
    nsu = Nsu("box1", config_port, {"unit0": ("jbod", [(drive, size)])}, blocks, NETWORKS)
    try:
        with Machine(folder, namespace) as machine:
            machine.start(conf_text("box1", machine.state, nsu))
            machine.wait_for(lambda status: status["server"])
            fill(drive)
            yield FarServer(machine, namespace, hosts, config_port, data_ports, drive)
    finally:
        namespace.close()


def _block(name: str, host: FarHost, port: int, first: int, paths_max: int, folder: Path) -> Host:
    units = [Unit(name, "unit0", first, first + BLOCKS - 1)]
    places = [(network, port, paths_max) for network in host.networks]
    is_new = host.version == 2
    # The relay is who connects: 0x01 knows a host by the address that it comes from.
    addresses: Sequence[str] = () if is_new else NETWORKS
    return Host(name, units, places, addresses, write_secret(folder / f"{name}.key") if is_new else None)
