"""Two machines joined by networks whose cables can be pulled: network namespaces, veth pairs, and a switch between.

    with Networks(2) as networks:
        with Machine(namespace=networks.server) as server, Machine(namespace=networks.host) as host: ...
        networks[0].pull_cable()    # the host's cable is out: its carrier is gone, its addresses stay
        networks[0].mend()
        networks[0].silence()       # the switch is mute: carriers stay, every packet is lost, nobody is told
        networks[0].mend()

```
 namespace host ══ n0 ══╗                 ╔══ n0 ══ namespace server       10.77.0.1 ── 10.77.0.2    fd77:0::1 ── ::2
                        ╠═ switch, bridges ╣
 namespace host ══ n1 ══╝                 ╚══ n1 ══ namespace server       10.77.1.1 ── 10.77.1.2    fd77:1::1 ── ::2
```

Why a switch: were the two ends joined directly, one end of a cut would be a device that its own machine has switched
off, and packets dropped at the sender are not silence (the kernel notices, and its TCP timers run differently).

The namespaces have no names: each lives as long as the process that holds it, which ends with the test, however that
ends, and takes the devices with it. For root only: `needs_networks` skips otherwise.
"""

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from functools import cache
from types import TracebackType
from typing import Self, TypeVar

import pytest

HOST, SERVER = "host", "server"
T = TypeVar("T")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def enter_namespace(pid: int) -> None:
    """Take this thread into the network namespace of a process; sockets stay in the one in which they were made."""
    with open(f"/proc/{pid}/ns/net") as namespace:
        if _libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns: for root only")


def inside(namespace: "Namespace", make: Callable[[], T]) -> T:
    """Call `make` in the namespace, in a thread of its own: a socket stays where it was made."""
    made: list[T] = []
    errors: list[OSError] = []

    def call() -> None:
        try:
            enter_namespace(namespace.holder.pid)
            made.append(make())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


class Namespace:
    """One network namespace, with its loopback up, held by a process of its own."""

    def __init__(self) -> None:
        command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo there && exec cat"]
        self.holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.holder.stdout is not None
        if self.holder.stdout.readline() != b"there\n":
            self.close()
            raise OSError("no network namespace can be made: unshare --net needs root")

    def command(self, *command: str) -> list[str]:
        """Give the command that runs `command` in here; it becomes that process, so that its pid is the same."""
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", "--", *command]

    def run(self, *command: str) -> str:
        """Run it in here to its end; give what it printed."""
        done = subprocess.run(self.command(*command), capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    def ip(self, *lines: str) -> None:
        """Run `ip` with each of the lines."""
        text = "\n".join(lines)
        command = self.command("ip", "-batch", "-")
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, f"ip ended with {done.returncode}: {done.stderr}of\n{text}"

    def close(self) -> None:
        """Let it go; it vanishes with the last process in it."""
        self.holder.communicate()


class Network:
    """One of the networks: `n0`, `n1`, … in both namespaces."""

    def __init__(self, number: int, server: Namespace, host: Namespace, switch: Namespace) -> None:
        self.device = f"n{number}"
        self.host_address, self.server_address = f"10.77.{number}.1", f"10.77.{number}.2"
        self.host_address6, self.server_address6 = f"fd77:{number}::1", f"fd77:{number}::2"
        self.server = server
        self.switch = switch
        self.ports = {HOST: f"h{number}", SERVER: f"s{number}"}
        """The switch's end of each machine's cable."""
        switch.ip(f"link add b{number} type bridge mcast_snooping 0", f"link set b{number} up")
        self._join(HOST, host, self.host_address, self.host_address6)
        self._join(SERVER, server, self.server_address, self.server_address6)

    def _join(self, side: str, machine: Namespace, address: str, address6: str) -> None:
        port, bridge = self.ports[side], "b" + self.device[1:]
        self.switch.ip(
            f"link add {port} type veth peer name {self.device} netns {machine.holder.pid}",
            f"link set {port} master {bridge}",
            f"link set {port} up",
        )
        machine.ip(
            f"addr add {address}/24 dev {self.device}",
            f"addr add {address6}/64 dev {self.device} nodad",
            f"link set {self.device} up",
        )

    def address(self, side: str, family: int) -> str:
        """Give a machine's address on it, of IP version 4 or 6."""
        if family == 6:
            return self.host_address6 if side == HOST else self.server_address6
        return self.host_address if side == HOST else self.server_address

    def pull_cable(self, side: str = HOST) -> None:
        """Pull the cable out of one machine: it loses the carrier and keeps its addresses; the other sees nothing."""
        self.switch.ip(f"link set {self.ports[side]} down")

    def silence(self) -> None:
        """Lose every packet, both ways, without a sign to either side."""
        self._isolate("on")

    def reset(self) -> None:
        """Reset every connection over it: the server's kernel ends them, and tells the host's by RST."""
        before = self._connections()
        self.server.run("ss", "--kill", "state", "established", "src", self.server_address)
        assert not before or before != self._connections(), "this kernel resets nothing: CONFIG_INET_DIAG_DESTROY"

    def _connections(self) -> str:
        return self.server.run("ss", "--no-header", "--tcp", "state", "established", "src", self.server_address)

    def mend(self) -> None:
        """Make all well again."""
        self.switch.ip(*(f"link set {port} up" for port in self.ports.values()))
        self._isolate("off")

    def _isolate(self, on_or_off: str) -> None:
        """Isolated ports of a bridge don't talk to each other."""
        self.switch.ip(*(f"link set {port} type bridge_slave isolated {on_or_off}" for port in self.ports.values()))


class Networks:
    """Two machines' namespaces and `count` networks between them.

    `window_bytes`: the most that either end's kernel takes of a connection whose reader reads nothing.
    """

    def __init__(self, count: int = 2, window_bytes: int | None = None) -> None:
        self.server, self.host, self.switch = self.namespaces = Namespace(), Namespace(), Namespace()
        if window_bytes is not None:
            for machine in (self.server, self.host):
                sizes = f"4096 {window_bytes} {window_bytes}"
                machine.run("sh", "-c", f"echo {sizes} > /proc/sys/net/ipv4/tcp_rmem")
        self.all = [Network(number, self.server, self.host, self.switch) for number in range(count)]

    def __getitem__(self, number: int) -> Network:
        return self.all[number]

    def __iter__(self) -> Iterator[Network]:
        return iter(self.all)

    def __len__(self) -> int:
        return len(self.all)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for namespace in self.namespaces:
            namespace.close()


@cache
def why_not() -> str:
    """Say why there can be no networks here; empty: there can."""
    missing = [program for program in ("ip", "ss", "nsenter", "unshare") if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install iproute2 util-linux"
    if os.geteuid() != 0:
        return "network namespaces are for root"
    if subprocess.run(["unshare", "--net", "true"], capture_output=True, check=False).returncode != 0:
        return "this system lets nobody make network namespaces"
    return ""


needs_networks = pytest.mark.skipif(bool(why_not()), reason=why_not() or "networks can be made here")
"""Skip a test where network namespaces can't be made."""
