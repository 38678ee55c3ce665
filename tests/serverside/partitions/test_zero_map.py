"""Proved: bits go from 0 to 1 in the right order of I/O, are seen by all processes, and survive a resize."""

import os
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.drives.base import DriveError
from serverside.partitions.zero_file import ZeroFile, ZeroImage
from serverside.partitions.zero_live import NO_BOOT
from serverside.partitions.zero_map import (
    BITS_BYTES_MAX,
    ZeroMap,
    chunk_bytes_for,
    fresh_image,
    open_zero_map,
    resized_image,
)

NAME = UUID(int=77)
MIB = 1 << 20
BLOCKS_A_MIB = MIB // 512


class Log:
    """What the map asked of the drives, in its order."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, int, int]] = []

    def zero(self, offset_bytes: int, length_bytes: int) -> None:
        self.entries.append(("zero", offset_bytes, length_bytes))

    def sync(self) -> None:
        self.entries.append(("sync", 0, 0))


def open_map(folder: Path, blocks: int, log: Log, boot: bytes = NO_BOOT) -> ZeroMap:
    return open_zero_map(ZeroFile(folder, NAME), blocks, log.zero, log.sync, boot)


def test_chunks_grow_with_the_range_so_that_the_map_stays_small() -> None:
    assert chunk_bytes_for(1) == MIB
    assert chunk_bytes_for(512 * 1024 * BLOCKS_A_MIB) == MIB
    assert chunk_bytes_for(512 * 1024 * BLOCKS_A_MIB + 1) == 2 * MIB
    assert len(fresh_image(NAME, (3 << 40) // 512).bits) <= BITS_BYTES_MAX
    assert chunk_bytes_for((3 << 40) // 512) == 8 * MIB


def test_a_claim_zeroes_each_chunk_once_and_stays_inside_the_range(tmp_path: Path) -> None:
    log = Log()
    zero_map = open_map(tmp_path, 2 * BLOCKS_A_MIB + 3, log)
    assert not zero_map.is_live(MIB - 512, 1024)
    zero_map.claim(MIB - 512, 1024)
    assert log.entries == [("zero", 0, MIB), ("zero", MIB, MIB)]
    assert zero_map.is_live(0, 2 * MIB)
    assert not zero_map.is_live(0, 2 * MIB + 512)
    zero_map.claim(0, 2 * MIB + 1536)
    assert log.entries[2:] == [("zero", 2 * MIB, 1536)]
    assert zero_map.dirty


def test_runs_say_what_is_ours(tmp_path: Path) -> None:
    zero_map = open_map(tmp_path, 5 * BLOCKS_A_MIB, Log())
    zero_map.claim(MIB, 2 * MIB)
    zero_map.claim(4 * MIB, 512)
    assert list(zero_map.runs(512, 5 * MIB - 1024)) == [
        (False, 512, MIB - 512),
        (True, MIB, 2 * MIB),
        (False, 3 * MIB, MIB),
        (True, 4 * MIB, MIB - 512),
    ]
    assert list(zero_map.runs(MIB + 512, 512)) == [(True, MIB + 512, 512)]


def test_where_the_last_chunk_of_ours_ends_nothing_was_written_behind(tmp_path: Path) -> None:
    zero_map = open_map(tmp_path, 20 * BLOCKS_A_MIB + 5, Log())
    assert zero_map.live_end_bytes == 0
    for at_mib, end_bytes in ((0, MIB), (9, 10 * MIB), (3, 10 * MIB), (7, 10 * MIB), (20, 20 * MIB + 5 * 512)):
        zero_map.claim(at_mib * MIB, 512)
        assert zero_map.live_end_bytes == end_bytes


def test_a_claim_that_fails_claims_nothing(tmp_path: Path) -> None:
    def fails(_offset_bytes: int, _length_bytes: int) -> None:
        raise DriveError(28, "no room")

    zero_map = open_zero_map(ZeroFile(tmp_path, NAME), 10, fails, lambda: None)
    with pytest.raises(DriveError):
        zero_map.claim(0, 512)
    assert not zero_map.is_live(0, 512)


def test_persist_syncs_the_drives_before_the_bits(tmp_path: Path) -> None:
    log = Log()
    zero_map = open_map(tmp_path, 100, log)

    class Watched(ZeroFile):
        def save(self, image: ZeroImage) -> None:
            log.entries.append(("save", image.bits[0], image.sequence))
            super().save(image)

    zero_map.file = Watched(tmp_path, NAME)
    zero_map.file.load()
    zero_map.claim(0, 512)
    zero_map.persist()
    assert log.entries == [("zero", 0, 51200), ("sync", 0, 0), ("save", 1, 2)]
    assert not zero_map.dirty
    zero_map.file.close()
    log.entries.clear()
    again = open_map(tmp_path, 100, log)
    assert again.is_live(0, 51200)
    assert not again.dirty
    assert log.entries == []


def test_a_chunk_claimed_while_the_drives_sync_is_news_for_the_next_time(tmp_path: Path) -> None:
    log = Log()
    zero_map = open_map(tmp_path, 2 * BLOCKS_A_MIB, log)
    zero_map.claim(0, 512)
    zero_map._sync = lambda: zero_map.claim(MIB, 512)
    zero_map.persist()
    assert zero_map.dirty
    zero_map.file.close()
    again = open_map(tmp_path, 2 * BLOCKS_A_MIB, log)
    assert (again.is_live(0, MIB), again.is_live(MIB, MIB)) == (True, False)
    again.file.close()


def test_a_sync_of_the_drives_that_fails_persists_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        raise DriveError(5, "failed")

    zero_map = open_zero_map(ZeroFile(tmp_path, NAME), 100, lambda _at, _length: None, fails)
    zero_map.claim(0, 512)
    with pytest.raises(DriveError):
        zero_map.persist()
    assert zero_map.dirty
    zero_map.file.close()
    assert not open_map(tmp_path, 100, Log()).is_live(0, 512)


def test_a_file_that_could_not_be_synced_is_never_trusted_again(tmp_path: Path) -> None:
    zero_map = open_map(tmp_path, 100, Log())
    zero_map.claim(0, 512)
    good = os.dup(zero_map.file.fd)
    full = os.open("/dev/full", os.O_RDWR)
    os.dup2(full, zero_map.file.fd)
    with pytest.raises(DriveError, match=r"can't be written: .*No space left"):
        zero_map.persist()
    os.dup2(good, zero_map.file.fd)
    with pytest.raises(DriveError, match="could not be synced before"):
        zero_map.persist()
    assert zero_map.dirty
    os.close(good)
    os.close(full)


def test_all_processes_see_the_bits_and_the_news(tmp_path: Path) -> None:
    zero_map = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log())
    pid = os.fork()
    if pid == 0:
        zero_map.claim(MIB, 512)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert (zero_map.is_live(0, MIB), zero_map.is_live(MIB, MIB)) == (False, True)
    assert zero_map.dirty


def test_the_change_is_counted_before_the_bit_is_set(tmp_path: Path) -> None:
    """An owner killed between the two must leave news, or a flush would forget the bit."""
    zero_map = open_map(tmp_path, 100, Log())
    seen: list[tuple[bool, bool]] = []
    zero_map._zero = lambda _at, _length: seen.append((zero_map.dirty, zero_map.is_live(0, 512)))
    zero_map.claim(0, 512)
    assert seen == [(True, False)]


BOOT, NEXT_BOOT = b"b" * 16, b"n" * 16


def test_what_killed_processes_had_claimed_is_still_ours_and_still_news(tmp_path: Path) -> None:
    killed = open_map(tmp_path, 3 * BLOCKS_A_MIB, Log(), BOOT)
    killed.claim(0, 512)
    killed.persist()
    killed.claim(2 * MIB, 512)
    killed.file.close()
    again = open_map(tmp_path, 3 * BLOCKS_A_MIB, Log(), BOOT)
    assert [again.is_live(at * MIB, 512) for at in range(3)] == [True, False, True]
    assert again.dirty
    again.persist()
    again.file.close()
    settled = open_map(tmp_path, 3 * BLOCKS_A_MIB, Log(), NEXT_BOOT)
    assert settled.is_live(2 * MIB, 512)
    assert not settled.dirty
    settled.file.close()


@pytest.mark.parametrize("boot", [NEXT_BOOT, NO_BOOT], ids=["the machine was down", "nobody knows"])
def test_without_the_page_cache_of_then_only_what_was_persisted_counts(tmp_path: Path, boot: bytes) -> None:
    killed = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), BOOT)
    killed.claim(0, 512)
    killed.persist()
    killed.claim(MIB, 512)
    killed.file.close()
    again = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), boot)
    assert (again.is_live(0, 512), again.is_live(MIB, 512)) == (True, False)
    assert not again.dirty
    again.file.close()


def test_a_map_that_was_put_back_is_believed_alone(tmp_path: Path) -> None:
    first = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), BOOT)
    backup = first.file.path.read_bytes()
    for chunk in range(2):
        first.claim(chunk * MIB, 512)
        first.persist()
    first.file.path.write_bytes(backup)
    first.file.close()
    again = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), BOOT)
    assert not again.is_live(0, 512)
    again.file.close()


def test_a_kill_between_a_save_and_its_count_is_no_backup_put_back(tmp_path: Path) -> None:
    killed = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), BOOT)
    killed.claim(0, 512)
    killed.file.save(ZeroImage(NAME, killed.blocks, killed.chunk_bytes, 2, b"\x01"))
    killed.claim(MIB, 512)
    killed.file.close()
    again = open_map(tmp_path, 2 * BLOCKS_A_MIB, Log(), BOOT)
    assert again.is_live(0, 2 * MIB)
    again.file.close()


def test_a_range_that_grew_after_a_kill_keeps_what_was_claimed(tmp_path: Path) -> None:
    log = Log()
    killed = open_map(tmp_path, 100, log, BOOT)
    killed.claim(0, 512)
    killed.file.close()
    log.entries.clear()
    grown = open_map(tmp_path, 2 * BLOCKS_A_MIB, log, BOOT)
    assert log.entries == [("zero", 51200, MIB - 51200), ("sync", 0, 0)]
    assert (grown.is_live(0, MIB), grown.is_live(MIB, MIB)) == (True, False)
    assert not grown.dirty
    grown.file.close()


CHUNKS_MAX = 12
Sizes = tuple[int, int, frozenset[int], int]


@settings(deadline=None)
@given(
    st.sampled_from([MIB, 2 * MIB, 8 * MIB]),
    st.integers(1, CHUNKS_MAX * BLOCKS_A_MIB),
    st.sets(st.integers(0, CHUNKS_MAX)),
    st.integers(1, 2 * CHUNKS_MAX * BLOCKS_A_MIB),
)
def test_resizing_keeps_what_is_ours_and_zeroes_all_else_that_becomes_so(
    old_chunk_bytes: int, old_blocks: int, live: set[int], blocks: int
) -> None:
    """Checked at the corners of each chunk, old and new: an address reads as before, and as zeros where new."""
    old_end, end = old_blocks * 512, blocks * 512
    old_bits = sum(1 << chunk for chunk in live if chunk * old_chunk_bytes < old_end)
    old = ZeroImage(NAME, old_blocks, old_chunk_bytes, 4, old_bits.to_bytes(CHUNKS_MAX // 8 + 1, "little"))
    new, zeroes = resized_image(old, blocks)
    assert (new.blocks, new.sequence, new.chunk_bytes) == (blocks, 5, chunk_bytes_for(blocks))
    corners = {at for chunk in range(2 * CHUNKS_MAX + 1) for at in (chunk * MIB, chunk * MIB - 512)}
    for at in corners | {old_end - 512, old_end}:
        if 0 <= at < end:
            was = at < old_end and bool(old_bits >> at // old_chunk_bytes & 1)
            chunk = at // new.chunk_bytes
            now = bool(new.bits[chunk // 8] >> chunk % 8 & 1)
            zeroed = any(first <= at < first + length for first, length in zeroes)
            assert now == (was or zeroed)
            assert not (was and zeroed)


def test_a_grown_range_is_zeroed_behind_its_old_end_before_the_map_says_so(tmp_path: Path) -> None:
    log = Log()
    small = open_map(tmp_path, 100, log)
    small.claim(0, 512)
    small.persist()
    small.file.close()
    log.entries.clear()
    large = open_map(tmp_path, 2 * BLOCKS_A_MIB, log)
    assert log.entries == [("zero", 51200, MIB - 51200), ("sync", 0, 0)]
    assert (large.is_live(0, MIB), large.is_live(MIB, MIB)) == (True, False)
    large.file.close()
