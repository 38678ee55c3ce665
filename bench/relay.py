"""A relay in user space that makes a long or narrow way of a short one, for any program that speaks TCP.

    with relaying({("127.0.0.1", 10001): ("127.0.0.1", 10809)}, Link(delay_s=0.01, bytes_per_s=1.25e9)): ...

Who connects to the first address is connected to the second, over the link that `link.py` describes; all connections
share it. It is for kernels without netem, and needs no privileges. Addresses are of IPv4, or paths of Unix sockets to
connect to. The bytes are right and in
order; the end of one direction is carried over by itself; a reset ends both at once.

It is a process of its own with one thread: epoll, edge-triggered, so that a socket is registered once, and bytes are
copied twice, into a stream's ring and out of it (splice was tried, and saves a seventh of the processor time: not
worth its pipes). Sleeps are to the microsecond (epoll's own are to the millisecond), but a busy relay turns once in
GRAIN_S and no oftener, for many small chunks at once.

`python -m bench.relay --delay-ms 10 --mb-per-s 1250 127.0.0.1:10001=127.0.0.1:10809 …` is that process; it says «there»
when it listens, ends with its standard input, and then says what it has carried and used.
"""

import argparse
import json
import math
import os
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.link import WINDOW_BYTES, Link, Stream, Wire
from ipc.endpoints import endpoint
from tests.harness.netns import Namespace, enter_namespace

Address = tuple[str, int]
Target = Address | Path
"""Of TCP, or a Unix socket."""
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: close by a reset."""
_EDGES = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
GRAIN_S = 0.0002
BUSY_CHUNKS = 16
TIMER_SLACK = Path("/proc/self/timerslack_ns")


class Connection:
    """One accepted connection and the one that was made for it: a stream each way."""

    def __init__(self, near: socket.socket, far: socket.socket, there: Wire, back: Wire) -> None:
        self.ends = (near, far)
        for end in self.ends:
            if end.family == socket.AF_INET:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.setblocking(False)
        self.streams = (Stream(near, far, there), Stream(far, near, back))

    @property
    def is_over(self) -> bool:
        return self.is_broken or all(stream.end_sent for stream in self.streams)

    @property
    def is_broken(self) -> bool:
        return any(stream.is_broken for stream in self.streams)

    def close(self) -> None:
        """Close both ends; what of it is still on the wire is nobody's any more."""
        for end in self.ends:
            if self.is_broken:
                with suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            end.close()
        for stream in self.streams:
            stream.break_off()


class Relay:
    """The loop. `doors`: listening socket -> where that leads to."""

    def __init__(self, doors: Mapping[socket.socket, Target], link: Link) -> None:
        self.doors = {listener.fileno(): (listener, target) for listener, target in doors.items()}
        self.wires = (Wire(link), Wire(link))
        self.connections: dict[int, Connection] = {}
        """By each of its two ends."""
        self.poll = select.epoll()
        self.turned_s = 0.0
        self.poll.register(0, select.EPOLLIN)
        for fd in self.doors:
            self.poll.register(fd, select.EPOLLIN)

    def run(self) -> None:
        """Relay until standard input ends."""
        while True:
            self.sleep()
            for fd, event in self.poll.poll(0):
                if fd == 0:
                    return
                if fd in self.doors:
                    self.accept(*self.doors[fd])
                elif fd in self.connections:
                    self.note(self.connections[fd], fd, event)
            now_s = time.monotonic()
            for wire in self.wires:
                wire.take(now_s)
                wire.give(now_s)
            if any(wire.some_ended for wire in self.wires):
                self.end_those_that_are_over()

    def sleep(self) -> None:
        """Sleep until something is due or comes. epoll counts in milliseconds; select(2), here of epoll itself, not."""
        now_s = time.monotonic()
        grain_s = self.turned_s + GRAIN_S - now_s
        if grain_s > 0 and sum(len(wire.flying) for wire in self.wires) > BUSY_CHUNKS:
            time.sleep(grain_s)
            now_s += grain_s
        wait_s = min(wire.next_s() for wire in self.wires) - now_s
        if wait_s > 0:
            select.select([self.poll], [], [], None if wait_s == math.inf else wait_s)
        self.turned_s = time.monotonic()

    def accept(self, listener: socket.socket, target: Target) -> None:
        near, _ = listener.accept()
        try:
            far = connect(target)
        except OSError:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            near.close()
            return
        connection = Connection(near, far, *self.wires)
        for end in connection.ends:
            self.connections[end.fileno()] = connection
            self.poll.register(end.fileno(), _EDGES)

    def note(self, connection: Connection, fd: int, event: int) -> None:
        if event & select.EPOLLERR:
            connection.streams[0].break_off()
        for stream in connection.streams:
            if stream.source.fileno() == fd and event & ~select.EPOLLOUT:
                stream.is_readable = True
                stream.ask()
            elif stream.target.fileno() == fd and event & select.EPOLLOUT:
                stream.send(time.monotonic())

    def end_those_that_are_over(self) -> None:
        for wire in self.wires:
            wire.some_ended = False
        for connection in {one for one in self.connections.values() if one.is_over}:
            for end in connection.ends:
                del self.connections[end.fileno()]
            connection.close()


