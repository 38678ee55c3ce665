"""Folders to mount on: what a killed process left is cleared, an empty folder is demanded, a mount is taken away.

A FUSE mount whose process is gone answers ENOTCONN at once; one whose process is stopped does not answer, and is
waited for a while only. What is mounted where is asked of /proc/self/mountinfo, which always answers.
"""

import ctypes
import errno
import os
import subprocess
from pathlib import Path

from hostside.frontends.aside import Aside

FILE_SYSTEM = "nsu"
"""Mounts are of type fuse.nsu, so that everybody sees whose they are."""
_FORCE, _DETACH = 0x1, 0x2
"""MNT_FORCE, MNT_DETACH of umount2(2)."""
_HELPER_S = 3.0
_ANSWER_S = 3.0

_libc = ctypes.CDLL(None, use_errno=True)


def is_mounted(folder: Path) -> bool:
    """Whether one of ours is mounted on `folder`; asks nobody but the kernel's list."""
    wanted = os.fspath(folder)
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
        return any(_is_ours(line) and _mount_point(line) == wanted for line in mounts)


def _is_ours(line: str) -> bool:
    return line.partition(" - ")[2].startswith(f"fuse.{FILE_SYSTEM} ")


def _mount_point(line: str) -> str:
    raw = line.split(" ")[4].encode("utf-8", "surrogateescape")
    for octal, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
        raw = raw.replace(octal, byte)
    return os.fsdecode(raw)


def prepare(folder: Path) -> None:
    """Have `folder` there, empty, with nothing of a dead process on it.

    Raises:
        OSError: EADDRINUSE when a living process shows a disk there; ENOTEMPTY when something lies in it.

    """
    clear_dead(folder)
    folder.mkdir(parents=True, exist_ok=True)
    held = os.listdir(folder)
    if held:
        raise OSError(errno.ENOTEMPTY, f"{folder} holds {held[0]}; a disk's file needs an empty folder of its own")


def clear_dead(folder: Path) -> None:
    """Take away what a process that was killed has left mounted. Raises EADDRINUSE: a living one serves it."""
    if is_mounted(folder):
        if _answers(folder):
            raise OSError(
                errno.EADDRINUSE, f"another process shows a disk in {folder}; stop it, or name another folder"
            )
        unmount(folder)


def _answers(folder: Path) -> bool:
    """Whether a living process serves the mount; one that does not answer in time counts as living."""

    def ask() -> None:
        os.stat(folder)

    asking = Aside(ask)
    return not asking.join(_ANSWER_S) or asking.error is None


def unmount(folder: Path) -> None:
    """Take a mount away at once: its users get errors, whoever serves it is let go. Harmless when there is none."""
    if _libc.umount2(os.fsencode(folder), _FORCE | _DETACH) == 0:
        return
    if ctypes.get_errno() == errno.EPERM and is_mounted(folder):  # mounted by the helper for ordinary users
        command = ["fusermount3", "-u", "-z", "--", os.fspath(folder)]
        subprocess.run(command, capture_output=True, timeout=_HELPER_S, check=False)
