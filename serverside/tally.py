"""What SRWs have done, counted in shared memory: for each of their host's partitions apart, and as a whole.

An SRW has one row, with a slot for each partition by its zn_zlun; a PING, and whatever names a partition that there is
not, goes into the last slot. Nothing is counted twice: a whole is the sum of its slots, made by whoever asks.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from ipc.counters import CounterRow, CounterTable

COUNTERS: Final = ("reads", "writes", "others", "refused", "read_bytes", "written_bytes")
READS: Final = 0
WRITES: Final = 1
OTHERS: Final = 2
REFUSED: Final = 3
READ_BYTES: Final = 4
WRITTEN_BYTES: Final = 5
SLOT_CELLS: Final = 6

NO_PARTITION: Final = 16
"""The last slot; also of a partition beyond those that nsu.conf can give a host."""
TALLY_CELLS: Final = tuple(f"{name}_{slot}" for slot in range(NO_PARTITION + 1) for name in COUNTERS)


def slot_counts(row: CounterRow, slot: int) -> dict[str, int]:
    """Give what one slot has counted."""
    return dict(zip(COUNTERS, row.cells[slot * SLOT_CELLS : (slot + 1) * SLOT_CELLS], strict=True))


def sums(row: CounterRow) -> dict[str, int]:
    """Give what all slots have counted."""
    return {name: sum(row.cells[cell::SLOT_CELLS]) for cell, name in enumerate(COUNTERS)}


class Tallies:
    """What all SRWs of this server process have counted, those that are gone included."""

    def __init__(self, seats: int) -> None:
        self.table = CounterTable(seats, TALLY_CELLS)
        self._of_seat: dict[int, tuple[str, tuple[str, ...]]] = {}
        """Seat -> host, and the UUIDs of its partitions as they were at the fork."""
        self._past: dict[str, Counter[str]] = {}
        """By host."""
        self._past_of: dict[tuple[str, str], Counter[str]] = {}
        """By host and UUID."""

    def begin(self, seat: int, host: str, uuids: Sequence[str]) -> CounterRow:
        """Give a new SRW its row, empty."""
        row = self.table.row(seat)
        row.clear()
        self._of_seat[seat] = (host, tuple(uuids[:NO_PARTITION]))
        return row

    def end(self, seat: int) -> None:
        """Keep what the SRW has counted; its seat goes to another. None sat there: nothing."""
        host, uuids = self._of_seat.pop(seat, ("", ()))
        if host:
            row = self.table.row(seat)
            self._past.setdefault(host, Counter()).update(sums(row))
            for slot, uuid in enumerate(uuids):
                self._past_of.setdefault((host, uuid), Counter()).update(slot_counts(row, slot))

    def of_seat(self, seat: int) -> dict[str, int]:
        """Give what one SRW has counted."""
        return sums(self.table.row(seat))

    def of_host(self, host: str) -> dict[str, int]:
        """Give what was done for a host."""
        total = Counter(dict.fromkeys(COUNTERS, 0))
        total.update(self._past.get(host, {}))
        for seat, (its, _) in self._of_seat.items():
            if its == host:
                total.update(self.of_seat(seat))
        return dict(total)

    def of_partition(self, host: str, uuid: str) -> dict[str, int]:
        """Give what was done for a host with a partition; whatever number it has or had."""
        total = Counter(dict.fromkeys(COUNTERS, 0))
        total.update(self._past_of.get((host, uuid), {}))
        for seat, (its, uuids) in self._of_seat.items():
            if its == host and uuid in uuids:
                total.update(slot_counts(self.table.row(seat), uuids.index(uuid)))
        return dict(total)
