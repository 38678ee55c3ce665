"""The Unix socket that a front-end listens on: made in place of a dead one, never of a living one."""

import errno
import os
import socket
import stat
from pathlib import Path

BACKLOG = 128


def listen(at: Path, mode: int) -> socket.socket:
    """Make a nonblocking listener at `at`, whose file has the permission bits `mode` from its first instant.

    Raises:
        FileExistsError: something that is no socket is there.
        OSError: EADDRINUSE when a living process serves there; or no socket can be made there.

    """
    _remove_stale(at)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    umask = os.umask(0o777 & ~mode)  # so that the file never has a wider mode, not for an instant
    try:
        listener.bind(os.fspath(at))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"no socket can be made at {at}: {error.strerror or error}") from error
    finally:
        os.umask(umask)
    return listener


def _remove_stale(at: Path) -> None:
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
        status = at.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
