"""Both sides on machines of their own, with networks between them that can be cut: for root, see `netns.py`."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipc.endpoints import endpoint
from tests.harness.conf import Disk, Host, Nsu, Server, Unit, conf_text, write_secret
from tests.harness.machine import Machine
from tests.harness.netns import HOST, SERVER, Networks
from tests.harness.world import place_of

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
    addresses: list[str]
    """The server's, one on each network."""

    def paths_on(self, number: int, status: Mapping[str, Any] | None = None) -> int:
        """Give how many paths are up over a network."""
        (server,) = (status or self.host.status())["host"]["servers"]
        at = endpoint(self.addresses[number], DATA_PORT)
        return sum(path["state"] == "up" and path["network"] == at for path in server["paths"])

    def wait_paths_on(self, *counts: int, timeout_s: float = 30.0) -> float:
        """Wait until so many are up over each network; give how long that took."""
        numbers = range(len(counts))
        return self.host.wait_for(lambda status: [self.paths_on(n, status) for n in numbers] == [*counts], timeout_s)

    def rewrite_server(self) -> None:
        """Write the server's nsu.conf again, as an administrator would."""
        fresh = self.server.conf.with_suffix(".new")
        fresh.write_text(conf_text("box1", self.server.state, self.nsu))
        fresh.replace(self.server.conf)

    def at(self, disk: str) -> Path:
        (found,) = [known for known in self.server_block.disks if known.name == disk]
        return found.at

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
    families: Sequence[int] = (),
    show: str = "socket",
) -> Iterator[Apart]:
    """Run a server and a host with `units` (name -> blocks), `paths` paths up over `networks` networks.

    `places`: the most paths that each network takes; by default one could take all. `drive` is used instead of the
    server's own file; it has room for all units. `window_bytes` is for `Networks`.
    `families`: the version of IP that is spoken on each network; by default 4.
    """
    families = families or (4,) * networks
    with (
        Networks(networks, window_bytes) as wires,
        Machine(namespace=wires.server) as server,
        Machine(namespace=wires.host) as host,
    ):
        theirs, first = [], 0
        for name, blocks in units.items():
            theirs.append(Unit(name, "unit0", first, first + blocks - 1))
            first += blocks
        listen = [wire.address(SERVER, family) for wire, family in zip(wires, families, strict=True)]
        secret = write_secret(host.folder / "host1.key") if version == 2 else None
        ours = () if secret else [wire.address(HOST, family) for wire, family in zip(wires, families, strict=True)]
        ports = [(address, DATA_PORT, places or paths) for address in listen]
        drives = [(drive or server.folder / "drive0.img", "" if drive else f"{(first * 512 >> 20) + 2}MiB")]
        nsu = Nsu(
            "box1", CONFIG_PORT, {"unit0": ("jbod", drives)}, [Host("host1", theirs, ports, ours, secret)], listen
        )
        disks = [Disk(name, place_of(host, name, show), show=show) for name in units]
        block = Server("box1", listen, CONFIG_PORT, disks, "host1", secret, paths, list(lines))
        server.start(conf_text("box1", server.state, nsu))
        server.wait_for(lambda status: status["server"])
        host.start(conf_text("machine1", host.state, block))
        host.wait_paths(paths)
        yield Apart(wires, server, host, nsu, block, paths, listen)
