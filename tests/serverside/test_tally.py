"""Proves that a whole is the sum of its partitions, and that no count is lost when an SRW goes or numbers change."""

from ipc.counters import CounterRow
from serverside.tally import (
    COUNTERS,
    NO_PARTITION,
    OTHERS,
    READ_BYTES,
    READS,
    REFUSED,
    SLOT_CELLS,
    WRITES,
    WRITTEN_BYTES,
    Tallies,
)

NOTHING = dict.fromkeys(COUNTERS, 0)


def do(row: CounterRow, slot: int, **counts: int) -> None:
    for name, count in counts.items():
        row.cells[slot * SLOT_CELLS + COUNTERS.index(name)] += count


def test_the_numbers_of_cells_are_those_of_their_names() -> None:
    numbers = (READS, WRITES, OTHERS, REFUSED, READ_BYTES, WRITTEN_BYTES)
    assert [COUNTERS[number] for number in numbers] == [
        "reads",
        "writes",
        "others",
        "refused",
        "read_bytes",
        "written_bytes",
    ]
    assert len(COUNTERS) == SLOT_CELLS


def test_a_host_has_the_sum_and_each_partition_its_own() -> None:
    tallies = Tallies(3)
    first, second = tallies.begin(0, "a", ["x", "y"]), tallies.begin(1, "a", ["x", "y"])
    do(first, 0, reads=1, read_bytes=512)
    do(second, 0, reads=2, read_bytes=1024)
    do(second, 1, writes=4, written_bytes=4096)
    do(second, NO_PARTITION, others=1, refused=8)
    do(tallies.begin(2, "b", ["x"]), 0, reads=100)
    assert tallies.of_partition("a", "x") == NOTHING | {"reads": 3, "read_bytes": 1536}
    assert tallies.of_partition("a", "y") == NOTHING | {"writes": 4, "written_bytes": 4096}
    assert tallies.of_partition("b", "x")["reads"] == 100
    assert tallies.of_partition("a", "z") == NOTHING
    assert tallies.of_seat(0) == NOTHING | {"reads": 1, "read_bytes": 512}
    whole = {"reads": 3, "read_bytes": 1536, "writes": 4, "written_bytes": 4096, "others": 1, "refused": 8}
    assert tallies.of_host("a") == whole


def test_what_was_counted_stays_with_the_partition_when_its_number_changes() -> None:
    tallies = Tallies(1)
    do(tallies.begin(0, "a", ["x", "y"]), 1, writes=5)
    tallies.end(0)
    tallies.end(0)  # its process could not be forked: nobody sits there
    assert tallies.of_partition("a", "y")["writes"] == 5
    do(tallies.begin(0, "a", ["y"]), 0, writes=2)
    assert tallies.of_partition("a", "y")["writes"] == 7
    assert tallies.of_partition("a", "x") == NOTHING
    assert tallies.of_host("a")["writes"] == 7


def test_more_partitions_than_slots_count_for_the_host() -> None:
    tallies = Tallies(1)
    do(tallies.begin(0, "a", [str(number) for number in range(20)]), NO_PARTITION, reads=3)
    assert tallies.of_partition("a", "16") == NOTHING
    assert tallies.of_host("a")["reads"] == 3
