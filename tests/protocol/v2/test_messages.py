"""What version 0x02 says: every question has its event, every notice its kind, every refusal a sentence."""

import pytest

from protocol.config_base import Greeting
from protocol.errors import RemoteProtocolError
from protocol.events import AskFence, AskPath, Notice, Notified
from protocol.limits import U64_MAX
from protocol.ops import Op
from protocol.status import DETAILS, Detail, Status
from protocol.v2 import messages
from protocol.v2.codec import Header, decode, encode
from tests.protocol.goldens import CHALLENGE, SERVER_NONCE, golden

WITH_ANSWER = [Op.GET_STARTTIME, Op.GET_CAPACITIES, Op.GET_DATAPORT, Op.GET_UNITS, Op.OPEN_PATH, Op.FENCE]


def test_golden_greeting() -> None:
    said = messages.greeting(Greeting(3, CHALLENGE, SERVER_NONCE, "box1"))
    assert said == golden("v2_02_greeting")
    assert said[:64] == golden("v1_02_greeting")[:4] + b"\0\0\0\3" + golden("v1_02_greeting")[8:64]


@pytest.mark.parametrize("op", Op)
def test_each_question_has_its_own_event(op: Op) -> None:
    event = messages.asked(op, 9)
    assert (event is not None) == (op in WITH_ANSWER)
    assert sum(messages.asked(other, 9) == event for other in WITH_ANSWER) == (op in WITH_ANSWER)


def test_only_questions_about_a_path_name_one() -> None:
    assert messages.asked(Op.OPEN_PATH, 9) == AskPath(9)
    assert messages.asked(Op.FENCE, 9) == AskFence(9)
    assert [messages.path_of(Header(zn_op=op, path=9)) for op in WITH_ANSWER] == [0, 0, 0, 0, 9, 9]


@pytest.mark.parametrize("kind", Notice)
def test_notices(kind: Notice) -> None:
    header = Header(zn_op=Op.NOTICE, zn_reqsz_lo=kind, zn_lba_hi=U64_MAX >> 32, zn_lba_lo=U64_MAX & 0xFFFFFFFF)
    assert messages.notified(header) == Notified(kind, U64_MAX)
    with pytest.raises(RemoteProtocolError, match="kind 100"):
        messages.notified(Header(zn_op=Op.NOTICE, zn_reqsz_lo=100))


def test_a_refusal_says_why_in_its_own_words_or_the_tables() -> None:
    own = messages.refusal(Op.OPEN_PATH, Status.EBUSY, Detail.PATH_LIMIT, "Ten are open, and ten are allowed.")
    assert messages.reason(decode(encode(own))) == "Ten are open, and ten are allowed."
    bare = messages.refusal(Op.OPEN_PATH, Status.EBUSY, Detail.PATH_LIMIT, "")
    assert messages.reason(decode(encode(bare))) == DETAILS[Detail.PATH_LIMIT].sentence
    assert messages.reason(Header(zn_status=16, zn_flags=49)) == "status 16, detail 49"
