"""The conformance suite of arrays: every level, over drive counts, sizes and stripe sizes, against plain
bytes.

Proved: an array is one range of bytes, each on exactly one place of one drive; reading, writing, zeroing and
trimming touch what they name and nothing else; a flush reaches every drive.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.arrays.base import Array
from serverside.arrays.open import LEVELS
from serverside.drives.base import DriveError
from tests.serverside.faults import MemoryDrive, memory_array

BLOCK = 512
Op = tuple[str, int, int, int]


@st.composite
def arrays(draw: st.DrawFn) -> Array:
    level = draw(st.sampled_from(sorted(LEVELS)))
    stripe_bytes = BLOCK * draw(st.integers(1, 5))
    smallest = stripe_bytes if level == "raid0" else BLOCK
    sizes = draw(st.lists(st.integers(smallest, 12 * BLOCK), min_size=1, max_size=5))
    return memory_array([MemoryDrive(bytes(size)) for size in sizes], level, stripe_bytes)


@st.composite
def ranges(draw: st.DrawFn, array: Array) -> tuple[int, int]:
    first = draw(st.integers(0, array.capacity_blocks - 1))
    blocks = draw(st.integers(1, array.capacity_blocks - first))
    return first * BLOCK, blocks * BLOCK


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_extents_tile_the_array(data: st.DataObject) -> None:
    array = data.draw(arrays())
    places = [place for extent in array.extents(0, array.capacity_bytes) for place in places_of(extent)]
    assert len(places) == len(set(places)) == array.capacity_bytes // BLOCK
    offset_bytes, length_bytes = data.draw(ranges(array))
    part = [place for extent in array.extents(offset_bytes, length_bytes) for place in places_of(extent)]
    assert part == places[offset_bytes // BLOCK : (offset_bytes + length_bytes) // BLOCK]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_spans_cover_the_same_bytes_with_one_piece_for_each_drive(data: st.DataObject) -> None:
    array = data.draw(arrays())
    offset_bytes, length_bytes = data.draw(ranges(array))
    spans = array.spans(offset_bytes, length_bytes)
    assert len({span.drive_index for span in spans}) == len(spans)
    covered = sorted(place for span in spans for place in places_of(span))
    assert covered == sorted(p for extent in array.extents(offset_bytes, length_bytes) for p in places_of(extent))


def places_of(extent: tuple[int, int, int]) -> list[tuple[int, int]]:
    drive_index, offset_bytes, length_bytes = extent
    assert length_bytes > 0
    assert length_bytes % BLOCK == offset_bytes % BLOCK == 0
    return [(drive_index, at) for at in range(offset_bytes, offset_bytes + length_bytes, BLOCK)]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_array_is_plain_bytes(data: st.DataObject) -> None:
    array = data.draw(arrays())
    model = bytearray(array.capacity_bytes)
    for number in range(1, data.draw(st.integers(1, 8)) + 1):
        offset_bytes, length_bytes = data.draw(ranges(array))
        part = slice(offset_bytes, offset_bytes + length_bytes)
        if data.draw(st.booleans()):
            model[part] = bytes([number]) * length_bytes
            array.write_from(memoryview(model)[part], offset_bytes, data.draw(st.booleans()))
        else:
            model[part] = bytes(length_bytes)
            array.write_zeroes(offset_bytes, length_bytes)
        back = bytearray(length_bytes)
        array.read_into(memoryview(back), offset_bytes)
        assert back == model[part]
    assert content_of(array) == model


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_trim_touches_only_its_range(data: st.DataObject) -> None:
    array = data.draw(arrays())
    array.write_from(memoryview(b"x" * array.capacity_bytes), 0)
    offset_bytes, length_bytes = data.draw(ranges(array))
    array.trim(offset_bytes, length_bytes)
    end = offset_bytes + length_bytes
    content = content_of(array)
    assert content[:offset_bytes] + content[end:] == b"x" * (array.capacity_bytes - length_bytes)
    assert content[offset_bytes:end] == b"\xdd" * length_bytes  # what MemoryDrive makes of trimmed bytes


def content_of(array: Array) -> bytes:
    content = bytearray(array.capacity_bytes)
    array.read_into(memoryview(content), 0)
    return bytes(content)


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_flush_and_durable_writes_reach_stable_storage_on_every_drive(level: str) -> None:
    drives = [MemoryDrive(bytes(2048)) for _ in range(3)]
    array = memory_array(drives, level, 512)
    array.write_from(memoryview(b"a" * array.capacity_bytes), 0)
    assert all(drive.stable == bytes(2048) for drive in drives)
    array.flush()
    assert all(drive.stable == b"a" * 2048 for drive in drives)
    array.write_from(memoryview(b"b" * array.capacity_bytes), 0, True)
    assert all(drive.stable == b"b" * 2048 for drive in drives)


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_one_failed_drive_fails_what_lies_on_it_and_every_flush(level: str) -> None:
    drives = [MemoryDrive(bytes(2048)) for _ in range(2)]
    array = memory_array(drives, level, 2048)
    drives[1].health.fail(0, 5)
    array.write_from(memoryview(bytes(2048)), 0)
    with pytest.raises(DriveError, match="has failed"):
        array.write_from(memoryview(bytes(2048)), 2048)
    with pytest.raises(DriveError, match="has failed"):
        array.flush()


@pytest.mark.parametrize("level", sorted(LEVELS))
def test_ranges_beyond_the_end_are_a_bug_of_the_caller(level: str) -> None:
    array = memory_array([MemoryDrive(bytes(2048))], level, 512)
    with pytest.raises(AssertionError):
        array.write_from(memoryview(bytes(1024)), 1536)
