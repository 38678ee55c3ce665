"""What the product finds in the places of `os`, `socket`, `select`, `signal`, `time`, `random` and `secrets`.

A call that is not here fails loudly: the product has begun to ask the machine for something that the simulation does
not know, and it has to be taught. Constants, exceptions and what only computes come from the real module.
"""

import os as real_os
import random as real_random
import secrets as real_secrets
import select as real_select
import signal as real_signal
import socket as real_socket
import struct
import time as real_time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

from tests.sim.kernel.files import Disks, File, OpenFile
from tests.sim.kernel.kernel import SECOND, Description, Kernel, Machine, Process
from tests.sim.kernel.pipes import Epoll, Pipe, PipeReader, PipeWriter, Poll, ProcessEnd
from tests.sim.kernel.tcp import Address, Endpoint, ListenPoint, Net

PURE = frozenset({"strerror", "waitstatus_to_exitcode", "path", "fspath", "valid_signals", "Signals"})


class StandIn:
    """A module's place. Lower-case functions that the class has not are refused."""

    real: ModuleType

    def __init__(self, system: "System") -> None:
        self.system = system
        self.kernel = system.kernel

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.real, name)
        if not callable(value) or isinstance(value, type) or name in PURE:
            return value
        raise AttributeError(f"the simulated kernel has no {self.real.__name__}.{name}: teach it")


class System:
    """The kernel, its network and its disks: whatever a call may need."""

    def __init__(self, kernel: Kernel, net: Net) -> None:
        self.kernel = kernel
        self.net = net
        self.disks: dict[Machine, Disks] = {}
        self.secrets = real_random.Random(kernel.chance.random())
        self.serials = 0

    def disks_here(self) -> Disks:
        process = self.kernel.current
        assert process is not None
        return self.disks[process.machine]


class Os(StandIn):
    """`os`."""

    real = real_os

    def pipe2(self, flags: int) -> tuple[int, int]:
        del flags
        process = self.kernel.enter()
        pipe = Pipe()
        return process.open(pipe.reader), process.open(pipe.writer)

    def read(self, number: int, count: int) -> bytes:
        reader = self.kernel.enter().find(number)
        assert isinstance(reader, PipeReader)
        return reader.read(count)

    def write(self, number: int, data: bytes) -> int:
        writer = self.kernel.enter().find(number)
        assert isinstance(writer, PipeWriter)
        return writer.write(bytes(data))

    def close(self, number: int) -> None:
        self.kernel.enter().close(number)

    def getpid(self) -> int:
        return self.kernel.enter().pid

    def sched_getaffinity(self, pid: int) -> set[int]:
        """Machines here have one processor: there is no choice where to run."""
        del pid
        return {0}

    def kill(self, pid: int, number: int) -> None:
        machine = self.kernel.enter().machine
        if pid not in machine.processes:
            raise ProcessLookupError(3, "No such process")
        self.kernel.kill(machine.processes[pid], number)

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert options == real_os.WNOHANG
        self.kernel.enter()
        status = self.kernel.reap(pid)
        if status is None:
            return 0, 0
        return pid, -status if status < 0 else status << 8

    def pidfd_open(self, pid: int) -> int:
        process = self.kernel.enter()
        return process.open(ProcessEnd(process.children[pid]))

    # files

    def open(self, path: object, flags: int, mode: int = 0o777) -> int:
        del mode
        process, disks = self.kernel.enter(), self.system.disks_here()
        name = str(path)
        if name not in disks.files:
            if flags & real_os.O_DIRECTORY:
                return process.open(Description())
            if not flags & real_os.O_CREAT:
                raise FileNotFoundError(2, "No such file or directory", name)
            disks.files[name] = File(name, bytearray())
        elif flags & real_os.O_TRUNC:
            disks.files[name] = File(name, bytearray())
        disks.files[name].opened_by(process.pid)
        return process.open(OpenFile(disks.files[name], disks.locks))

    def _file(self, number: int) -> OpenFile:
        description = self.kernel.enter().find(number)
        assert isinstance(description, OpenFile), description
        return description

    def fstat(self, number: int) -> Any:
        size = len(self._file(number).file.content)
        return real_os.stat_result((0o100600, 0, 0, 1, 0, 0, size, 0, 0, 0))

    def pread(self, number: int, count: int, offset_bytes: int) -> bytes:
        return self.system.disks_here().read(self._file(number).file, offset_bytes, count)

    def preadv(self, number: int, views: Sequence[memoryview], offset_bytes: int) -> int:
        data = self.pread(number, len(views[0]), offset_bytes)
        views[0][: len(data)] = data
        return len(data)

    def pwrite(self, number: int, data: bytes, offset_bytes: int) -> int:
        return self.system.disks_here().write(self._file(number).file, data, offset_bytes, durable=False)

    def pwritev(self, number: int, views: Sequence[memoryview], offset_bytes: int, flags: int = 0) -> int:
        durable = bool(flags & real_os.RWF_DSYNC)
        return self.system.disks_here().write(self._file(number).file, views[0], offset_bytes, durable=durable)

    def fdatasync(self, number: int) -> None:
        self.system.disks_here().sync(self._file(number).file)

    def fsync(self, number: int) -> None:
        description = self.kernel.enter().find(number)
        if isinstance(description, OpenFile):
            self.system.disks_here().sync(description.file)

    def rename(self, old: object, new: object) -> None:
        """Durable at once: a file is synced before it is renamed, and the folder after it."""
        self.kernel.enter()
        disks = self.system.disks_here()
        place: dict[str, Any] = disks.memories if str(old) in disks.memories else disks.files
        place[str(new)] = place.pop(str(old))


