"""The register of front-ends: the value of SHOW -> what shows the disk."""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from hostside.frontends.base import Driver
from hostside.frontends.fuse import FuseFrontend
from hostside.frontends.loop import LoopFrontend
from hostside.frontends.nbd import NbdFrontend
from hostside.frontends.nbd_kernel import NbdKernelFrontend
from ipc.loop import Loop


class ShownDisk(Protocol):
    """What the disk's process does with any front-end: base.Frontend, and how many use it."""

    @property
    def client_count(self) -> int:
        """Clients, open files, or users of the device, now."""

    def drain(self, on_drained: Callable[[], None], *, timeout_s: float) -> None:
        """See base.Frontend."""

    def close(self) -> None:
        """See base.Frontend."""


Opener = Callable[[Loop, Driver, Path, str], ShownDisk]
"""(loop, driver, at, name of the disk)"""


def _socket(loop: Loop, driver: Driver, at: Path, name: str) -> ShownDisk:
    at.parent.mkdir(parents=True, exist_ok=True)
    return NbdFrontend(loop, driver, at, name)


def _fuse(loop: Loop, driver: Driver, at: Path, name: str) -> ShownDisk:
    del name  # the file has the name that AT gives it
    return FuseFrontend(loop, driver, at)


def _loop(loop: Loop, driver: Driver, at: Path, name: str) -> ShownDisk:
    at.parent.mkdir(parents=True, exist_ok=True)
    file = file_of_loop(at, name)
    return LoopFrontend(loop, driver, at, file, lambda file: FuseFrontend(loop, driver, file))


def file_of_loop(at: Path, name: str) -> Path:
    """Give the file below the loop device: in a hidden mount beside the link."""
    return at.absolute().with_name(f".{at.name}.fuse") / name


def _nbd(loop: Loop, driver: Driver, at: Path, name: str) -> ShownDisk:
    at.parent.mkdir(parents=True, exist_ok=True)
    return NbdKernelFrontend(loop, driver, at, name)


FRONTENDS: dict[str, Opener] = {"socket": _socket, "nbd": _nbd, "fuse": _fuse, "loop": _loop}
"""SHOW -> how it is opened."""


def open_frontend(show: str, loop: Loop, driver: Driver, at: Path, name: str) -> ShownDisk:
    """Show the disk `name`, which `driver` carries, at the place `at`, in the way `show`.

    Raises:
        OSError: EINVAL, there is no such way; or what the front-end says of this place and this machine.

    """
    opener = FRONTENDS.get(show)
    if opener is None:
        raise OSError(errno.EINVAL, f"{name}: a disk is shown as {', '.join(FRONTENDS)}, not as {show}")
    return opener(loop, driver, at, name)
