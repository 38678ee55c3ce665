"""The journal of raid5: each drive keeps, durably, what is about to be written in place on *this* drive.

The theory is docs/decisions/0012. In short: a batch of changes has a sequence number and one record on each drive that
it changes. Only when all its records are durable is it begun in place. A drive that is lost takes its record with it,
and needs none: all others are brought to the new state, and the lost part is their XOR.

Areas are filled from the front. When one is full, all drives are synced, the tail in the superblock moves on to the
next sequence number, and all areas begin at the front again.

    RECORD: OFFSET SIZE MEANING
      0  8  magic "NSUJRNL1"
      8 16  uuid of the array
     24  8  sequence number
     32  8  places that have a record of this number: bit p is place p
     40  4  number of entries
     44  4  bytes of the record, a multiple of 512
     48  4  CRC32C of the record, without these four bytes
     52  4  0
     56  n  entries, 16 bytes each: offset in the data area (8), bytes (4), 0 (4)
    then zeros up to a multiple of 512, then the data of the entries, one after the other; little-endian

Recovery trusts only what is stable: it syncs the drives before it reads, because after the death of the owner alone
the kernel may still hold records that a power failure would take back.
"""

from collections.abc import Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from protocol.crc import crc32c
from protocol.limits import BLOCK_BYTES
from serverside.drives.base import DriveError
from serverside.redundancy.guard import Change, Guard
from serverside.redundancy.members import Members
from serverside.redundancy.superblock import JOURNAL_AT_BYTES

MAGIC = b"NSUJRNL1"
_HEADER = Struct("<8s16sQQIIII")
_ENTRY = Struct("<QII")
_CRC_AT = 48
assert _HEADER.size == 56


class Record(NamedTuple):
    """One record as it was found."""

    sequence: int
    places: int
    changes: list[Change]