class Time(StandIn):
    """`time`."""

    real = real_time

    def monotonic(self) -> float:
        return self.kernel.now_s

    def monotonic_ns(self) -> int:
        return self.kernel.now_ns

    def time(self) -> float:
        return self.kernel.now_s

    def strftime(self, format: str, moment: Any = None) -> str:
        return real_time.strftime(format, moment or self.localtime())

    def localtime(self, seconds: float | None = None) -> Any:
        return real_time.gmtime(self.kernel.now_s if seconds is None else seconds)

    def gmtime(self, seconds: float | None = None) -> Any:
        return self.localtime(seconds)

    def sleep(self, seconds: float) -> None:
        self.kernel.enter()
        self.kernel.sleep(seconds)


class Select(StandIn):
    """`select`."""

    real = real_select

    def epoll(self) -> Epoll:
        self.kernel.enter()
        return Epoll(self.kernel)

    def poll(self) -> Poll:
        return Poll(self.kernel)


class Signal(StandIn):
    """`signal`."""

    real = real_signal

    def set_wakeup_fd(self, number: int, *, warn_on_full_buffer: bool = True) -> int:
        del warn_on_full_buffer
        process = self.kernel.enter()
        former, process.wakeup_fd = process.wakeup_fd, number
        return former

    def signal(self, number: int, handler: Any) -> Any:
        process = self.kernel.enter()
        former = process.handlers.get(number, real_signal.SIG_DFL)
        process.handlers[number] = handler
        return former

    def siginterrupt(self, number: int, flag: bool) -> None:
        """Python goes on with an interrupted call anyway (PEP 475)."""


class Fcntl:
    """`fcntl`."""

    F_GETPIPE_SZ, F_SETPIPE_SZ = 1032, 1031

    def __init__(self, system: System) -> None:
        self.kernel = system.kernel

    def fcntl(self, number: int, command: int, argument: int = 0) -> int:
        writer = self.kernel.enter().find(number)
        assert isinstance(writer, PipeWriter)
        if command == self.F_SETPIPE_SZ:
            writer.pipe.size_bytes = argument
        return writer.pipe.size_bytes

    def ioctl(self, sock: "Socket", request: int, argument: bytes) -> bytes:
        """FIONREAD."""
        del request, argument
        return struct.pack("i", len(sock.endpoint().inbox))


class Random(StandIn):
    """`random`."""

    real = real_random

    def random(self) -> float:
        return self.system.secrets.random()

    def shuffle(self, items: list[Any]) -> None:
        self.system.secrets.shuffle(items)

    def uniform(self, low: float, high: float) -> float:
        return self.system.secrets.uniform(low, high)


class Secrets(StandIn):
    """`secrets`."""

    real = real_secrets

    def token_bytes(self, count: int) -> bytes:
        return self.system.secrets.randbytes(count)

    def randbits(self, count: int) -> int:
        return self.system.secrets.getrandbits(count)


