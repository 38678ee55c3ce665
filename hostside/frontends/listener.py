"""The Unix socket that a front-end listens on: made in place of a dead one, never of a living one.

Nobody reaches it who will not in the end, not for an instant: it is made with no permission bits at all, then given to
its owner, then given its mode, and only then listened on. (Mode first, and the old owner's group could connect; the
mode by umask, and a new owner without rights could.) It is held by a descriptor meanwhile, so that in a folder that
another user may write nothing put in its place is given away.
"""

import errno
import os
import socket
import stat
from pathlib import Path

from hostside.frontends.base import OWN

BACKLOG = 128


def listen(at: Path, mode: int, owner: tuple[int, int] = OWN) -> socket.socket:
    """Make a nonblocking listener at `at`, whose file has the permission bits `mode` and belongs to `owner`.

    Raises:
        FileExistsError: something that is no socket is there.
        OSError: EADDRINUSE when a living process serves there; EPERM when this process may not give a file to `owner`;
            or no socket can be made there.

    """
    remove_stale(at)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        made = _bind_shut(listener, at)
        try:
            _hand_over(made, mode, owner)
            listener.listen(BACKLOG)
        except OSError:
            remove(at, _identity(os.fstat(made)))
            raise
        finally:
            os.close(made)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"no socket can be made at {at}: {error.strerror or error}") from error
    return listener


def _bind_shut(listener: socket.socket, at: Path) -> int:
    """Make the file, without any permission; give a descriptor of just this file, wherever its name will lead."""
    umask = os.umask(0o777)
    try:
        listener.bind(os.fspath(at))
    finally:
        os.umask(umask)
    made = os.open(at, os.O_PATH | os.O_NOFOLLOW)
    status = os.fstat(made)
    if stat.S_ISSOCK(status.st_mode) and not stat.S_IMODE(status.st_mode):
        return made
    os.close(made)
    raise FileExistsError(errno.EEXIST, "somebody has put something else there")


def _hand_over(made: int, mode: int, owner: tuple[int, int]) -> None:
    itself = f"/proc/self/fd/{made}"  # chmod(2) has no other way not to follow links
    try:
        os.chown(itself, *owner)
        os.chmod(itself, mode)
    except PermissionError as error:
        whom = [f"{what} {number}" for what, number in zip(("user", "group"), owner, strict=True) if number >= 0]
        raise PermissionError(error.errno, f"this user may not give it to {' and '.join(whom)}") from error


def remove_stale(at: Path) -> None:
    """Remove the socket file of a process that is dead."""
    try:
        status = at.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(errno.EEXIST, f"{at} is no socket and stays; name another place, or move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        result = probe.connect_ex(os.fspath(at))
    if result != errno.ECONNREFUSED:
        raise OSError(errno.EADDRINUSE, f"another process serves at {at}; stop it, or name another place")
    at.unlink()


def identity(at: Path) -> tuple[int, int] | None:
    """Give what tells a file from another that has taken its place; None: nothing is there."""
    try:
        return _identity(at.lstat())
    except OSError:
        return None


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def remove(at: Path, made: tuple[int, int] | None) -> None:
    """Remove the socket file that was `made` here, unless another has taken its place.

    While its listener is open no other file can have its identity; so close the listener afterwards.
    """
    if made is not None and identity(at) == made:
        at.unlink()
