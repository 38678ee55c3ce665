"""The persisted copy of a zero map: STATE/zero/<uuid>.map.

Two copies of the map lie in the file, one behind the other, each padded to whole pages. A save writes the
copy whose turn it is (sequence number, even or odd) and syncs; the other copy, the newest good one, is not
touched. So a save that is cut anywhere leaves the former map. Loading takes the copy with a right CRC and the
highest sequence number.

A map of another size is a whole new file. It is prepared beside the old one, and counts once it is published: whatever
fails before that leaves the old one, and whoever has it open, as they were.

    COPY: OFFSET SIZE MEANING
      0  8  magic "NSUZERO" and a NUL
      8  4  version of this layout: 1
     12  4  CRC32C of the copy, from offset 16 on to the end of the bits
     16 16  uuid of the range
     32  8  blocks of 512 bytes that the map covers
     40  8  bytes of the partition for each bit
     48  8  sequence number
     56  8  bytes of bits that follow
     64  n  bits: bit i is bit (i mod 8) of byte (i div 8); 1: chunk i is ours, 0: it reads as zeros
    little-endian
"""

import os
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from uuid import UUID

from protocol.crc import crc32c
from serverside.errors import StateError

MAGIC = b"NSUZERO\0"
VERSION = 1
PAGE_BYTES = 4096
_FRONT = Struct("<8sII")
_BODY = Struct("<16sQQQQ")

assert _FRONT.size == 16
assert _FRONT.size + _BODY.size == 64


@dataclass(frozen=True, slots=True)
class ZeroImage:
    """One state of a zero map."""

    uuid: UUID
    blocks: int
    chunk_bytes: int
    sequence: int
    bits: bytes


def encode(image: ZeroImage) -> bytes:
    """Give one copy, padded to whole pages."""
    sizes = (image.blocks, image.chunk_bytes, image.sequence, len(image.bits))
    body = _BODY.pack(image.uuid.bytes, *sizes) + image.bits
    copy = _FRONT.pack(MAGIC, VERSION, crc32c(body)) + body
    return copy + bytes(-len(copy) % PAGE_BYTES)


def decode(copy: bytes) -> ZeroImage | None:
    """Read one copy; None if it is not whole."""
    if len(copy) < _FRONT.size + _BODY.size:
        return None
    magic, version, crc = _FRONT.unpack_from(copy)
    uuid, blocks, chunk_bytes, sequence, bits_bytes = _BODY.unpack_from(copy, _FRONT.size)
    end = _FRONT.size + _BODY.size + bits_bytes
    if (magic, version) != (MAGIC, VERSION) or end > len(copy) or crc != crc32c(copy[_FRONT.size : end]):
        return None
    return ZeroImage(UUID(bytes=uuid), blocks, chunk_bytes, sequence, copy[end - bits_bytes : end])


class ZeroFile:
    """The file of one zero map. `load` or `prepare` comes first; one process at a time saves."""

    def __init__(self, folder: Path, uuid: UUID) -> None:
        self.path = folder / f"{uuid}.map"
        self.live_path = folder / f"{uuid}.live"
        self.next_live_path = folder / f"{uuid}.live-next"
        """Of a map that is not published yet."""
        self.uuid = uuid
        self.fd = -1
        self._fresh = self.path.with_suffix(".new")
        self._is_prepared = False

    def load(self) -> ZeroImage | None:
        """Give the newest good map; None if there is no file yet; StateError if neither copy is good."""
        try:
            self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        self._settle()
        size_bytes = os.fstat(self.fd).st_size
        whole = os.pread(self.fd, size_bytes, 0)
        copies = [decode(whole[: size_bytes // 2]), decode(whole[size_bytes // 2 :])]
        good = [image for image in copies if image is not None and image.uuid == self.uuid]
        if not good:
            raise StateError(
                f"{self.path} is damaged: neither of its two copies is whole. It says which blocks of a ZERO "
                "partition were written. Restore it from a backup; if it is removed, all of it reads as zeros"
            )
        return max(good, key=lambda image: image.sequence)

    def _settle(self) -> None:
        """Sync what is about to be read: a killed process may have left a save in the page cache alone, and bits that
        are believed to be on stable storage are not saved again.
        """
        try:
            self.sync()
        except OSError as error:
            raise StateError(
                f"{self.path} can't be synced: {error.strerror}. It says which blocks of a ZERO partition were "
                "written; make room and order in STATE, then start the NSU again"
            ) from error

    def save(self, image: ZeroImage) -> None:
        """Write the copy whose turn it is and sync it. The size must be that of the last load or prepare."""
        copy = encode(image)
        self.write(copy, image.sequence % 2 * len(copy))
        self.sync()

    def prepare(self, image: ZeroImage) -> None:
        """Write a whole new file, for a map whose size is new, or where there is none. `publish` makes it count."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.close()
        self.fd = os.open(self._fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._is_prepared = True
        copy = encode(image)
        self.write(copy + copy, 0)
        self.sync()

    def publish(self) -> None:
        """Put what was prepared in place of the old file, or of none. Nothing to do when nothing was prepared."""
        if self._is_prepared:
            os.rename(self._fresh, self.path)
            self._is_prepared = False
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def discard(self) -> None:
        """Throw away what was prepared, and close the file."""
        self.close()
        if self._is_prepared:
            self._fresh.unlink(missing_ok=True)
        self.next_live_path.unlink(missing_ok=True)

    def write(self, data: bytes, offset_bytes: int) -> None:
        """Write all of `data`."""
        done = 0
        while done < len(data):
            done += os.pwrite(self.fd, data[done:], offset_bytes + done)

    def sync(self) -> None:
        """Put the file onto stable storage."""
        os.fdatasync(self.fd)

    def remove(self) -> None:
        """Forget the map. Harmless when there is none."""
        self.path.unlink(missing_ok=True)
        self.live_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the file. Harmless when done before."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1
