"""Puts the simulated kernel under the product: everywhere where a module of ours names the real thing.

Found by identity, not by a list of places: whoever imports `os`, or `fork_child`, anew tomorrow, gets the stand-in too.
Sizes are small here, so that a short life meets full windows, full pools and requests of several constituents.
"""

import copy
import fcntl
import os
import random
import secrets
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from errno import EAGAIN, EBUSY
from pathlib import Path, PurePosixPath
from typing import Any, Self

import hostside.disk
import hostside.host
import ipc.say
import serverside.server
from hostside.frontends.open import open_frontend
from hostside.wiring import Wiring
from ipc.child import Child, Life, fork_child
from ipc.control import ControlServer
from ipc.counters import CounterTable
from ipc.interfaces import addresses_up
from ipc.loop import Loop
from ipc.watch import Doing, doing_of
from serverside.address_watch import is_here
from serverside.drives.base import DriveError
from serverside.drives.fallocate import fallocate
from serverside.drives.file import FileDrive
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.identity import Identity, put_in_place, write_atomically, write_beside
from serverside.partitions.zero_file import ZeroImage
from serverside.partitions.zero_live import make_memory, surviving_memory, this_boot
from serverside.settings import DriveSettings
from tests.sim.kernel.files import OpenFile
from tests.sim.kernel.kernel import SIGTERM, Process
from tests.sim.kernel.modules import (
    Fcntl,
    Os,
    Random,
    Secrets,
    Select,
    Signal,
    SocketModule,
    System,
    Time,
    fork_process,
)

ROOMS = ("ipc", "hostside", "serverside", "protocol")
REAL_STILL = ("hostside.frontends", "ipc.control", "ipc.memory_pressure", "ipc.prctl", "ipc.say")
"""Modules that take no part: nobody calls them here."""

SIZES = {
    "SPLIT_BYTES": 4096,
    "SLOT_BYTES": 4096,
    "REQUEST_BYTES_MAX": 8192,
    "RECEIVE_BYTES": 24 << 10,
    "SCRATCH_BYTES": 24 << 10,
    "SEND_AT_BYTES": 8192,
    "LARGE_BYTES": 2048,
    "TAGS_MAX": 16,
    "REQUEST_SLOTS_MAX": 12,
    "DISKS_MAX": 1,
    "SEATS_SPARE": 4,
    "CHUNK_BYTES_MIN": 4096,
}
"""Bound -> its value here, in every module that has the name."""


class Here:
    """The system of the life that is lived now."""

    system: System | None = None
    frontend: Callable[..., Any] | None = None


def system_here() -> System:
    assert Here.system is not None
    return Here.system


class SimPath(PurePosixPath):
    """A path of the simulated machine."""

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Folders are there when they are needed."""

    def unlink(self, missing_ok: bool = False) -> None:
        disks = system_here().disks_here()
        disks.files.pop(str(self), None)
        disks.memories.pop(str(self), None)

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        del follow_symlinks
        return str(self) in system_here().disks_here().texts

    def glob(self, pattern: str) -> "list[SimPath]":
        disks = system_here().disks_here()
        return [SimPath(name) for name in (*disks.files, *disks.memories) if SimPath(name).match(str(self / pattern))]

    def read_bytes(self) -> bytes:
        try:
            return system_here().disks_here().texts[str(self)]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", str(self)) from None


def write_text(path: Path, data: bytes) -> None:
    """Do what `write_atomically` does, which is proved by its own tests."""
    system = system_here()
    system.kernel.enter()
    system.disks_here().texts[str(path)] = data


class SimDrive(FileDrive):
    """The product's own file drive; only its opening is of this world, for a fork shares objects here."""

    @classmethod
    def open(cls, settings: DriveSettings, health: DriveHealth, index: int) -> Self:
        process = system_here().kernel.enter()
        fd = os_of_sim().open(settings.path, os.O_RDWR)
        file = process.find(fd)
        assert isinstance(file, OpenFile)
        if not file.lock():
            process.close(fd)
            raise DriveError(EBUSY, f"drive {settings.path} is in use already")
        file.file.marks[-fd] = file.file.told
        return cls(settings.path, fd, len(file.file.content), health, index)

    def reopen(self) -> None:
        """As the real one: a mark of one's own, and the inherited description as the witness."""
        process = system_here().kernel.enter()
        description = process.find(self.fd)
        assert isinstance(description, OpenFile)
        description.file.opened_by(process.pid)
        if description.file.marks.get(-self.fd, 0) < description.file.errors:
            self.health.fail(self.index, 5)


def sim_write_beside(path: Path, data: bytes) -> None:
    write_text(_beside(path), data)


def sim_put_in_place(path: Path) -> None:
    texts = system_here().disks_here().texts
    texts[str(path)] = texts.pop(str(_beside(path)))


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def sim_this_boot() -> bytes:
    return system_here().disks_here().boot.to_bytes(16, "big")


def sim_make_memory(path: Path, image: ZeroImage, boot: bytes, size_bytes: int) -> memoryview:
    """A mapped file: it outlives every process, and not the machine's power."""
    memory = bytearray(size_bytes)
    system_here().disks_here().memories[str(path)] = (image.uuid, image.blocks, boot, memory)
    return memoryview(memory)


def sim_surviving_memory(path: Path, image: ZeroImage, boot: bytes, size_bytes: int) -> bytes | None:
    *head, memory = system_here().disks_here().memories.get(str(path), (b"",))
    return bytes(memory) if head == [image.uuid, image.blocks, boot] and len(memory) == size_bytes else None


