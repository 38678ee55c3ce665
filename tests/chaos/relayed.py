"""Both sides on one machine with the relay between them, though the host connects to the addresses that it is told.

The host's machine lives in a network namespace that has nothing but its own loopback. There the relay listens on the
server's addresses and ports; from there it goes on to the real ones, outside, which are the same.
"""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.relay import Door, Relay
from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.harness.netns import Namespace, enter_namespace
from tests.harness.world import NETWORKS


@dataclass
class Relayed:
    """What stands."""

    server: Machine
    host: Machine
    relay: Relay
    paths: int

    @property
    def at(self) -> Path:
        return self.host.folder / "unit_1.sock"

    def pids(self) -> set[int]:
        """Give the processes that no broken connection may end: all but the two ends of each path."""
        family = {**self.server.processes(), **self.host.processes()}
        return {pid for pid, title in family.items() if not title.startswith(("nsu: srw", "nsu: agent"))}

    def log(self) -> str:
        return self.server.log() + self.host.log()


@contextmanager
def spawn_relayed(
    *,
    blocks: int,
    paths: int = 4,
    seed: int = 1,
    lines: Sequence[str] = (),
) -> Iterator[Relayed]:
    """Run a server, and a host whose only way to it is the relay, with all paths up."""
    with ExitStack() as stack:
        namespace = Namespace()
        stack.callback(namespace.close)
        server = stack.enter_context(Machine())
        host = stack.enter_context(Machine(namespace=namespace))
        config_port, data_port = free_ports(2)
        secret = write_secret(host.folder / "host1.key")
        ports = [(address, data_port, paths) for address in NETWORKS]
        known = Host("host1", [Unit("unit_1", "unit0", 0, blocks - 1)], ports, (), secret)
        drives = [(server.folder / "drive0.img", f"{(blocks * 512 >> 20) + 1}MiB")]
        nsu = Nsu("box1", config_port, {"unit0": ("jbod", drives)}, [known], listen=NETWORKS)
        disk = Disk("unit_1", host.folder / "unit_1.sock")
        block = Server("box1", NETWORKS, config_port, [disk], "host1", secret, paths, list(lines))
        at = {address: listening_in(namespace, address, config_port, data_port) for address in NETWORKS}
        doors = []
        for address, (config, data) in at.items():
            doors += [Door(config, (address, config_port), False)]
            doors += [Door(data, (address, data_port), True)]
        relay = stack.enter_context(Relay(doors, seed=seed))
        server.start(conf_text("box1", server.state, nsu))
        server.wait_for(lambda status: status["server"])
        host.start(conf_text("host1", host.state, block))
        host.wait_paths(paths)
        yield Relayed(server, host, relay, paths)


def listening_in(namespace: Namespace, address: str, *ports: int) -> list[socket.socket]:
    """Listen on `ports` of an address in another namespace. A socket stays in the one in which it was made."""
    made: list[socket.socket] = []

    def listen() -> None:
        enter_namespace(namespace.holder.pid)  # this thread alone, and it ends here
        made.extend(socket.create_server((address, port)) for port in ports)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert len(made) == len(ports), "no listening sockets in the namespace"
    return made
