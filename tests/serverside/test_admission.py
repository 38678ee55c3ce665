"""Proves that seats are given out once, and places counted by host and port."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serverside.admission import Admission

PORT, OTHER_PORT = ("127.0.0.1", 1), ("127.0.0.1", 2)


def test_places_are_counted_by_host_and_port() -> None:
    admission = Admission(4)
    seats = [admission.take(*place) for place in [("a", PORT), ("a", PORT), ("a", OTHER_PORT), ("b", PORT)]]
    assert sorted(seat for seat in seats if seat is not None) == [0, 1, 2, 3]
    assert [admission.taken("a", PORT), admission.taken("a", OTHER_PORT), admission.taken("b", OTHER_PORT)] == [2, 1, 0]


def test_without_a_seat_nothing_is_counted() -> None:
    admission = Admission(1)
    assert admission.take("a", PORT) == 0
    assert admission.take("b", PORT) is None
    assert admission.taken("b", PORT) == 0
    admission.give("a", PORT, 0)
    assert admission.take("b", PORT) == 0


def test_what_is_given_twice_is_a_mistake_of_ours() -> None:
    admission = Admission(2)
    seat = admission.take("a", PORT)
    assert seat is not None
    admission.give("a", PORT, seat)
    with pytest.raises(AssertionError):
        admission.give("a", PORT, seat)


@given(st.lists(st.booleans(), max_size=60))
def test_no_seat_is_ever_held_twice(takes: list[bool]) -> None:
    admission = Admission(5)
    held: list[int] = []
    for take in takes:
        if take:
            seat = admission.take("a", PORT)
            assert (seat is None) == (len(held) == 5)
            if seat is not None:
                assert seat not in held
                held.append(seat)
        elif held:
            admission.give("a", PORT, held.pop(0))
        assert admission.taken("a", PORT) == len(held)
