"""The pool of payload buffers: shared anonymous memory in slots of one size, inherited at fork.

Rules: the pool is made before the fork, so every process sees the same bytes at the same slot numbers, and
only slot numbers travel. One process counts the slots out and takes them back; the others fill and empty what
they are told. The memory has no name: after kill -9 of everybody nothing is left in /dev/shm.

Guarantee: there are at least as many slots as all holders together may hold, by the sum given at the start,
so no holder can starve another for ever. A slot that is given while it is free is a bug of the caller and is
asserted.

The slot given last is taken first: its bytes are likely still in the processor's cache.
"""

import mmap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_MADV_POPULATE_WRITE: Final = 23  # madvise(2); the mmap module does not name it


class BufferPool:
    """`slots` buffers of `slot_bytes` each. `holders`: who may hold slots, and how many of them at once.

    `populated`: its memory is there at once. Otherwise it costs nothing until `populate`, or until it is used.
    """

    def __init__(self, slots: int, slot_bytes: int, *, holders: Mapping[str, int], populated: bool = True) -> None:
        if slots < 1 or slot_bytes < 1:
            raise ValueError(f"a pool needs a slot of a byte at least, not {slots} slots of {slot_bytes} bytes")
        _check_sum(slots, holders)
        self.slots: Final = slots
        self.slot_bytes: Final = slot_bytes
        self.holders: Final = MappingProxyType(dict(holders))
        self._mapped = mmap.mmap(-1, slots * slot_bytes, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
        self.memory: Final = memoryview(self._mapped)
        """All slots, one behind the other."""
        self._free = list(range(slots - 1, -1, -1))
        self._is_free = bytearray(b"\1") * slots
        if populated:
            self.populate()

    def populate(self) -> None:
        """Have all its memory now: the path of a block must not stop to find some while the system is short of it."""
        try:
            self._mapped.madvise(_MADV_POPULATE_WRITE)
        except OSError:  # a kernel before 5.14: touch each page instead, by writing what is there
            for at in range(0, len(self.memory), mmap.PAGESIZE):
                self.memory[at] = self.memory[at]

    @property
    def free_count(self) -> int:
        """Slots that `take` can still give. Only true in the process that counts them out."""
        return len(self._free)

    def view(self, slot: int, length_bytes: int | None = None) -> memoryview:
        """The first `length_bytes` of a slot, or all of it."""
        if length_bytes is None:
            length_bytes = self.slot_bytes
        assert 0 <= slot < self.slots, f"no slot {slot} in a pool of {self.slots}"
        assert 0 <= length_bytes <= self.slot_bytes, f"{length_bytes} bytes asked of {self.slot_bytes}"
        start = slot * self.slot_bytes
        return self.memory[start : start + length_bytes]

    def take(self) -> int | None:
        """Give out the slot that came back last, or None when all are out."""
        if not self._free:
            return None
        slot = self._free.pop()
        self._is_free[slot] = 0
        return slot

    def give(self, slot: int) -> None:
        """Take a slot back."""
        assert 0 <= slot < self.slots, f"no slot {slot} in a pool of {self.slots}"
        assert not self._is_free[slot], f"slot {slot} is given twice"
        self._is_free[slot] = 1
        self._free.append(slot)


def _check_sum(slots: int, holders: Mapping[str, int]) -> None:
    if any(count < 0 for count in holders.values()):
        raise ValueError(f"a holder cannot hold less than no slot: {dict(holders)}")
    needed = sum(holders.values())
    if slots < needed:
        parts = " + ".join(f"{count} ({name})" for name, count in holders.items())
        raise ValueError(f"the pool has {slots} slots, but its holders need {parts} = {needed}")
