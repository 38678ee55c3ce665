"""Proves that each range is one partition, whoever has it, and that a name finds the one that is meant or none."""

import json

import pytest

from nsu.partitions.errors import Refused
from nsu.partitions.view import find, hosts_of, partitions_of
from tests.nsu.partitions.conftest import CONF, uuid

SHARED = (
    CONF
    + f"""  UNIT ours
    LBA    = unit0(2048,6143)
    ACCESS = read-only
  UNIT first
    LBA = unit0(10000,10001)

UNIT spare
  LBA  = unit0(8000,8999)
  UUID = {uuid(7)}
"""
)


def test_a_shared_range_is_one_partition() -> None:
    first, second, spare, other = partitions_of(SHARED)
    assert [use.title for use in second.uses] == ["host1/second", "host2/ours"]
    assert (second.hosts, second.writers, second.zero, second.blocks) == (("host1", "host2"), ("host1",), True, 4096)
    assert (first.title, spare.title, other.title) == ("host1/first", "spare", "host2/first")
    assert (spare.hosts, spare.uuid) == ((), uuid(7))
    assert [use.number for each in (first, second, other) for use in each.uses] == [0, 1, 0, 1], (
        "as zn_zlun counts them"
    )


def test_names_find_what_is_meant() -> None:
    assert find(SHARED, "second") == find(SHARED, "ours") == find(SHARED, "host2/ours")
    assert find(SHARED, "spare") == find(SHARED, uuid(7))
    assert find(SHARED, "host2/first").range.first_lba == 10000
    with pytest.raises(Refused, match="several partitions; say which: host1/first, host2/first"):
        find(SHARED, "first")
    with pytest.raises(Refused, match="there is no partition third; there are: host1/first, host1/second"):
        find(SHARED, "third")
    with pytest.raises(Refused, match="there are: none"):
        find("", "third")


def test_it_can_be_told_as_json() -> None:
    told = json.loads(json.dumps([each.as_dict() for each in partitions_of(SHARED)]))
    assert told[1]["uses"][1]["access"] == "read-only"
    assert told[2]["uses"] == [], "nobody has it"
    assert hosts_of(SHARED) == ("host1", "host2")


def test_what_cannot_be_read_is_passed_over() -> None:
    assert len(partitions_of(CONF.replace("unit0(0,2047)", "unit0(9,2)"))) == 1


def test_the_empty_name_finds_nothing() -> None:
    """Not the one partition whose UUID the file does not say, either."""
    for text in (SHARED, CONF.replace("    ZERO = yes\n", f"    ZERO = yes\n    UUID = {uuid(8)}\n")):
        with pytest.raises(Refused, match="there is no partition"):
            find(text, "")


def test_nobodys_namesake_of_a_hosts_is_called_by_its_uuid() -> None:
    """What a page offers as a title has to find that partition again."""
    text = SHARED.replace("UNIT spare", "UNIT second")
    titles = [each.title for each in partitions_of(text)]
    assert titles == ["host1/first", "host1/second", uuid(7), "host2/first"]
    assert [find(text, title).title for title in titles] == titles
