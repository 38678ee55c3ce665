"""Version 0x01 of the dialogue looks only at what a step names, answers in order, and bounds every list."""

import pytest

from protocol.config_base import Greeting
from protocol.errors import LocalProtocolError, LoginRefused, RemoteProtocolError
from protocol.events import AskCapacities, Capacities, DataPorts, Granted, LoginProven
from protocol.limits import ASKS_MAX, PORTS_MAX, U32_MAX, UNITS_MAX
from protocol.ops import Op
from protocol.status import Detail
from protocol.v1.codec import Header, encode
from protocol.v1.config import V1HostTalk, V1ServerTalk
from tests.protocol.goldens import CHALLENGE, SERVER_NONCE, golden

GREETING = Greeting(1, CHALLENGE, SERVER_NONCE, "box1")
UNDEFINED = Header(*[0xA5A5A5A5] * 16)
"""What "undefined" and "ignored" allow: anything at all."""


def no_secret(login: str) -> None:
    raise AssertionError(login)


def test_step_5_looks_at_the_complement_and_nothing_else() -> None:
    talk = V1ServerTalk()
    reply = UNDEFINED._replace(zn_version=1, zn_reqsz_lo=CHALLENGE ^ U32_MAX)
    assert talk.prove(encode(reply), GREETING, no_secret) == LoginProven(1, "")
    for wrong in (CHALLENGE, 0, U32_MAX, CHALLENGE ^ U32_MAX ^ 1):
        wrong_reply = encode(Header(zn_reqsz_lo=wrong))
        assert talk.prove(wrong_reply, GREETING, no_secret) is Detail.WRONG_COMPLEMENT


def test_golden_refusal() -> None:
    refused = V1ServerTalk().refused(Detail.WRONG_COMPLEMENT, "a sentence has no room here")
    assert refused == golden("v1_05_refused")
    with pytest.raises(LoginRefused, match="complement"):
        V1HostTalk().verdict(refused)


def test_the_host_takes_any_answer_of_status_0() -> None:
    assert V1HostTalk().verdict(encode(UNDEFINED._replace(zn_status=0))) == Granted(1, 0, 0, "")
    with pytest.raises(LoginRefused, match="detail 2779096485"):
        V1HostTalk().verdict(encode(UNDEFINED))


def test_questions_are_known_by_their_operation_alone() -> None:
    question = UNDEFINED._replace(zn_op=Op.GET_CAPACITIES)
    assert V1ServerTalk().question(encode(question)) == AskCapacities()
    with pytest.raises(RemoteProtocolError, match="0x2001"):
        V1ServerTalk().question(encode(Header(zn_op=Op.GET_UNITS)))


def test_answers_are_known_by_their_order_alone() -> None:
    host = V1HostTalk()
    host.ask(Op.GET_CAPACITIES)
    host.ask(Op.GET_DATAPORT)
    assert host.head(encode(UNDEFINED._replace(zn_reqsz_lo=1))) == 8
    assert host.tail((512).to_bytes(8, "big")) == Capacities((512,))
    assert host.head(encode(UNDEFINED._replace(zn_reqsz_lo=0))) == 0
    assert host.tail(b"") == DataPorts(())


def test_the_server_keeps_that_order() -> None:
    server = V1ServerTalk()
    server.question(golden("v1_06_ask_starttime"))
    server.question(golden("v1_08_ask_capacities"))
    with pytest.raises(LocalProtocolError):
        server.capacities([])
    server.starttime(1)
    assert server.capacities([]) == encode(Header(zn_op=Op.GET_CAPACITIES))


@pytest.mark.parametrize(("op", "most"), [(Op.GET_CAPACITIES, UNITS_MAX), (Op.GET_DATAPORT, PORTS_MAX)])
def test_a_list_too_long_is_refused_before_it_is_read(op: Op, most: int) -> None:
    host = V1HostTalk()
    host.ask(op)
    assert host.head(encode(Header(zn_reqsz_lo=most))) in (most * 8, most * 28)
    for count in (most + 1, U32_MAX):
        with pytest.raises(RemoteProtocolError, match="the most"):
            host.head(encode(Header(zn_reqsz_lo=count)))


def test_an_answer_nobody_asked_for_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="not asked"):
        V1HostTalk().head(golden("v1_07_starttime"))


def test_questions_without_waiting_have_an_end() -> None:
    server = V1ServerTalk()
    for _ in range(ASKS_MAX):
        server.question(golden("v1_06_ask_starttime"))
    with pytest.raises(RemoteProtocolError, match="questions open"):
        server.question(golden("v1_06_ask_starttime"))
