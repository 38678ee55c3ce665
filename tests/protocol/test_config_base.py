"""Lists are as long as their records say, and an answer finds the oldest question it fits."""

import pytest

from protocol.config_base import LISTS, Question, Questions, list_bytes, units_mark
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import U32_MAX
from protocol.ops import Op
from protocol.records import UnitFlag, UnitRecord
from protocol.v1.layout import Z_GET_DATAPORT
from protocol.v2.layout import UNIT_RECORD


def test_records_have_their_declared_sizes() -> None:
    sizes = {op: record.size_bytes for op, record in LISTS.items()}
    assert sizes == {
        Op.GET_CAPACITIES: 8,
        Op.GET_DATAPORT: Z_GET_DATAPORT.sizeof(),
        Op.GET_UNITS: UNIT_RECORD.sizeof(),
    }


@pytest.mark.parametrize("op", LISTS)
def test_a_list_is_bounded_before_it_is_read(op: int) -> None:
    most = LISTS[op].count_max
    assert list_bytes(op, 0) == 0
    assert list_bytes(op, most) == most * LISTS[op].size_bytes <= 131072
    for count in (most + 1, U32_MAX):
        with pytest.raises(RemoteProtocolError, match=f"{most} are the most"):
            list_bytes(op, count)


def test_a_cookie_is_no_count() -> None:
    assert list_bytes(Op.GET_STARTTIME, U32_MAX) == 0


def three_questions() -> Questions:
    questions = Questions()
    for question in (Question(Op.FENCE, 1, 1), Question(Op.FENCE, 2, 2), Question(Op.FENCE, 1, 3)):
        questions.add(question)
    return questions


def test_the_oldest_question_that_fits_is_answered_once() -> None:
    questions = three_questions()
    assert [questions.take(Op.FENCE, path, oldest_only=False).request_id for path in (2, 1, 1)] == [2, 1, 3]
    with pytest.raises(LocalProtocolError, match="FENCE for path 1"):
        questions.take(Op.FENCE, 1, oldest_only=False)


def test_in_order_only_the_oldest_can_be_answered() -> None:
    questions = three_questions()
    with pytest.raises(LocalProtocolError):
        questions.take(Op.FENCE, 2, oldest_only=True)
    assert questions.take(Op.FENCE, 1, oldest_only=True).request_id == 1


def test_the_mark_of_a_list_of_units_tells_it_from_others() -> None:
    def units(*generations: int) -> list[UnitRecord]:
        return [UnitRecord(n, g, 8, UnitFlag(0), bytes(16), "u") for n, g in enumerate(generations)]

    lists = [(), (5,), (6,), (5, 6), (6, 5), (5, 6, 7), (U32_MAX, U32_MAX)]
    marks = [units_mark(units(*generations)) for generations in lists]
    assert len(set(marks)) == len(lists)
    assert all(0 <= mark <= U32_MAX for mark in marks)
