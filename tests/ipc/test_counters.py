"""What one process counts, others read; rows do not touch each other; a cell holds the whole range of u64."""

import pytest

from ipc.child import Life
from ipc.counters import CACHE_LINE_BYTES, CELL_BYTES, CounterTable
from tests.ipc.conftest import Nursery

U64_MAX = 2**64 - 1


def test_a_child_counts_and_its_parent_reads(nursery: Nursery) -> None:
    table = CounterTable(2, ["reads", "writes"])

    def count(_: Life) -> int:
        row = table.row(1)
        for _number in range(1000):
            row.add("reads")
        row.add("writes", U64_MAX)
        return 0

    assert nursery.fork(count).wait(5) == 0
    assert table.row(1).as_dict() == {"reads": 1000, "writes": U64_MAX}
    assert table.row(0).as_dict() == {"reads": 0, "writes": 0}


def test_rows_of_any_width_are_apart_by_whole_cache_lines() -> None:
    for width in (1, 7, 8, 9, 17):
        names = [f"c{i}" for i in range(width)]
        table = CounterTable(3, names)
        for name in names:
            table.row(1).set(name, U64_MAX)
        assert set(table.row(0).as_dict().values()) == set(table.row(2).as_dict().values()) == {0}
        assert table._row_cells * CELL_BYTES % CACHE_LINE_BYTES == 0
        assert table._row_cells >= width


def test_cells_by_column_are_the_cells_by_name() -> None:
    table = CounterTable(2, ["a", "b"])
    row = table.row(1)
    row.cells[table.column("b")] += 5
    row.add("b", 2)
    assert (row.get("a"), row.get("b"), len(row.cells)) == (0, 7, 2)


def test_total_is_the_sum_over_rows_and_of_one_column() -> None:
    table = CounterTable(3, ["a", "b"])
    for i in range(3):
        table.row(i).set("a", 10**i)
        table.row(i).set("b", 7)
    assert (table.total("a"), table.total("b")) == (111, 21)


def test_clear_empties_one_row() -> None:
    table = CounterTable(2, ["a"])
    table.row(0).set("a", 1)
    table.row(1).set("a", 2)
    table.row(0).clear()
    assert (table.row(0).get("a"), table.row(1).get("a")) == (0, 2)


@pytest.mark.parametrize(("rows", "names"), [(0, ["a"]), (1, []), (1, ["a", "a"])])
def test_a_table_of_nothing_or_of_twins_is_refused(rows: int, names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"counter|must differ"):
        CounterTable(rows, names)


@pytest.mark.parametrize("i", [-1, 2])
def test_a_row_that_is_not_there_is_refused(i: int) -> None:
    with pytest.raises(IndexError, match="no row"):
        CounterTable(2, ["a"]).row(i)
