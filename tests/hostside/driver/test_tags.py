"""Proves that a tag names one sending, and never one of the agents' own."""

import pytest

from hostside.driver.request import Constituent, Request
from hostside.driver.tags import TagTable, index_bits
from protocol.ops import Op


def constituent() -> Constituent:
    parent = Request(Op.READ, 0, 512, False, lambda request: None, [], [], [])
    return Constituent(parent, Op.READ, 0, 0, 512, 0, 512)


@pytest.mark.parametrize(("tags_max", "bits"), [(1, 1), (2, 1), (3, 2), (1024, 10), (1025, 11)])
def test_index_bits(tags_max: int, bits: int) -> None:
    assert index_bits(tags_max) == bits


def test_index_is_used_again_with_another_attempt() -> None:
    tags = TagTable(3)
    seen = set()
    for _ in range(100):
        held = constituent()
        tag = tags.take(held)
        assert tag not in seen
        assert tags.rows[tag & tags.mask] is held
        seen.add(tag)
        tags.give(tag)
        assert tags.rows[tag & tags.mask] is None


def test_gives_out_as_many_as_said() -> None:
    tags = TagTable(3)
    assert len({tags.take(constituent()) & tags.mask for _ in range(3)}) == 3
    assert not tags.free


def test_highest_bit_stays_free() -> None:
    tags = TagTable(2)
    tags.next_tags[:] = [0x7FFFFFFE, 0x7FFFFFFF]
    held = constituent()
    for _ in range(4):
        tag = tags.take(held)
        assert tag <= 0x7FFFFFFF
        tags.give(tag)
