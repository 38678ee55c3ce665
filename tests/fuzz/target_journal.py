"""Records of the journal of raid5, as they stand on a drive."""

from protocol.crc import crc32c
from serverside.redundancy.journal import MAGIC, Journal
from serverside.redundancy.superblock import JOURNAL_AT_BYTES
from tests.serverside.faults import MemoryDrive
from tests.serverside.redundancy.rig import Rig, superblock

BLOCK_BYTES = 512
ROWS, PLACES = 4, 3
AREA_BYTES = 8192
BLOCK = superblock("raid5", PLACES, ROWS, journal_bytes=AREA_BYTES)
DRIVE_BYTES = BLOCK.data_offset_bytes + BLOCK.data_bytes
DISKS = [MemoryDrive(bytes(DRIVE_BYTES)) for _ in range(PLACES)]
ARRAY = Rig(BLOCK, DISKS)


def entry(offset_bytes: int, length_bytes: int) -> bytes:
    return offset_bytes.to_bytes(8, "little") + length_bytes.to_bytes(4, "little") + bytes(4)


def fixed(sequence: int, places: int, entries: int, size_bytes: int) -> bytes:
    """What a short record begins with: sequence, places, entries, bytes."""
    return (
        sequence.to_bytes(8, "little")
        + places.to_bytes(8, "little")
        + b"".join(number.to_bytes(4, "little") for number in (entries, size_bytes))
    )


def seeds() -> list[bytes]:
    one = fixed(1, 3, 1, 1024) + entry(0, 512)
    two = fixed(2, 1, 2, 2048) + entry(512, 512) + entry(1024, 1024)
    return [b"\0" + one, b"\0" + two, b"\0" + fixed(1, 3, 0, 512), b"\1" + record(one)]


def record(short: bytes) -> bytes:
    """Give a record with magic, array and CRC, as long as it says that it is."""
    size_bytes = min(max(int.from_bytes(short[20:24], "little"), BLOCK_BYTES), AREA_BYTES)
    front = MAGIC + BLOCK.array.bytes + short[:24].ljust(24, b"\0")
    whole = bytearray((front + bytes(8) + short[24:]).ljust(size_bytes, b"\0")[:size_bytes])
    whole[48:52] = crc32c(memoryview(whole)[52:], crc32c(memoryview(whole)[:48])).to_bytes(4, "little")
    return bytes(whole)


def one_input(data: bytes) -> None:
    """Byte 0: bit 0 the input is the area as it is; else a record without magic, array and CRC, which it is given."""
    if not data:
        return
    area = data[1:] if data[0] & 1 else record(data[1:])
    DISKS[0].write_from(memoryview(area[:AREA_BYTES].ljust(AREA_BYTES, b"\0")), JOURNAL_AT_BYTES)
    records = Journal(ARRAY.members).read_area(0)
    assert len(records) <= AREA_BYTES // BLOCK_BYTES
    assert list(records) == sorted(records)
    for found in records.values():
        assert sum(len(change.data) for change in found.changes) <= AREA_BYTES
        for change in found.changes:
            end_bytes = change.offset_bytes + len(change.data)
            assert end_bytes <= BLOCK.data_bytes, "a record would be replayed outside the data of the drive"
