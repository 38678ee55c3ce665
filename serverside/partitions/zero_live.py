"""The memory in which a zero map's live bits lie: STATE/zero/<uuid>.live, mapped by every process, good for one boot.

Why a file. When all processes of the server are killed at once, what they wrote to the drives lies in the kernel's
page cache, and stays. So must the bits that say that it is ours: else writes that were acknowledged, to hosts that
notice nothing but a pause, would turn to zeros. Anonymous memory goes with its last process; the
pages of a mapped file stay.

Why for one boot only. Nothing orders these pages and the drives' on their way to stable storage: after a power loss
there may be a bit without the zeroing that it stands for, and an earlier owner's data behind it. So the file names the
boot in which it was made (random(4): boot_id), and is believed in no other. Then only what was persisted counts. So it
does when a drive has failed, for its pages may be gone like those of a machine that was down: the file is removed.

    OFFSET SIZE MEANING
      0 16  boot
     16 16  uuid of the range
     32  8  blocks of 512 bytes that the map covers
     40  8  bytes of the partition for each bit
     48  8  bytes of bits
   4096  n  the memory; what is in it is `zero_map.py`'s affair
    native byte order: it never leaves the machine
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from struct import Struct

from serverside.partitions.zero_file import ZeroImage

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_BYTES = 16
NO_BOOT = b""
"""What is made for no boot is believed by none."""
_HEAD = Struct("=16s16sQQQ")
_MEMORY_AT = 4096


def this_boot() -> bytes:
    """Give the name of the time since this machine was started; NO_BOOT where the kernel does not tell."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return NO_BOOT


def make_memory(path: Path, image: ZeroImage, boot: bytes, size_bytes: int) -> memoryview:
    """Make the memory of a map, all zeros, in place of any former one. Raise OSError."""
    fresh = path.with_suffix(".live-new")
    whole_bytes = _MEMORY_AT + size_bytes
    fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        # All of it now: a store into a page for which there is no room would end the process.
        os.posix_fallocate(fd, 0, whole_bytes)
        os.pwrite(fd, _head(image, boot), 0)
        os.rename(fresh, path)
        return memoryview(mmap.mmap(fd, whole_bytes))[_MEMORY_AT:]
    except OSError:
        fresh.unlink(missing_ok=True)  # where there is no room, nothing of it may stay
        raise
    finally:
        os.close(fd)


def surviving_memory(path: Path, image: ZeroImage, boot: bytes, size_bytes: int) -> bytes | None:
    """Give what the memory of this map held when its last process died; None when nobody can vouch for it."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    if boot == NO_BOOT or len(whole) != _MEMORY_AT + size_bytes or whole[: _HEAD.size] != _head(image, boot):
        return None
    return whole[_MEMORY_AT:]


def forget_memories(folder: Path) -> None:
    """See to it that nobody believes any memory in `folder` later; those who have it mapped go on with it."""
    for path in folder.glob("*.live"):
        with suppress(OSError):  # another process was as quick; or there is no writing here, as on a drive that failed
            path.unlink()


def _head(image: ZeroImage, boot: bytes) -> bytes:
    return _HEAD.pack(boot, image.uuid.bytes, image.blocks, image.chunk_bytes, len(image.bits))