# -- the process -----------------------------------------------------------------------------------------------------


@dataclass
class Relaying:
    """A relay that runs, or ran."""

    pid: int
    told: dict[str, float] = field(default_factory=dict)
    """After its end: `there_bytes` and `back_bytes` that it carried, `cpu_s` that it used."""


@contextmanager
def relaying(
    doors: Mapping[Address, Target], link: Link, target_namespace: Namespace | None = None
) -> Iterator[Relaying]:
    """Run a relay from each of `doors` to where that leads; listening here, connecting in `target_namespace`."""
    command = [sys.executable, "-m", "bench.relay", "--delay-ms", str(link.delay_s * 1000)]
    command += ["--mb-per-s", str(link.bytes_per_s / 1e6), "--window", str(link.window_bytes)]
    command += ["--namespace", str(target_namespace.holder.pid)] if target_namespace else []
    command += [f"{endpoint(*near)}={far if isinstance(far, Path) else endpoint(*far)}" for near, far in doors.items()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"there\n":
            raise OSError(f"the relay does not run: {' '.join(command)}")
        found = Relaying(process.pid)
        try:
            yield found
        finally:
            told, _ = process.communicate()
            found.told.update(json.loads(told))


def connect(target: Target) -> socket.socket:
    if not isinstance(target, Path):
        return socket.create_connection(target, timeout=5)
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(target))
    return sock


def address_of(words: str) -> Address:
    """Read 10.1.1.1:10002."""
    address, _, port = words.rpartition(":")
    return address, int(port)


def target_of(words: str) -> Target:
    """Read 10.1.1.1:10002 or /run/socket."""
    return Path(words) if words.startswith("/") else address_of(words)


def main() -> None:
    """Relay until standard input ends."""
    parser = argparse.ArgumentParser(description="Relay TCP connections over a long or narrow way.")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="of each direction")
    parser.add_argument("--mb-per-s", type=float, default=math.inf, help="of each direction, for all connections")
    parser.add_argument("--window", type=int, default=WINDOW_BYTES, help="bytes under way per connection and direction")
    parser.add_argument("--namespace", type=int, help="of the process with this id: connect from in there")
    parser.add_argument("doors", nargs="+", metavar="ADDRESS:PORT=ADDRESS:PORT|PATH")
    arguments = parser.parse_args()
    link = Link(arguments.delay_ms / 1000, arguments.mb_per_s * 1e6, arguments.window)
    pairs = [door.split("=") for door in arguments.doors]
    doors = {socket.create_server(address_of(near)): target_of(far) for near, far in pairs}
    if arguments.namespace is not None:
        enter_namespace(arguments.namespace)
    TIMER_SLACK.write_text("1000")
    print("there", flush=True)
    relay = Relay(doors, link)
    relay.run()
    used = os.times()
    there_bytes, back_bytes = (wire.carried_bytes for wire in relay.wires)
    print(json.dumps({"there_bytes": there_bytes, "back_bytes": back_bytes, "cpu_s": used.user + used.system}))


if __name__ == "__main__":
    main()
