"""A long way between two machines: what enters at one end leaves at the other after `delay_s`, in its order.

    with LongWire(server_namespace, host_namespace, delay_s=0.01): ...      10.78.0.1 (host) ── 10.78.0.2 (server)

This kernel need not have netem: two TUN devices, one in each namespace, and a process that carries packets from one to
the other. Its packets are large, so that it keeps up with what two machines on two processors can send.

`python -m tests.harness.long_wire PID PID DELAY_S` is that process; it ends with its standard input.
"""

import fcntl
import os
import select
import struct
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.harness.netns import Namespace, enter_namespace

DEVICE = "far"
HOST_ADDRESS, SERVER_ADDRESS = "10.78.0.1", "10.78.0.2"
PACKET_BYTES = 32_000
QUEUED_MOST = 4096
"""Packets on their way, in one direction; what exceeds them is lost, as in any router."""

_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000


class LongWire:
    """The wire, and its ends with their addresses."""

    def __init__(self, server: Namespace, host: Namespace, delay_s: float) -> None:
        pids = [str(namespace.holder.pid) for namespace in (host, server)]
        command = [sys.executable, "-m", "tests.harness.long_wire", *pids, str(delay_s)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"there\n"
        for namespace, address in ((host, HOST_ADDRESS), (server, SERVER_ADDRESS)):
            namespace.ip(f"addr add {address}/24 dev {DEVICE}", f"link set {DEVICE} mtu {PACKET_BYTES} up")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.communicate()


def open_tun(pid: int) -> int:
    """Make the device in the network namespace of a process; give its descriptor. This process stays in there."""
    enter_namespace(pid)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    return fd


def carry(ends: tuple[int, int], delay_s: float) -> None:
    """Carry packets until standard input ends."""
    ways: dict[int, deque[tuple[float, bytes]]] = {end: deque() for end in ends}
    poll = select.epoll()
    for fd in (0, *ends):
        poll.register(fd, select.EPOLLIN)
    while True:
        due_s = min((way[0][0] for way in ways.values() if way), default=None)
        wait_s = None if due_s is None else max(0.0, due_s - time.monotonic())
        for fd, _ in poll.poll(wait_s):
            if fd == 0:
                return
            take(fd, ways[fd], time.monotonic() + delay_s)
        now_s = time.monotonic()
        for end, other in (ends, ends[::-1]):
            way = ways[end]
            while way and way[0][0] <= now_s:
                give(other, way.popleft()[1])


def take(end: int, way: deque[tuple[float, bytes]], due_s: float) -> None:
    try:
        for _ in range(64):
            packet = os.read(end, 65536)
            if len(way) < QUEUED_MOST:
                way.append((due_s, packet))
    except BlockingIOError:
        pass


def give(end: int, packet: bytes) -> None:
    with suppress(OSError):  # nobody is there, or there is no room: it is lost
        os.write(end, packet)


if __name__ == "__main__":
    both = open_tun(int(sys.argv[1])), open_tun(int(sys.argv[2]))
    print("there", flush=True)
    carry(both, float(sys.argv[3]))
