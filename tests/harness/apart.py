"""Both sides on machines of their own, with networks between them that can be cut: for root, see `netns.py`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.harness.conf import Disk, Host, Nsu, Server, Unit, conf_text, write_secret
from tests.harness.machine import Machine
from tests.harness.netns import Networks

CONFIG_PORT, DATA_PORT = 10_001, 10_002
"""A namespace of one's own has all ports free."""


@dataclass
class Apart:
    """A server and a host, each in its own network namespace."""

    networks: Networks
    server: Machine
    host: Machine
    nsu: Nsu
    server_block: Server
    paths: int

    def uri(self, disk: str) -> str:
        return f"nbd+unix:///{disk}?socket={self.host.folder / (disk + '.sock')}"


@contextmanager
def spawn_apart(
    *,
    units: Mapping[str, int],
    networks: int = 2,
    paths: int = 4,
    places: int | None = None,
    version: int = 2,
    lines: Sequence[str] = (),
    drive: Path | None = None,
    window_bytes: int | None = None,
) -> Iterator[Apart]:
    """Run a server and a host with `units` (name -> blocks), `paths` paths up over `networks` networks.

    `places`: the most paths that each network takes; by default one could take all. `drive` is used instead of the
    server's own file; it has room for all units. `window_bytes` is for `Networks`.
    """
    with (
        Networks(networks, window_bytes) as wires,
        Machine(namespace=wires.server) as server,
        Machine(namespace=wires.host) as host,
    ):
        theirs, first = [], 0
        for name, blocks in units.items():
            theirs.append(Unit(name, "unit0", first, first + blocks - 1))
            first += blocks
        listen = [network.server_address for network in wires]
        secret = write_secret(host.folder / "host1.key") if version == 2 else None
        ours = () if secret else [network.host_address for network in wires]
        ports = [(address, DATA_PORT, places or paths) for address in listen]
        drives = [(drive or server.folder / "drive0.img", "" if drive else f"{(first * 512 >> 20) + 2}MiB")]
        nsu = Nsu(
            "box1", CONFIG_PORT, {"unit0": ("jbod", drives)}, [Host("host1", theirs, ports, ours, secret)], listen
        )
        disks = [Disk(name, host.folder / f"{name}.sock") for name in units]
        block = Server("box1", listen, CONFIG_PORT, disks, "host1", secret, paths, list(lines))
        server.start(conf_text("box1", server.state, nsu))
        server.wait_for(lambda status: status["server"])
        host.start(conf_text("machine1", host.state, block))
        host.wait_paths(paths)
        yield Apart(wires, server, host, nsu, block, paths)
