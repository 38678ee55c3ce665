"""Loop devices: /dev/loopN over a file, by ioctl (linux/loop.h), as losetup(8) does it.

Everything here may read from or write to the file, and blocks until whoever serves the file has answered: partitions
are read when a device is attached, and what the kernel holds dirty of it is written when it is let go. So the process
that serves the file calls this beside its loop (aside.py), never in it.
"""

import contextlib
import errno
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

_CLR_FD = 0x4C01
_SET_CAPACITY = 0x4C07
_CONFIGURE = 0x4C0A
_GET_FREE = 0x4C82

_READ_ONLY, _PARTSCAN, _DIRECT_IO = 1, 8, 16
"""LO_FLAGS_…."""
_INFO = struct.Struct("=5Q4I64s64s32s2Q")
"""struct loop_info64: device, inode, rdevice, offset, sizelimit; number, encryption (2), flags; names, key, init."""
_CONFIG = struct.Struct(f"=II{_INFO.size}s64x")
"""struct loop_config: fd, block_size, info, 8 reserved words."""
_NAME_BYTES = 63
BLOCK_BYTES = 512
_TRIES = 20


def attach(file: Path, *, read_only: bool) -> Path:
    """Attach a free device to `file`, direct, with its partitions; give the device.

    Raises:
        OSError: there are no loop devices here, or none for this user; or the file cannot be opened.

    """
    flags = _DIRECT_IO | _PARTSCAN | (_READ_ONLY if read_only else 0)
    info = _INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, flags, os.fsencode(file)[:_NAME_BYTES], b"", b"", 0, 0)
    backing = os.open(file, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    try:
        return _take_free(_CONFIG.pack(backing, BLOCK_BYTES, info))
    finally:
        os.close(backing)


def _take_free(config: bytes) -> Path:
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _ in range(_TRIES):
            device = Path(f"/dev/loop{fcntl.ioctl(control, _GET_FREE)}")
            try:
                _ask(device, _CONFIGURE, config)
            except OSError as error:
                if error.errno == errno.EBUSY:
                    continue  # another was faster
                raise
            return device
    finally:
        os.close(control)
    raise OSError(errno.EBUSY, "others were faster at every free loop device")


def _ask(device: Path, number: int, argument: bytes | int = 0) -> None:
    # Reading and writing is asked for, or the kernel would configure the device read-only.
    descriptor = os.open(device, (os.O_RDWR if number == _CONFIGURE else os.O_RDONLY) | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, number, argument)
    finally:
        os.close(descriptor)


def detach(device: Path) -> None:
    """Let the device go, now, or when its last user does (a mounted one stays until it is unmounted)."""
    try:
        _ask(device, _CLR_FD)
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENOENT):  # it is gone already
            raise


def is_attached(device: Path) -> bool:
    """Whether it is attached to anything; asks sysfs only."""
    return (_sysfs(device) / "backing_file").exists()


def grow(device: Path, file: Path) -> None:
    """Have the device take its size from the file again."""
    os.stat(file)  # asks for the size, so that the kernel knows it before it looks
    _ask(device, _SET_CAPACITY)


def is_direct(device: Path) -> bool:
    """Whether it reads and writes past the page cache."""
    return (_sysfs(device) / "dio").read_text().strip() == "1"


def left_behind(file: Path, link: Path) -> Iterator[Path]:
    """Devices over `file` whose server is dead; none while `file` is served. `link` led to the last one.

    The kernel is not asked by ioctl: of a device over a dead file it would say ENOTCONN.
    """
    if _is_served(file):
        return
    shown = Path(os.path.realpath(file.parent)) / file.name
    unmounted = Path("/") / file.name  # what the kernel shows when the mount around the file was taken away
    linked = _target(link)
    for entry in sorted(Path("/sys/block").glob("loop*/loop/backing_file")):
        device = Path("/dev") / entry.parent.parent.name
        with contextlib.suppress(OSError):  # it went while we looked
            backing = Path(entry.read_text().strip())
            if backing == shown or (backing == unmounted and device == linked):
                yield device


def _target(link: Path) -> Path | None:
    try:
        return link.readlink()
    except OSError:
        return None


def _is_served(file: Path) -> bool:
    try:
        file.stat()
    except OSError:
        return False
    return True


def _sysfs(device: Path) -> Path:
    return Path("/sys/block") / device.name / "loop"
