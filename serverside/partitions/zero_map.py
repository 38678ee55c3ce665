"""ZERO = yes: which chunks of a range of an array are ours, and which still hold somebody else's bytes.

A chunk (1 MiB, more for large ranges) has one bit. 0: not yet ours; it reads as zeros and the drive is not
touched. 1: it was zeroed on the drive, then perhaps written; it is read and written as it is. A bit only ever
goes from 0 to 1.

Who does what
  * The live bits are in shared memory, made before the forks. Every process reads them. They outlive all
    processes, not the machine (zero_live.py): whoever starts after a kill -9 finds what was acknowledged.
  * One owner, the array's driver process, changes them: the first write to a chunk goes there (`claim`).
  * TRIM and WRITE ZEROES of chunks that are not ours have nothing to do: such chunks read as zeros already.

The order of things (trap: an interrupted zeroing must not leak, a flushed write must not be lost)
  claim:   count the change, zero the chunk on the drive, set the live bit; only then may anyone write to it.
  persist: note the count, take a snapshot of the live bits, SYNC THE DRIVES, save the snapshot and sync it,
  publish
           the noted count. Only then is the FLUSH (or the durable write) that wanted this acknowledged.
So a persisted 1 always means that the zeroing is on stable storage: after a crash no old data shows. And
whatever was flushed lies in chunks whose bits are persisted: it never turns to zeros. Where a crash falls
between the two, a chunk goes back to zeros together with writes that nobody flushed.

`dirty` is told by two counters: changes made and changes persisted. The change is counted BEFORE the bit is
set: an owner that dies between the two costs one save too many, never one too few. No lock: the owner alone
writes, each counter is one aligned 8-byte store, and a reader that sees an old bit gives the answer of the
moment before.

    SHARED MEMORY: OFFSET SIZE MEANING
      0  8  changes made
      8  8  changes persisted
     16  8  sequence number of the newest persisted copy
     24  8  1: the file could not be synced; it is not trusted any more
     32  n  live bits
"""

import errno
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID

from protocol.limits import BLOCK_BYTES
from serverside.drives.base import DriveError
from serverside.partitions.zero_file import ZeroFile, ZeroImage
from serverside.partitions.zero_live import NO_BOOT, make_memory, surviving_memory

CHUNK_BYTES_MIN: Final = 1 << 20
BITS_BYTES_MAX: Final = 64 << 10
"""The map is written whole at each save, so it stays small: 512 GiB at the smallest chunk."""
_BITS_AT: Final = 32
_MADE, _PERSISTED, _SEQUENCE, _BROKEN = range(4)

Zero = Callable[[int, int], None]
"""Zero (offset_bytes, length_bytes) of the range on its drives."""
Sync = Callable[[], None]
"""Sync the drives under the range."""


def chunk_bytes_for(blocks: int) -> int:
    """Give the chunk size of a range: the smallest power of two whose map is small enough."""
    chunk_bytes = CHUNK_BYTES_MIN
    while blocks * BLOCK_BYTES > chunk_bytes * BITS_BYTES_MAX * 8:
        chunk_bytes *= 2
    return chunk_bytes


