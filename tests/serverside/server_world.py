"""A whole server in the test's own process, whose loop is turned by whoever waits; and the hosts that it serves."""

import gc
import signal
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import psutil

from ipc.child import HEART_NAMES, Life
from ipc.counters import CounterTable
from protocol.data import host_data
from protocol.events import DataPorts
from protocol.ops import Op
from serverside.server import Server
from serverside.settings import HostSettings, ServerSettings
from tests.harness import free_ports
from tests.serverside.rig import (
    SECRET,
    DataPeer,
    TalkingHost,
    connected,
    host,
    readable,
    received,
    settings,
    turn,
    unit,
)

THERE = "127.0.0.3"
PLACES = 2


class World:
    """A server; `v2` host1 here, `v1` host2 there, each with a port of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.config, self.port1, self.port2, self.spare_port = free_ports(4)
        self.v2 = host("host1", units=[unit("a", 256), unit("z", 512, 512, zero=True)], ports=[(self.port1, PLACES)])
        self.v1 = host("host2", units=[unit("b", 256, 256)], ports=[(self.port2, PLACES)], secret=None, address=THERE)
        self.coming: list[ServerSettings] = []
        life = Life(-1, CounterTable(1, HEART_NAMES).row(0).cells)
        self.server = Server(life, self.settings(self.v2, self.v1), lambda: self.coming.pop(0) if self.coming else None)
        self.loop = self.server.loop
        self.loop.on_signal(signal.SIGCHLD, self.server.reap)
        self.server.storage.start_drivers()
        self.server.look()

    def settings(self, *hosts: HostSettings) -> ServerSettings:
        return settings(self.folder, *hosts, config_port=self.config)

    def host2(self) -> TalkingHost:
        talking = TalkingHost(self.loop, self.config, secret=None, source=THERE)
        self.stack.callback(talking.close)
        return talking

    def host1(self, *, secret: bytes = SECRET, login: str = "host1") -> TalkingHost:
        talking = TalkingHost(self.loop, self.config, secret=secret, login=login)
        self.stack.callback(talking.close)
        return talking

    def logged_in(self, talking: TalkingHost) -> TalkingHost:
        talking.log_in()
        talking.dialogue.ask_dataports()
        talking.next(DataPorts)
        return talking

    def open_path(self, talking: TalkingHost, path: int = 0) -> DataPeer:
        peer = talking.open_path(self.port1, path)
        (host1,) = [known for known in self.server.settings.hosts if known.name == "host1"]
        peer.generations = [record.generation for record in self.server.storage.unit_records(host1)]
        self.stack.callback(peer.close)
        return peer

    def open_v1_path(self, talking: TalkingHost) -> DataPeer:
        message, _ = talking.first_message()
        sock = self.stack.enter_context(connected(self.port2, THERE))
        sock.sendall(message)
        turn(self.loop, partial(readable, sock))
        assert int.from_bytes(received(sock, 512)[40:44], "big") == 0
        return DataPeer(sock, host_data(1, session=0, epoch=0, path=0, marker=0))

    def change(self, *hosts: HostSettings) -> None:
        """Change nsu.conf, and have the server see it."""
        self.coming.append(self.settings(*hosts))
        self.server.reconsider()

    def a_while(self, seconds: float = 0.1) -> None:
        self.loop.call_later(seconds, self.loop.stop)
        self.loop.run()

    @property
    def driver(self) -> psutil.Process:
        child = self.server.storage.places["unit0"].child
        assert child is not None
        return psutil.Process(child.pid)

    def post_a_write(self, peer: DataPeer) -> None:
        """Stop the driver, and have the path's SRW wait for it with a first write to the ZERO unit."""
        self.driver.suspend()
        peer.sock.sendall(peer.request(Op.WRITE, 0, 0, b"z" * 512, unit=1))
        turn(self.loop, lambda: self.server.storage.places["unit0"].channel.commands.wait(0))

    def srws(self) -> int:
        return len(self.server.srws.seated)

    def close(self) -> None:
        for line in list(self.server.lines):
            line.close()
        self.server.config_port.close()
        self.server.close()
        for place in self.server.storage.places.values():
            place.channel.close()
        self.loop.close()
        gc.collect()  # what hangs together in circles has descriptors, which others count
