"""The one door to Landlock (Linux 5.13 and later): a process gives up files, and more, for good; root too.

It holds for all threads and children that are made later, and for whatever might take the process over. Descriptors
that are open go on working: what a process needs it opens first. A kernel without Landlock leaves it out; the caller
is told.

Source: linux/landlock.h, landlock(7). The numbers of the system calls are the same on all architectures.
"""

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

from ipc.prctl import forbid_new_privileges

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG, PATH_BENEATH = 1, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
READ = READ_FILE | READ_DIR
IN_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Landlock's version -> all rights on files that it knows; later ones know no more of them."""
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | 1 << 15
"""The rights that make sense for what is no folder."""
MAKE_DEVICES = 1 << 6 | 1 << 11
"""MAKE_CHAR, MAKE_BLOCK: a device node is a way to a drive."""
DEVICES_IOCTL = 1 << 15
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
NETWORK_FROM, SCOPES_FROM = 4, 6
"""Versions that know TCP, and signals and abstract sockets."""
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1


def landlock_version() -> int:
    """Give the version that this kernel has; 0: it has none, or it is switched off."""
    return max(0, _call(CREATE_RULESET, None, 0, VERSION_FLAG))


def restrict_files(to_read: Sequence[Path], to_write: Sequence[Path]) -> bool:
    """Give up all files but what is at and below these. False: no Landlock, and nothing has changed. Raises OSError."""
    return _restrict(to_read, to_write, 0, 0)


def restrict_all(to_read: Sequence[Path], *, connects: bool) -> bool:
    """Give up all files but to read these; TCP but what is open, and to connect if `connects`; signals to others.

    TCP from version 4 on, signals from 6. False: no Landlock, and nothing has changed. Raises OSError.
    """
    return _restrict(to_read, (), BIND_TCP | (0 if connects else CONNECT_TCP), ABSTRACT_SOCKETS | SIGNALS)


def _restrict(to_read: Sequence[Path], to_write: Sequence[Path], network: int, scopes: int) -> bool:
    version = landlock_version()
    if version < 1:
        return False
    rights = IN_VERSION[min(version, max(IN_VERSION))]
    attributes = [rights, *[network] * (version >= NETWORK_FROM), *[scopes] * (version >= SCOPES_FROM)]
    packed = struct.pack(f"={len(attributes)}Q", *attributes)
    ruleset = _checked(_call(CREATE_RULESET, packed, len(packed), 0))
    try:
        for path in to_read:
            _allow(ruleset, path, rights & READ)
        for path in to_write:
            _allow(ruleset, path, rights & ~(MAKE_DEVICES | DEVICES_IOCTL | EXECUTE))
        forbid_new_privileges()
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
