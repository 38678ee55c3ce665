"""Counters in shared memory: written by one process, read by any, without a lock and without a system call.

A table is made before the fork and inherited; the memory is anonymous, so nothing is left behind by kill -9.
Each row has one writer, which is why `add` needs no atomic instruction. A cell is eight aligned bytes and is
loaded and stored as one word on the 64-bit machines this runs on: a reader sees the old or the new, never a
mix. Two cells of a row are not read at one moment; sums over a row may be off by what happened in between.
"""

import mmap
from collections.abc import Sequence
from typing import Final

CELL_BYTES: Final = 8
CACHE_LINE_BYTES: Final = 64


class CounterRow:
    """One writer's counters: unsigned 64-bit numbers by name."""

    __slots__ = ("_columns", "cells")

    def __init__(self, cells: "memoryview[int]", columns: dict[str, int]) -> None:
        self.cells = cells
        """The row as u64 cells, for hot loops: `cells[table.column(name)] += 1`."""
        self._columns = columns

    def add(self, name: str, n: int = 1) -> None:
        """Add `n`. The cell must stay within 0 .. 2**64-1."""
        self.cells[self._columns[name]] += n

    def set(self, name: str, value: int) -> None:
        """Store `value`, 0 .. 2**64-1."""
        self.cells[self._columns[name]] = value

    def get(self, name: str) -> int:
        """Load one cell."""
        return self.cells[self._columns[name]]

    def as_dict(self) -> dict[str, int]:
        """Every cell by name, in the table's order."""
        return {name: self.cells[column] for name, column in self._columns.items()}

    def clear(self) -> None:
        """Set every cell to 0. Only its writer may; a row changes hands when its writer is dead."""
        for column in self._columns.values():
            self.cells[column] = 0


class CounterTable:
    """`rows` x `names` of u64 in memory that is shared with every process forked later."""

    def __init__(self, rows: int, names: Sequence[str]) -> None:
        if rows < 1 or not names:
            raise ValueError(f"a counter table needs a row and a name, not {rows} rows and {len(names)} names")
        if len(set(names)) != len(names):
            raise ValueError(f"names of counters must differ: {', '.join(names)}")
        self.rows: Final = rows
        self.names: Final = tuple(names)
        self._columns = {name: column for column, name in enumerate(names)}
        # Whole cache lines for each row: two writers never wait for one line.
        self._row_cells = -(-len(names) * CELL_BYTES // CACHE_LINE_BYTES) * CACHE_LINE_BYTES // CELL_BYTES
        memory = mmap.mmap(-1, rows * self._row_cells * CELL_BYTES)
        self._cells = memoryview(memory).cast("Q")

    def row(self, i: int) -> CounterRow:
        """Row `i`, 0 .. rows-1."""
        if not 0 <= i < self.rows:
            raise IndexError(f"the table has rows 0 to {self.rows - 1}, no row {i}")
        start = i * self._row_cells
        return CounterRow(self._cells[start : start + len(self.names)], self._columns)

    def column(self, name: str) -> int:
        """Index of `name` in a row's `cells`."""
        return self._columns[name]

    def total(self, name: str) -> int:
        """Sum of one column over all rows."""
        column = self._columns[name]
        return sum(self._cells[column :: self._row_cells])
