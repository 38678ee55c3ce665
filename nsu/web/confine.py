"""Gives up what the pages' process does not need of the file system, by Linux's Landlock (5.13 and later).

Afterwards it can open no drive: it may write below STATE and in nsu.conf's folder alone, and read there, in the folders
of the system's programs, in /etc and /proc, where secrets and certificates are, and where Python and we are. This holds
for root too, for all threads that are made later, and for whatever might take the process over. A kernel without
Landlock leaves it out; we say so.

Source: linux/landlock.h, landlock(7). The numbers of the system calls are the same on all architectures.
"""

import ctypes
import os
import struct
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nsu.conf import keys
from nsu.conf.load import read_text
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Document
from nsu.say import say

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH, SET_NO_NEW_PRIVILEGES = 1, 1, 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
READ = READ_FILE | READ_DIR
IN_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Landlock's version -> all rights on files that it knows; later ones know no more of them."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
"""The rights that make sense for what is no folder."""
MAKE_DEVICES = 1 << 6 | 1 << 11
"""MAKE_CHAR, MAKE_BLOCK: a device node is a way to a drive."""
DEVICES_IOCTL = 1 << 15


class Needed(NamedTuple):
    """Folders and files that stay open."""

    to_read: Sequence[Path]
    to_write: Sequence[Path]


def folders_needed(conf_path: Path, machine: MachineSettings) -> Needed:
    """Give what the process of this machine needs; of secrets and certificates the folders, for they are renewed."""
    ours = Path(__file__).resolve().parents[2]
    python = (sys.prefix, sys.base_prefix, sys.exec_prefix, *(folder for folder in sys.path if folder))
    to_read = [ours, *map(Path, ("/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/run/systemd/resolve", *python))]
    devices = [Path("/dev/null"), Path("/dev/urandom")]
    to_read += [path.parent for path in (*(machine.web_tls or ()), *secret_files(conf_path))]
    return Needed(to_read, [machine.state_dir, conf_path.resolve().parent, *devices])


def secret_files(conf_path: Path) -> list[Path]:
    """Give the SECRET_FILEs that nsu.conf names now: a change of it is checked with them."""
    blocks = Document(read_text(conf_path)).blocks
    entries = [entry for block in blocks for entry in block.entries if entry.key == keys.HOST_SECRET_FILE.name]
    return [Path(entry.value) for entry in entries]


def confine(needed: Needed) -> bool:
    """Give up all else. False: the kernel has no Landlock, and nothing has changed. Raises OSError."""
    version = _call(CREATE_RULESET, None, 0, VERSION_FLAG)
    if version < 1:
        say("nsu: web: this kernel has no Landlock: that the pages' process opens no drive is only its habit")
        return False
    rights = IN_VERSION[min(version, max(IN_VERSION))]
    ruleset = _checked(_call(CREATE_RULESET, struct.pack("=Q", rights), 8, 0))
    try:
        for path in needed.to_read:
            _allow(ruleset, path, rights & READ)
        for path in needed.to_write:
            _allow(ruleset, path, rights & ~(MAKE_DEVICES | DEVICES_IOCTL | EXECUTE))
        _checked(_libc.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(_call(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what is not there is not needed
    try:
        rights &= -1 if path.is_dir() else OF_FILES
        _checked(_call(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


_libc = ctypes.CDLL(None, use_errno=True)


def _call(number: int, *arguments: int | bytes | None) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return int(_libc.syscall(ctypes.c_long(number), *words))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"Landlock: {os.strerror(number)}")
    return result