def os_of_sim() -> Os:
    return Os(system_here())


def sim_fallocate(fd: int, mode: int, offset_bytes: int, length_bytes: int) -> None:
    """Zero a range, as both modes do."""
    del mode
    system = system_here()
    description = system.kernel.enter().find(fd)
    assert isinstance(description, OpenFile)
    system.disks_here().write(description.file, bytes(length_bytes), offset_bytes, durable=False)


def sim_open_drive(settings: DriveSettings, health: DriveHealth, index: int) -> SimDrive:
    return SimDrive.open(settings, health, index)


def sim_fork_child(
    title: str, main: Callable[[Life], int], *, hearts: CounterTable, heart_row: int, keep: Iterable[int] = ()
) -> Child:
    """`ipc.child.fork_child`, with a process of this world. Now and then there is none to be had."""
    kernel = system_here().kernel
    if kernel.chance.random() < 0.01:
        raise OSError(EAGAIN, "Resource temporarily unavailable")
    parent = kernel.enter()
    reader, writer = os_of_sim().pipe2(0)
    heart = hearts.row(heart_row).cells
    heart[0] = kernel.now_ns

    def live(process: Process) -> int:
        life = Life(writer, heart)
        process.handlers[SIGTERM] = life._take_sigterm
        return main(life)

    child = fork_process(kernel, title, live, {*keep, writer})
    parent.close(writer)
    return Child(title, child.pid, reader, heart)


def sim_loop() -> Loop:
    return Loop(clock=Time(system_here()).monotonic)


def sim_doing_of(pid: int) -> Doing | None:
    """What proc(5) says."""
    process = system_here().kernel.enter().machine.processes.get(pid)
    if process is None:
        return None
    return Doing("T" if process.is_stopped else "D" if process.is_held else "S", 0.0)


class NoControl:
    """Nobody asks for the status here."""

    def __init__(self, *_: object) -> None: ...

    def close(self) -> None: ...


def sim_identity(folder: Path, *, machine_boot: bytes) -> Identity:
    return Identity(folder, random=system_here().secrets.getrandbits, machine_boot=machine_boot)


def sim_open_frontend(*arguments: Any) -> Any:
    assert Here.frontend is not None
    return Here.frontend(*arguments)


def own_pool(wiring: Wiring, index: int) -> Wiring:
    """A forked disk process has its own copy of the list of free slots: all of them."""
    wires = copy.copy(wiring.disks[index])
    wires.pool = copy.copy(wires.pool)
    wires.pool._free = list(range(wires.pool.slots - 1, -1, -1))
    wires.pool._is_free = bytearray(b"\1") * wires.pool.slots
    own = copy.copy(wiring)
    own.disks = [wires if at == index else other for at, other in enumerate(wiring.disks)]
    return own


def sim_run_disk(life: Life, wiring: Wiring, index: int, *rest: Any) -> int:
    return real_run_disk(life, own_pool(wiring, index), index, *rest)


real_run_disk = hostside.disk.run_disk

MODULES: list[tuple[Any, Callable[[System], Any]]] = [
    (os, Os), (socket, SocketModule), (select, Select), (signal, Signal), (time, Time), (fcntl, Fcntl),
    (random, Random), (secrets, Secrets),
]  # fmt: skip
NAMES: list[tuple[Any, Any]] = [
    (fork_child, sim_fork_child), (Loop, sim_loop), (ControlServer, NoControl), (open_frontend, sim_open_frontend),
    (open_drive, sim_open_drive), (fallocate, sim_fallocate), (write_atomically, write_text),
    (write_beside, sim_write_beside), (put_in_place, sim_put_in_place),
    (Identity, sim_identity), (real_run_disk, sim_run_disk), (doing_of, sim_doing_of), (make_memory, sim_make_memory),
    (surviving_memory, sim_surviving_memory), (this_boot, sim_this_boot), (addresses_up, frozenset),
    (is_here, lambda address: True),
]  # fmt: skip


def _places() -> Iterator[tuple[Any, str, Any]]:
    """Give (module, name, what stands there) for everything that is to be replaced."""
    wanted = {id(real): real for real, _ in [*MODULES, *NAMES]}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] not in ROOMS or name.startswith(REAL_STILL):
            continue
        for attribute, value in list(vars(module).items()):
            at_home = getattr(value, "__module__", None) == name and not _is_called_at_home(value)
            if (id(value) in wanted and not at_home) or (attribute in SIZES and isinstance(value, int)):
                yield module, attribute, value


def _is_called_at_home(value: object) -> bool:
    return value in (write_atomically, write_beside, put_in_place, doing_of, addresses_up, is_here)


PLACES = list(_places())


@contextmanager
def under(system: System, frontend: Callable[..., Any], lines: list[str]) -> Iterator[None]:
    """While this lasts, the product runs on the simulated kernel."""
    stand_ins = {id(real): make(system) for real, make in MODULES} | {id(real): ours for real, ours in NAMES}
    voice = ipc.say.voice
    Here.system, Here.frontend = system, frontend
    for module, name, value in PLACES:
        setattr(module, name, stand_ins[id(value)] if id(value) in stand_ins else SIZES[name])
    ipc.say.voice = ipc.say.Voice(
        lambda line: lines.append(f"{system.kernel.now_s - 1000:9.4f} {line}"), lambda: system.kernel.now_s
    )
    try:
        yield
    finally:
        ipc.say.voice = voice
        for module, name, value in PLACES:
            setattr(module, name, value)
        Here.system = Here.frontend = None


assert serverside.server
assert hostside.host
