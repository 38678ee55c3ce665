"""Proves that one NSU is one row however it was seen, and that nobody gets in who was not asked."""

import random
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from hostside.catalogue import QUESTIONS_MAX, ROWS_MAX, Catalogue
from protocol.discovery import answer, frame
from protocol.discovery.answer import Answer
from protocol.discovery.frame import Frame, Kind
from protocol.discovery.ways import Way

SEEN = st.tuples(st.integers(1, 5), st.sampled_from(Way), st.sampled_from(["e0", "e1"]))


def told(instance: int, name: str = "") -> bytes:
    return answer.encode(Answer(UUID(int=instance), name or f"box{instance}", bytes(6), 10001, 2, True))


def answered(question: bytes, instance: int, name: str = "") -> bytes:
    asked = frame.decode(question)
    assert asked is not None
    assert asked.kind == Kind.QUESTION
    return frame.encode(Frame(Kind.ANSWER, asked.nonce, told(instance, name)))


def catalogue(name: str = "") -> Catalogue:
    return Catalogue(random.Random(1).randbytes, name)


@given(st.lists(SEEN, max_size=40))
def test_whatever_comes_by_whatever_way_each_nsu_is_one_row(seen: list[tuple[int, Way, str]]) -> None:
    found = catalogue()
    for instance, way, interface in seen:
        assert found.take(answered(found.question(way, interface), instance))
    assert {row.answer.instance.int: (row.ways, row.interfaces) for row in found.rows()} == {
        instance: (
            {way for other, way, _ in seen if other == instance},
            {interface for other, _, interface in seen if other == instance},
        )
        for instance, _, _ in seen
    }


@given(st.binary(max_size=1600), st.binary(min_size=8, max_size=8), st.sampled_from([1, 2, 16]))
def test_who_was_not_asked_is_not_heard(noise: bytes, nonce: bytes, kind: int) -> None:
    found = catalogue()
    found.question(Way.ETHERNET, "e0")
    assert not found.take(noise)
    assert not found.take(frame.encode(Frame(kind, nonce, told(1))))
    assert not found.rows()


def test_no_two_questions_have_one_nonce_and_old_ones_are_forgotten() -> None:
    found = catalogue()
    first = found.question(Way.ETHERNET, "e0")
    assert len({found.question(Way.ETHERNET, "e0") for _ in range(QUESTIONS_MAX)}) == QUESTIONS_MAX
    assert not found.take(answered(first, 1))
    assert found.unasked == 1


def test_a_bad_body_is_counted() -> None:
    found = catalogue()
    asked = frame.decode(found.question(Way.ETHERNET, "e0"))
    assert asked is not None
    assert not found.take(frame.encode(Frame(Kind.ANSWER, asked.nonce, b"bad")))
    assert found.malformed == 1


def test_whoever_makes_up_nsus_is_bounded() -> None:
    found = catalogue()
    question = found.question(Way.ETHERNET, "e0")
    kept = sum(found.take(answered(question, number)) for number in range(ROWS_MAX + 10))
    assert (kept, len(found.rows()), found.left_out) == (ROWS_MAX, ROWS_MAX, 10)
    assert found.take(answered(question, 0)), "one that is known is still heard"


def test_only_the_name_that_is_looked_for_takes_a_place() -> None:
    found = catalogue("box7")
    question = found.question(Way.ETHERNET, "e0")
    assert not found.take(answered(question, 1))
    assert found.take(answered(question, 7))
    assert [row.answer.name for row in found.rows()] == ["box7"]