class SocketModule(StandIn):
    """`socket`."""

    real = real_socket

    def __init__(self, system: System) -> None:
        super().__init__(system)

        class BoundSocket(Socket):
            here = system

        self.socket = BoundSocket

    def getaddrinfo(self, host: str, port: int, type: int = 0) -> list[tuple[Any, ...]]:
        del type
        return [(real_socket.AF_INET, real_socket.SOCK_STREAM, 6, "", (host, port))]

    def create_connection(self, address: Address, timeout: float | None = None, **_: object) -> "Socket":
        sock = self.socket(real_socket.AF_INET, real_socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        return sock


class Socket:
    """socket.socket: a descriptor of whatever process uses it, for a fork shares the object."""

    here: System

    def __init__(
        self, family: int = 2, type: int = 1, proto: int = 0, *, description: Description | None = None
    ) -> None:
        del proto
        self.family = family
        kernel = self.here.kernel
        process = kernel.enter()
        self.system = self.here
        self.kernel = kernel
        self.description = description or Endpoint(self.here.net, process.machine)
        self.number = process.open(self.description)
        self.system.serials += 1
        self.serial = self.system.serials
        self.timeout_s: float | None = 0.0 if type & real_socket.SOCK_NONBLOCK else None
        self.receive_timeout_s: float | None = None
        self.send_timeout_s: float | None = None
        self.source_port = self.kernel.chance.randrange(600, 1024)

    def __enter__(self) -> "Socket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def fileno(self) -> int:
        process = self.kernel.current
        assert process is not None
        return -1 if self.serial in process.closed_sockets else self.number

    def endpoint(self) -> Endpoint:
        found = self.kernel.enter().find(self.fileno())
        assert isinstance(found, Endpoint)
        return found

    def close(self) -> None:
        process = self.kernel.enter()
        if self.serial not in process.closed_sockets:
            process.closed_sockets.add(self.serial)
            process.close(self.number)

    # -- settings ------------------------------------------------------------------------------------------------

    def settimeout(self, timeout_s: float | None) -> None:
        self.timeout_s = timeout_s

    def setblocking(self, is_blocking: bool) -> None:
        self.timeout_s = None if is_blocking else 0.0

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        description = self.description
        if level == real_socket.SOL_SOCKET and option == real_socket.SO_RCVTIMEO:
            self.receive_timeout_s = _seconds(value)
        elif level == real_socket.SOL_SOCKET and option == real_socket.SO_SNDTIMEO:
            self.send_timeout_s = _seconds(value)
        elif not isinstance(description, Endpoint):
            return
        elif level == real_socket.SOL_SOCKET and option == real_socket.SO_KEEPALIVE:
            description.keepalive = bool(value)
        elif level == real_socket.IPPROTO_TCP and option == real_socket.TCP_USER_TIMEOUT:
            description.user_timeout_s = value / 1000
        elif level == real_socket.IPPROTO_TCP and option == real_socket.TCP_KEEPIDLE:
            description.idle_s = value
        elif level == real_socket.IPPROTO_TCP and option == real_socket.TCP_KEEPINTVL:
            description.interval_s = value
        elif level == real_socket.IPPROTO_TCP and option == real_socket.TCP_KEEPCNT:
            description.probes = value

    def getsockopt(self, level: int, option: int, size_bytes: int = 0) -> Any:
        endpoint = self.endpoint()
        if option == real_socket.TCP_INFO:
            probes, unacknowledged, silent_ms = endpoint.silence()
            counts = [0] * 13
            counts[4], counts[11], counts[12] = unacknowledged, silent_ms, silent_ms
            return struct.pack("=8B13I", 0, 0, 0, probes, 0, 0, 0, 0, *counts)[:size_bytes]
        if (level, option) == (real_socket.SOL_SOCKET, real_socket.SO_INCOMING_CPU):
            return 0  # the only one
        assert (level, option) == (real_socket.SOL_SOCKET, real_socket.SO_ERROR), (level, option)
        number, endpoint.error = endpoint.error, 0
        return number

    # -- connections ---------------------------------------------------------------------------------------------

    def bind(self, address: Address) -> None:
        """A server's address, or the privileged port that a connection comes from."""
        process = self.kernel.enter()
        if address[0] in ("0.0.0.0", "::"):
            self.source_port = address[1]
            return
        net = self.system.net
        if address in net.bound:
            raise OSError(98, "Address already in use")
        point = ListenPoint(net, process.machine, address)
        process.close(self.number)
        self.description = point
        self.number = process.open(point)
        net.bound[address] = point

    def listen(self, backlog: int) -> None:
        del backlog
        self.kernel.enter()
        assert isinstance(self.description, ListenPoint)
        self.description.is_listening = True

    def accept(self) -> tuple["Socket", Address]:
        self.kernel.enter()
        assert isinstance(self.description, ListenPoint)
        if not self.description.waiting:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        endpoint, address = self.description.waiting.popleft()
        return type(self)(description=endpoint), address

    def connect(self, address: Address) -> None:
        endpoint = self.endpoint()
        self.system.net.connect(endpoint, (address[0], address[1]), self.source_port)
        if self.timeout_s == 0.0:
            raise BlockingIOError(115, "Operation now in progress")
        for _ in self._waits(endpoint, self.timeout_s):
            if not endpoint.is_connecting:
                break
        if endpoint.error:
            endpoint.raise_error()

    def shutdown(self, how: int) -> None:
        self.kernel.enter()
        if isinstance(self.description, ListenPoint):
            self.description.refuse()
        elif how == real_socket.SHUT_RD:
            self.endpoint().shut_in()
        else:
            self.endpoint().shut_out()

    # -- bytes ---------------------------------------------------------------------------------------------------

    def _waits(self, endpoint: Endpoint, timeout_s: float | None) -> Iterator[None]:
        """Try, and wait, and try again. Raises TimeoutError when it took too long."""
        process = self.kernel.current
        assert process is not None
        until_ns = None if timeout_s is None else self.kernel.now_ns + int(timeout_s * SECOND)
        endpoint.watchers[process] = None
        try:
            while True:
                yield
                if until_ns is not None and self.kernel.now_ns >= until_ns:
                    raise TimeoutError("timed out")
                self.kernel.wait(until_ns)
        finally:
            endpoint.watchers.pop(process, None)

    def _try(self, call: Callable[[Endpoint], Any], kernel_timeout_s: float | None) -> Any:
        """Do a call that may have to wait. SO_RCVTIMEO and SO_SNDTIMEO end as EAGAIN, Python's timeout as itself."""
        endpoint = self.endpoint()
        if self.timeout_s == 0.0:
            return call(endpoint)
        try:
            for _ in self._waits(endpoint, kernel_timeout_s if self.timeout_s is None else self.timeout_s):
                try:
                    return call(endpoint)
                except BlockingIOError:
                    pass
        except TimeoutError:
            if self.timeout_s is None:
                raise BlockingIOError(11, "Resource temporarily unavailable") from None
            raise
        raise AssertionError("it waits for ever, or it ends")

    def recv(self, count: int) -> bytes:
        data: bytes = self._try(lambda endpoint: endpoint.receive(count), self.receive_timeout_s)
        return data

    def recv_into(self, view: memoryview) -> int:
        data = self.recv(len(view))
        view[: len(data)] = data
        return len(data)

    def recvmsg_into(self, views: Sequence[memoryview]) -> tuple[int, list[Any], int, None]:
        data = self.recv(sum(len(view) for view in views))
        if self.kernel.slow_memory and self.kernel.chance.random() < self.kernel.slow_memory:
            self.kernel.sleep(self.kernel.chance.expovariate(3), held=True)
        at = 0
        for view in views:
            part = data[at : at + len(view)]
            view[: len(part)] = part
            at += len(part)
        self.kernel.leave()
        return len(data), [], 0, None

    def send(self, data: bytes | memoryview) -> int:
        return self.sendmsg([data])

    def sendmsg(self, parts: Sequence[memoryview | bytes]) -> int:
        count: int = self._try(lambda endpoint: endpoint.send(parts), self.send_timeout_s)
        return count

    def sendall(self, data: bytes) -> None:
        while data:
            data = data[self.send(data) :]


def _seconds(value: bytes) -> float:
    seconds, microseconds = struct.unpack("ll", value)
    return float(seconds + microseconds / 1e6)


def fork_process(kernel: Kernel, title: str, main: Callable[[Process], int], keep: set[int]) -> Process:
    """fork(2) of the current process; the child keeps the named descriptors, by the same numbers."""
    parent = kernel.enter()
    child = kernel.spawn(parent.machine, title, main, parent)
    for number in keep:
        description = parent.find(number)
        child.descriptors[number] = description
        description.references += 1
    child.closed_sockets = set(parent.closed_sockets)
    return child
