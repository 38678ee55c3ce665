"""The folder that the FUSE library shows: one file in it, the disk. Its methods run in the library's threads.

They look at `Shown`, which the loop's thread keeps up to date; what needs the disk they hand over to the loop.
The names and signatures of the methods are the library's (mfusepy's Operations, `raw_fi`).
"""

import itertools
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from errno import EINVAL, ENOENT, EOPNOTSUPP, ESHUTDOWN
from typing import Protocol

from hostside.frontends.fuse_calls import Call, Handover
from protocol.ops import Op

FILE_MODE = 0o600
REQUEST_BYTES = 1 << 20
"""The most that the kernel asks at once: 256 pages (fs.fuse.max_pages_limit)."""
IN_BACKGROUND = 64
"""Asynchronous requests that the kernel has under way at once; its own default, 12, keeps loop devices waiting."""

_KEEP_SIZE, _PUNCH_HOLE, _ZERO_RANGE = 0x01, 0x02, 0x10
"""FALLOC_FL_…, linux/falloc.h."""
_ZEROING = (_PUNCH_HOLE | _KEEP_SIZE, _ZERO_RANGE | _KEEP_SIZE, _ZERO_RANGE)
_DURABLE = os.O_DSYNC | os.O_SYNC


class OpenFile(Protocol):
    """What this looks at in the library's fuse_file_info."""

    flags: int
    fh: int
    direct_io: bool


class Connection(Protocol):
    """What this sets in the library's fuse_conn_info."""

    max_read: int
    max_write: int
    max_background: int
    congestion_threshold: int


class Config(Protocol):
    """What this sets in the library's fuse_config."""

    entry_timeout: float
    attr_timeout: float


@dataclass(slots=True)
class Shown:
    """What is shown. Written by the loop's thread, read by the others; each field stands by itself."""

    name: str
    size_bytes: int
    mode: int
    """Permission bits of the file."""
    uid: int
    gid: int
    is_shut: bool = False
    """Nobody new may open it."""

    @property
    def is_for_others(self) -> bool:
        """Somebody beside the user of this process may use the file: the kernel lets nobody else in unasked."""
        return self.uid != os.geteuid() or bool(self.mode & 0o077)

    @property
    def folder_mode(self) -> int:
        """Whoever may use the file may look into its folder; nobody may write there."""
        return sum(0o5 << shift for shift in (0, 3, 6) if self.mode >> shift & 0o6)


class Folder:
    """The operations of the file system. Each raises OSError with the errno that the kernel is to be told."""

    use_ns = True
    """Times are nanoseconds (for the library)."""

    def __init__(self, shown: Shown, handover: Handover, on_up: Callable[[], None]) -> None:
        self.handles: set[int] = set()
        self._shown = shown
        self._carry = handover.carry
        self._on_up = on_up
        self._numbers = itertools.count(1)
        self._made_ns = time.time_ns()

    def init_with_config(self, connection: Connection, config: Config) -> None:
        """Tell the kernel how much it may ask at once, and to ask for the size each time: disks grow."""
        connection.max_read = connection.max_write = REQUEST_BYTES
        connection.max_background = connection.congestion_threshold = IN_BACKGROUND
        config.attr_timeout = 0.0
        self._on_up()

    # -- names ---------------------------------------------------------------------------------------------------

    def getattr(self, path: str, handle: object = None) -> dict[str, int]:
        del handle
        times = dict.fromkeys(("st_atime", "st_mtime", "st_ctime"), self._made_ns)
        owner = {"st_uid": self._shown.uid, "st_gid": self._shown.gid}
        if path == "/":
            return {"st_mode": stat.S_IFDIR | self._shown.folder_mode, "st_nlink": 2, **owner, **times}
        if path != f"/{self._shown.name}":
            raise OSError(ENOENT, f"there is no {path}; there is /{self._shown.name}")
        size = self._shown.size_bytes
        mode = stat.S_IFREG | self._shown.mode
        return {"st_mode": mode, "st_nlink": 1, "st_size": size, "st_blocks": size // 512, **owner, **times}

    def readdir(self, path: str, handle: object) -> list[str]:
        del path, handle
        return [".", "..", self._shown.name]

    def truncate(self, path: str, length: int, handle: object = None) -> int:
        """A disk keeps its size: as on block devices, O_TRUNC is without effect and another size is EINVAL."""
        del path, handle
        if length != self._shown.size_bytes:
            raise OSError(EINVAL, f"a disk of {self._shown.size_bytes} bytes cannot be made {length} bytes")
        return 0

    def chmod(self, path: str, mode: int) -> int:
        del path, mode
        raise OSError(EOPNOTSUPP, "the file's mode is what it is")

    def utimens(self, path: str, times: object = None) -> int:
        """`touch` and `cp -p` need not fail; there is nowhere to keep it."""
        del path, times
        return 0

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, path: str, file: OpenFile) -> int:
        """Every user reads and writes through: the kernel keeps no pages of the file, dirty ones least of all."""
        del path
        if self._shown.is_shut:
            raise OSError(ESHUTDOWN, "the disk is being taken away")
        file.direct_io = True
        if hasattr(file, "parallel_direct_writes"):  # libfuse 3.15 and later
            file.parallel_direct_writes = True
        file.fh = next(self._numbers)
        self.handles.add(file.fh)
        return 0

    def release(self, path: str, file: OpenFile) -> int:
        del path
        self.handles.discard(file.fh)
        return 0

    # -- the disk ------------------------------------------------------------------------------------------------

    def read(self, path: str, length_bytes: int, offset_bytes: int, file: OpenFile) -> bytes:
        del path, file
        return self._carry(Call(_READ, offset_bytes, length_bytes))

    def write(self, path: str, data: bytes, offset_bytes: int, file: OpenFile) -> int:
        del path
        call = Call(_WRITE, offset_bytes, len(data), data, fua=bool(file.flags & _DURABLE))
        self._carry(call)
        return call.length_bytes

    def fsync(self, path: str, datasync: int, file: OpenFile) -> int:
        del path, datasync, file
        self._carry(Call(_FLUSH, 0, 0))
        return 0

    def flush(self, path: str, file: OpenFile) -> int:
        """At each close of a file that was open for writing; a unit that has no FLUSH fails fsync, not close."""
        if file.flags & os.O_ACCMODE == os.O_RDONLY:
            return 0
        try:
            return self.fsync(path, 0, file)
        except OSError as error:
            if error.errno != EOPNOTSUPP:
                raise
            return 0

    def fallocate(self, path: str, mode: int, offset_bytes: int, length_bytes: int, file: OpenFile) -> int:
        """Punch a hole, or zero a range.

        Both are WRITE ZEROES, which gives the space back where the server can. A hole must read as zeros (fallocate(2);
        the loop device writes zeroes by punching), and TRIM does not promise that.
        """
        del path, file
        if mode not in _ZEROING:
            raise OSError(EOPNOTSUPP, "a disk's blocks are there; holes can be punched and ranges zeroed")
        if offset_bytes + length_bytes > self._shown.size_bytes:
            raise OSError(EINVAL, f"the range goes past the end of the disk, at {self._shown.size_bytes}")
        self._carry(Call(_WRITE_ZEROES, offset_bytes, length_bytes))
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        del path
        return {"f_bsize": 512, "f_frsize": 512, "f_blocks": self._shown.size_bytes // 512, "f_namemax": 255}


_READ = int(Op.READ)
_WRITE = int(Op.WRITE)
_FLUSH = int(Op.FLUSH)
_WRITE_ZEROES = int(Op.WRITE_ZEROES)
