"""Proves that a partition is found again through another name, host and size, and a new one not taken for it."""

import pytest

from nsu.partitions.differences import Change, changes_between, known_uuid, pairs_of
from nsu.partitions.facts import NO_FACTS, Facts
from nsu.partitions.size import Size
from nsu.partitions.verbs import (
    Creation,
    Grant,
    chown,
    create,
    delete,
    rename,
    resize,
    set_access,
    set_zero,
    share,
    unassign,
)
from nsu.partitions.view import partitions_of
from tests.nsu.partitions.conftest import CONF, facts, uuid


def changes(old: str, new: str, known: Facts | None = None) -> list[Change]:
    return list(changes_between(partitions_of(old), partitions_of(new), known or facts()))


def kinds(old: str, new: str, known: Facts | None = None) -> list[tuple[str, str]]:
    return [(change.kind, change.partition) for change in changes(old, new, known)]


def test_each_verb_is_told_as_what_it_is() -> None:
    known = facts()
    assert kinds(CONF, create(CONF, Creation("data", Size.parse("1MiB")), known)) == [("created", "data")]
    assert kinds(CONF, delete(CONF, "first")) == [("deleted", "host1/first")]
    assert kinds(CONF, resize(CONF, "second", Size.parse("+1MiB"), known)) == [("grown", "host1/second")]
    assert kinds(CONF, resize(CONF, "second", Size.parse("1MiB"), known)) == [("shrunk", "host1/second")]
    assert kinds(CONF, rename(CONF, "first", "new", known)) == [("renamed", "host1/first")]
    assert kinds(CONF, chown(CONF, "first", "host2", known)) == [("taken", "host1/first"), ("given", "host1/first")]
    assert kinds(CONF, unassign(CONF, "first", facts=known)) == [("taken", "host1/first"), ("given", "host1/first")]
    assert kinds(CONF, share(CONF, "first", Grant("host2", True), facts=known)) == [("given", "host1/first")]
    assert kinds(CONF, set_access(CONF, "first", read_only=True)) == [("access", "host1/first")]
    assert kinds(CONF, set_zero(CONF, "first", zero=True)) == [("zero", "host1/first")]
    assert kinds(CONF, CONF + "# a comment\n") == []


def test_what_is_lost_is_said() -> None:
    lost = {change.kind: change.loses for change in changes(CONF, delete(CONF, "first"))}
    assert lost == {"deleted": "all that is on host1/first"}
    (shrunk,) = changes(CONF, resize(CONF, "second", Size.parse("1MiB"), facts()))
    assert shrunk.loses == "what is on host1/second from block 2048 on"
    (moved,) = changes(CONF, CONF.replace("unit0(0,2047)", "unit0(10000,12047)"))
    assert (moved.kind, bool(moved.loses)) == ("moved", True)
    assert not any(change.loses for change in changes(CONF, unassign(CONF, "first", facts=facts())))


def test_another_partition_of_the_same_name_at_the_same_place_is_another() -> None:
    again = create(delete(CONF, "first"), Creation("first", Size.parse("1MiB"), grants=[Grant("host1")]), facts())
    assert kinds(CONF, again) == [("deleted", "host1/first"), ("created", "host1/first")]
    both = partitions_of(again)[0]
    assert known_uuid(both, facts()) == uuid(1), "the file's word counts more than STATE's"


def test_by_hand_the_same_name_at_the_same_place_is_the_same() -> None:
    """Without UUIDs, and without STATE, names and places are all there is."""
    by_hand = CONF.replace("  UNIT first\n    # do not touch\n    LBA = unit0(0,2047)          # 1 MiB\n", "")
    by_hand += "  UNIT first\n    LBA = unit0(0,2047)\n"
    assert kinds(CONF, by_hand, NO_FACTS) == [("taken", "host1/first"), ("given", "host1/first")]


@pytest.mark.parametrize("swapped", [True, False])
def test_each_is_found_once(swapped: bool) -> None:
    new = CONF.replace("UNIT first", "UNIT x").replace("UNIT second", "UNIT first").replace("UNIT x", "UNIT second")
    pairs = pairs_of(partitions_of(CONF), partitions_of(new if swapped else CONF), facts())
    assert len(pairs) == 2
    assert len({pair.new.range for pair in pairs if pair.new}) == 2
