"""Clear away what a disk's process that was killed has left: a socket file, a mount, a device, a link.

Nothing that a living process serves is touched. Each front-end does the same at its start; this is for a disk that is
not to start again.
"""

import contextlib
from collections.abc import Callable

from hostside.frontends import loop_device
from hostside.frontends.fuse_mount import clear_dead
from hostside.frontends.listener import remove_stale
from hostside.frontends.nbd_kernel import detach_dead
from hostside.frontends.open import Showing, file_of_loop, identifier_of


def _socket(showing: Showing) -> None:
    remove_stale(showing.disk.at)


def _fuse(showing: Showing) -> None:
    clear_dead(showing.disk.at.absolute().parent)


def _loop(showing: Showing) -> None:
    disk = showing.disk
    file = file_of_loop(disk.at, disk.name)
    devices = list(loop_device.left_behind(file, disk.at))
    for device in devices:
        loop_device.detach(device)
    clear_dead(file.parent)
    with contextlib.suppress(OSError):
        file.parent.rmdir()
    if disk.at.is_symlink() and disk.at.readlink() in devices:
        disk.at.unlink()


def _nbd(showing: Showing) -> None:
    detach_dead(identifier_of(showing), showing.disk.at)


SWEEPS: dict[str, Callable[[Showing], None]] = {
    "socket": _socket,
    "fuse": _fuse,
    "loop": _loop,
    "nbd": _nbd,
}


def sweep(showing: Showing) -> None:
    """Clear away what is left of the disk; what cannot be cleared away stays."""
    with contextlib.suppress(OSError):
        SWEEPS[showing.disk.show](showing)