def fresh_image(uuid: UUID, blocks: int) -> ZeroImage:
    """Make the map of a range of which nothing is ours yet."""
    chunk_bytes = chunk_bytes_for(blocks)
    chunks = -(-blocks * BLOCK_BYTES // chunk_bytes)
    return ZeroImage(uuid, blocks, chunk_bytes, 1, bytes(-(-chunks // 8)))


def resized_image(old: ZeroImage, blocks: int) -> tuple[ZeroImage, list[tuple[int, int]]]:
    """Carry a map over to a range of another size: the new map, and what to zero BEFORE it is saved.

    A new chunk is ours if any part of it was; its other parts (chunks not ours, or beyond the old end) then
    need zeroing. Returns (offset_bytes, length_bytes) pairs. Pure.
    """
    fresh = fresh_image(old.uuid, blocks)
    old_end, end = old.blocks * BLOCK_BYTES, blocks * BLOCK_BYTES
    bits = bytearray(fresh.bits)
    for index in _ones(old.bits):
        first = index * old.chunk_bytes
        last = min(first + old.chunk_bytes, old_end, end) - 1
        for chunk in range(first // fresh.chunk_bytes, last // fresh.chunk_bytes + 1) if last >= first else ():
            bits[chunk // 8] |= 1 << chunk % 8
    zeroes = []
    for chunk in _ones(bits):
        at, stop = chunk * fresh.chunk_bytes, min((chunk + 1) * fresh.chunk_bytes, end)
        while at < stop:
            piece_end = min(stop, _next_border(at, old.chunk_bytes, old_end))
            if at >= old_end or not _bit(old.bits, at // old.chunk_bytes):
                zeroes.append((at, piece_end - at))
            at = piece_end
    return ZeroImage(old.uuid, blocks, fresh.chunk_bytes, old.sequence + 1, bytes(bits)), zeroes


def open_zero_map(file: ZeroFile, blocks: int, zero: Zero, sync: Sync, boot: bytes = NO_BOOT) -> "ZeroMap":
    """Prepare a map and publish it, where no other depends on it. StateError, DriveError, OSError."""
    zero_map = prepare_zero_map(file, blocks, zero, sync, boot)
    zero_map.zero_what_is_new()
    zero_map.publish()
    return zero_map


def prepare_zero_map(file: ZeroFile, blocks: int, zero: Zero, sync: Sync, boot: bytes = NO_BOOT) -> "ZeroMap":
    """Load or make a map; carry it over if the range has another size now. StateError, OSError.

    `boot`: live bits that were left by killed processes of the same boot are believed; NO_BOOT: none are.

    Files and drives stay as they are. Before anybody uses the map come `zero_what_is_new` and `publish`, or else
    `discard`: a map of the same range that is in use is good until then, and the whole change may still be refused.
    """
    try:
        image = file.load()
        if image is None:
            image = fresh_image(file.uuid, blocks)
            file.prepare(image)
            return ZeroMap(file, image, zero, sync, image.bits, boot)
        bits = surviving_bits(file, image, boot)
        if image.blocks == blocks:
            return ZeroMap(file, image, zero, sync, bits, boot)
        image, new = resized_image(replace(image, bits=bits), blocks)
        file.prepare(image)
        return ZeroMap(file, image, zero, sync, image.bits, boot, new)
    except Exception:
        file.discard()
        raise


def surviving_bits(file: ZeroFile, image: ZeroImage, boot: bytes) -> bytes:
    """Give the bits as the last process saw them, as far as they can be believed; at least the persisted ones."""
    memory = surviving_memory(file.live_path, image, boot, _BITS_AT + len(image.bits))
    if memory is None:
        return image.bits
    sequence = int.from_bytes(memory[_SEQUENCE * 8 : _SEQUENCE * 8 + 8], sys.byteorder)
    # A save counts itself when it is done, so the file is at most one ahead; else somebody has put back another.
    if not sequence <= image.sequence <= sequence + 1:
        return image.bits
    return bytes(ours | saved for ours, saved in zip(memory[_BITS_AT:], image.bits, strict=True))


class ZeroMap:
    """The live map of one range, shared by all processes forked later. Offset 0 is the range's start."""

    def __init__(
        self,
        file: ZeroFile,
        image: ZeroImage,
        zero: Zero,
        sync: Sync,
        bits: bytes,
        boot: bytes = NO_BOOT,
        new: Sequence[tuple[int, int]] = (),
    ) -> None:
        self.file = file
        self.uuid = image.uuid
        self.blocks = image.blocks
        self.chunk_bytes = image.chunk_bytes
        self._end_bytes = image.blocks * BLOCK_BYTES
        self._zero = zero
        self._sync = sync
        self._new = new
        """(offset_bytes, length_bytes) that the map says are ours, and are not yet zeroed."""
        memory = make_memory(file.next_live_path, image, boot, _BITS_AT + len(bits))
        self._counters = memory[:_BITS_AT].cast("Q")
        self._bits = memory[_BITS_AT:]
        self._bits[:] = bits
        self._counters[_SEQUENCE] = image.sequence
        self._counters[_MADE] = bits != image.bits

    def zero_what_is_new(self) -> None:
        """Zero what this map took in with its new size, and sync the drives. Raise DriveError."""
        for offset_bytes, length_bytes in self._new:
            self._zero(offset_bytes, length_bytes)
        if self._new:
            self._sync()
        self._new = ()

    def publish(self) -> None:
        """Have this map count from now on, also after a crash. Raise OSError."""
        assert not self._new, "it says that more is ours than was zeroed"
        self.file.publish()
        os.rename(self.file.next_live_path, self.file.live_path)

    def discard(self) -> None:
        """Leave no trace of a map that was not published."""
        self.file.discard()

    @property
    def dirty(self) -> bool:
        """Whether live bits may be ahead of the persisted ones."""
        return self._counters[_MADE] != self._counters[_PERSISTED]

    @property
    def live_end_bytes(self) -> int:
        """Where the last chunk that is ours ends: nothing behind it was ever written."""
        bits = bytes(self._bits).rstrip(b"\0")
        chunks = (len(bits) - 1) * 8 + bits[-1].bit_length() if bits else 0
        return min(chunks * self.chunk_bytes, self._end_bytes)

    def is_live(self, offset_bytes: int, length_bytes: int) -> bool:
        """Whether every chunk that the bytes touch is ours."""
        first, last = self._chunks(offset_bytes, length_bytes)
        bits = self._bits
        return all(bits[chunk >> 3] >> (chunk & 7) & 1 for chunk in range(first, last + 1))

    def runs(self, offset_bytes: int, length_bytes: int) -> Iterator[tuple[bool, int, int]]:
        """Cut bytes into runs: (live, offset_bytes, length_bytes), in their order, as the bits are now."""
        first, last = self._chunks(offset_bytes, length_bytes)
        end = offset_bytes + length_bytes
        start, live = offset_bytes, _bit(self._bits, first)
        for chunk in range(first + 1, last + 1):
            now = _bit(self._bits, chunk)
            if now != live:
                border = chunk * self.chunk_bytes
                yield live, start, border - start
                start, live = border, now
        yield live, start, end - start

    def claim(self, offset_bytes: int, length_bytes: int) -> None:
        """Owner only: make every chunk that the bytes touch ours. After a DriveError none is half ours."""
        first, last = self._chunks(offset_bytes, length_bytes)
        for chunk in range(first, last + 1):
            if not _bit(self._bits, chunk):
                at = chunk * self.chunk_bytes
                self._counters[_MADE] += 1
                self._zero(at, min(self.chunk_bytes, self._end_bytes - at))
                self._bits[chunk // 8] |= 1 << chunk % 8

    def persist(self) -> None:
        """Owner only: sync the drives, then save every bit that was live before. Raise DriveError."""
        if self._counters[_BROKEN]:
            raise self._file_failed("it could not be synced before")
        made = self._counters[_MADE]
        bits = bytes(self._bits)
        self._sync()
        sequence = self._counters[_SEQUENCE] + 1
        try:
            self.file.save(ZeroImage(self.uuid, self.blocks, self.chunk_bytes, sequence, bits))
        except OSError as error:
            # As with a drive, a sync that failed once may say "good" the next time about data that is lost.
            self._counters[_BROKEN] = 1
            raise self._file_failed(str(error)) from error
        self._counters[_SEQUENCE] = sequence
        self._counters[_PERSISTED] = made

    def _chunks(self, offset_bytes: int, length_bytes: int) -> tuple[int, int]:
        assert 0 <= offset_bytes < offset_bytes + length_bytes <= self._end_bytes
        return offset_bytes // self.chunk_bytes, (offset_bytes + length_bytes - 1) // self.chunk_bytes

    def _file_failed(self, why: str) -> DriveError:
        return DriveError(
            errno.EIO,
            f"{self.file.path}, the map of a ZERO partition, can't be written: {why}; make room and order in "
            "STATE, then restart the NSU",
        )


def _bit(bits: bytes | bytearray | memoryview, index: int) -> bool:
    return bool(bits[index >> 3] >> (index & 7) & 1)


def _ones(bits: bytes | bytearray) -> Iterator[int]:
    for at, byte in enumerate(bits):
        if byte:
            yield from (at * 8 + bit for bit in range(8) if byte >> bit & 1)


def _next_border(at_bytes: int, chunk_bytes: int, old_end_bytes: int) -> int:
    """Where the answer to "was this ours?" may change next."""
    if at_bytes >= old_end_bytes:
        return at_bytes + (1 << 62)
    return min((at_bytes // chunk_bytes + 1) * chunk_bytes, old_end_bytes)
