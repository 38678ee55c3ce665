"""The register of front-ends: the value of SHOW -> what shows the disk, and what clears away what a killed one left."""

import errno
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostside.frontends.base import Driver, Frontend
from hostside.frontends.fuse import FuseFrontend
from hostside.frontends.loop import LoopFrontend
from hostside.frontends.nbd import NbdFrontend
from hostside.frontends.nbd_kernel import NbdKernelFrontend
from hostside.settings import DiskSettings
from ipc.loop import Loop


@dataclass(frozen=True, slots=True)
class Showing:
    """What a front-end is told besides its driver."""

    disk: DiskSettings
    server: str
    """The SERVER block's name."""
    state_dir: Path
    """STATE: what a device is known by has to be unlike for two nsu, and for two servers of one."""
    fail_after_s: float | None = None
    """ON_NO_PATH of the server."""


Opener = Callable[[Loop, Driver, Showing], Frontend]


def _socket(loop: Loop, driver: Driver, showing: Showing) -> Frontend:
    disk = showing.disk
    return NbdFrontend(loop, driver, disk.at, disk.name, mode=disk.mode, owner=disk.owner)


def _fuse(loop: Loop, driver: Driver, showing: Showing) -> Frontend:
    disk = showing.disk
    return FuseFrontend(loop, driver, disk.at, mode=disk.mode, owner=disk.owner)


def _loop(loop: Loop, driver: Driver, showing: Showing) -> Frontend:
    at = showing.disk.at
    file = file_of_loop(at, showing.disk.name)
    return LoopFrontend(loop, driver, at, file, lambda file: FuseFrontend(loop, driver, file))


def file_of_loop(at: Path, name: str) -> Path:
    """Give the file below the loop device: in a hidden mount beside the link."""
    return at.absolute().with_name(f".{at.name}.fuse") / name


def _nbd(loop: Loop, driver: Driver, showing: Showing) -> Frontend:
    disk = showing.disk
    identifier = identifier_of(showing)
    return NbdKernelFrontend(loop, driver, disk.at, disk.name, identifier=identifier, fail_after_s=showing.fail_after_s)


def identifier_of(showing: Showing) -> str:
    """Give the name by which the kernel knows a device to be this disk's, for as long as it is attached."""
    disk = showing.disk
    return f"nsu: {disk.name} of {showing.server} at {disk.at}, {showing.state_dir}"


FRONTENDS: dict[str, Opener] = {"socket": _socket, "nbd": _nbd, "fuse": _fuse, "loop": _loop}
"""SHOW -> how it is opened."""


def open_frontend(loop: Loop, driver: Driver, showing: Showing) -> Frontend:
    """Show the disk that `driver` carries, as `showing` says.

    Raises:
        OSError: EINVAL, there is no such way; or what the front-end says of this place and this machine.

    """
    disk = showing.disk
    opener = FRONTENDS.get(disk.show)
    if opener is None:
        raise OSError(errno.EINVAL, f"{disk.name}: a disk is shown as {', '.join(FRONTENDS)}, not as {disk.show}")
    if disk.show != "fuse":  # whose folder is a mount, made by the front-end itself
        disk.at.parent.mkdir(parents=True, exist_ok=True)
    return opener(loop, driver, showing)