class Journal(Guard):
    """The journal of an array; its areas lie before the data of each drive."""

    durable = True

    def __init__(self, members: Members) -> None:
        self.members = members
        self.area_bytes = members.superblock.data_offset_bytes - JOURNAL_AT_BYTES
        self.next_sequence = members.superblock.journal_tail
        self.heads_bytes = [0] * members.layout.places
        self._array = members.superblock.array.bytes

    def fits(self, changes: Sequence[Change]) -> bool:
        """Whether every drive's record fits into its empty area."""
        return max(_sizes(_by_place(changes)).values(), default=0) <= self.area_bytes

    def prepare(self, changes: Sequence[Change]) -> None:
        """Write the records, durably."""
        by_place = _by_place(changes)
        sizes = _sizes(by_place)
        assert max(sizes.values()) <= self.area_bytes
        if any(self.heads_bytes[place] + size > self.area_bytes for place, size in sizes.items()):
            self.settle()
        places = sum(1 << place for place in by_place)
        for place, its in by_place.items():
            record = self._record(places, its, sizes[place])
            self.members.write_at(place, JOURNAL_AT_BYTES + self.heads_bytes[place], memoryview(record), durable=True)
            self.heads_bytes[place] += sizes[place]
        self.next_sequence += 1

    def settle(self) -> None:
        """Sync all drives; after that no record is needed any more."""
        if self.next_sequence == self.members.superblock.journal_tail:
            return
        self.members.flush()
        self.members.save(journal_tail=self.next_sequence)
        self.heads_bytes = [0] * len(self.heads_bytes)

    def recover(self) -> int:
        """Replay what was committed. Give how many batches that were."""
        self.members.flush()
        found = {place: self.read_area(place) for place in self.members.present()}
        seen = sorted({sequence for records in found.values() for sequence in records})
        for sequence in seen[:-1]:
            self._put_out_damaged(sequence, found)
        replayed = 0
        for sequence in seen:
            if self._is_committed(sequence, found):
                replayed += 1
                self._replay(sequence, found)
        if seen:
            # Behind every number ever seen: one that was not committed now must never become so.
            self.next_sequence = seen[-1] + 1
            self.settle()
        return replayed

    def read_area(self, place: int) -> dict[int, Record]:
        """Give the records of a drive from the tail on, by sequence number: they stand in order, from the front."""
        records: dict[int, Record] = {}
        at_bytes, least = 0, self.members.superblock.journal_tail
        while (found := self._read_record(place, at_bytes)) is not None and found[0].sequence >= least:
            record, size = found
            records[record.sequence] = record
            at_bytes, least = at_bytes + size, record.sequence + 1
        return records

    def _record(self, places: int, changes: Sequence[Change], size: int) -> bytearray:
        record = bytearray(size)
        _HEADER.pack_into(record, 0, MAGIC, self._array, self.next_sequence, places, len(changes), size, 0, 0)
        at = _front_bytes(len(changes))
        for index, change in enumerate(changes):
            _ENTRY.pack_into(record, _HEADER.size + index * _ENTRY.size, change.offset_bytes, len(change.data), 0)
            record[at : at + len(change.data)] = change.data
            at += len(change.data)
        record[_CRC_AT : _CRC_AT + 4] = _crc(record).to_bytes(4, "little")
        return record

    def _read_record(self, place: int, at_bytes: int) -> tuple[Record, int] | None:
        """Read a record and its size; None if there is none here, or no whole one."""
        header = self._read(place, at_bytes, BLOCK_BYTES)
        if header is None:
            return None
        magic, array, sequence, places, entries, size, crc, _ = _HEADER.unpack_from(header)
        if (magic, array) != (MAGIC, self._array) or size < _front_bytes(entries):
            return None
        record = self._read(place, at_bytes, size)
        if record is None or crc != _crc(record):
            return None
        changes = list(_changes(place, record, entries))
        return (Record(sequence, places, changes), size) if self._is_within(changes) else None

    def _is_within(self, changes: Sequence[Change]) -> bool:
        """Whether it would all go into the data: a CRC that holds does not prove that we have written the record."""
        end = self.members.superblock.data_bytes
        return all(change.offset_bytes + len(change.data) <= end for change in changes)

    def _read(self, place: int, at_bytes: int, length_bytes: int) -> bytearray | None:
        if at_bytes + length_bytes > self.area_bytes:
            return None
        found = bytearray(length_bytes)
        try:
            self.members.drive(place).read_into(memoryview(found), JOURNAL_AT_BYTES + at_bytes)
        except DriveError:
            return None  # as good as damaged
        return found

    def _is_committed(self, sequence: int, found: dict[int, dict[int, Record]]) -> bool:
        return not self._lacking(sequence, found)

    def _lacking(self, sequence: int, found: dict[int, dict[int, Record]]) -> list[int]:
        """Give the present places that should have a record of this number, whole, and have not."""
        places = next(records[sequence].places for records in found.values() if sequence in records)
        return [p for p in self.members.present() if places >> p & 1 and sequence not in found[p]]

    def _put_out_damaged(self, sequence: int, found: dict[int, dict[int, Record]]) -> None:
        """Every batch but the last was committed: a drive without its record has lost it, and what else?"""
        for place in self._lacking(sequence, found):
            self.members.put_out(place, f"its journal has lost record {sequence}")

    def _replay(self, sequence: int, found: dict[int, dict[int, Record]]) -> None:
        for records in found.values():
            for change in records[sequence].changes if sequence in records else ():
                self.members.write(change.place, change.offset_bytes, change.data)


def _by_place(changes: Sequence[Change]) -> dict[int, list[Change]]:
    by_place: dict[int, list[Change]] = {}
    for change in changes:
        by_place.setdefault(change.place, []).append(change)
    return by_place


def _sizes(by_place: dict[int, list[Change]]) -> dict[int, int]:
    return {
        place: _front_bytes(len(changes)) + sum(len(change.data) for change in changes)
        for place, changes in by_place.items()
    }


def _front_bytes(entries: int) -> int:
    """Header and entries, padded."""
    return -(-(_HEADER.size + entries * _ENTRY.size) // BLOCK_BYTES) * BLOCK_BYTES


def _crc(record: bytearray) -> int:
    view = memoryview(record)
    return crc32c(view[_CRC_AT + 4 :], crc32c(view[:_CRC_AT]))


def _changes(place: int, record: bytearray, entries: int) -> Iterator[Change]:
    view, at = memoryview(record), _front_bytes(entries)
    for index in range(entries):
        offset_bytes, length_bytes, _ = _ENTRY.unpack_from(record, _HEADER.size + index * _ENTRY.size)
        # A length that its record does not hold gives what there is.
        yield Change(place, offset_bytes, view[at : at + length_bytes])
        at += length_bytes
