"""Version 0x02 of the dialogue: answers find their questions, a changed list is seen, an unknown question is told."""

from typing import Any, cast

import pytest

from protocol.config_base import UnitsUsed
from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.errors import LocalProtocolError, LoginRefused, RemoteProtocolError
from protocol.events import AskFence, AskStartTime, Fenced, Granted, Notice, Pong, StartTime
from protocol.limits import PORTS_MAX, U32_MAX, UNITS_MAX
from protocol.ops import Op
from protocol.records import UnitFlag, UnitRecord
from protocol.status import Status
from protocol.v2.codec import Header, decode, encode
from tests.protocol.goldens import (
    CHALLENGE,
    EPOCH,
    HOST_NONCE,
    SECRET,
    SERVER_NONCE,
    SESSION,
    golden,
)


def open_pair() -> tuple[ServerDialogue, HostDialogue]:
    server = ServerDialogue(3, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
    host = HostDialogue(3, "host1", SECRET, HOST_NONCE)
    host.receive(server.data_to_send())
    server.receive(host.data_to_send())
    server.grant(SESSION, EPOCH)
    host.receive(server.data_to_send())
    return server, host


def a_question(**fields: int) -> bytes:
    question = Header(zn_op=Op.GET_STARTTIME, zn_hostid=SESSION, session_epoch=EPOCH, zn_requestid=1)
    return encode(question._replace(**cast(dict[str, Any], fields)))


def test_golden_refusal() -> None:
    refused = ServerDialogue(2, CHALLENGE, SERVER_NONCE, "box1", {"host1": bytes(32)}.get)
    refused.data_to_send()
    refused.receive(golden("v2_03_reply"))
    assert refused.data_to_send() == golden("v2_05_refused")
    host = HostDialogue(3, "host1", SECRET, HOST_NONCE)
    host.receive(golden("v2_02_greeting"))
    with pytest.raises(LoginRefused, match="The login is unknown"):
        host.receive(golden("v2_05_refused"))


def test_golden_grant_with_the_write_verifier() -> None:
    server = ServerDialogue(3, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
    server.data_to_send()
    server.receive(golden("v2_03_reply"))
    server.grant(SESSION, EPOCH, 0xC0FFEE01)
    assert server.data_to_send() == golden("v2_05_granted_verifier")
    host = HostDialogue(3, "host1", SECRET, HOST_NONCE)
    host.receive(golden("v2_02_greeting"))
    assert host.receive(golden("v2_05_granted_verifier")) == [Granted(2, SESSION, EPOCH, "box1", 0xC0FFEE01)]


def test_a_slow_answer_holds_up_no_other() -> None:
    server, host = open_pair()
    host.ask_fence(1)
    host.ask_fence(2)
    host.ask_starttime()
    assert server.receive(host.data_to_send()) == [AskFence(1), AskFence(2), AskStartTime()]
    server.answer_starttime(7)
    server.answer_fence(2)
    server.answer_fence(1)
    assert host.receive(server.data_to_send()) == [StartTime(7), Fenced(2), Fenced(1)]
    with pytest.raises(LocalProtocolError, match="FENCE for path 1"):
        server.answer_fence(1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"zn_hostid": SESSION + 1},
        {"session_epoch": EPOCH - 1},
        {"zn_requestid": 2},
        {"zn_requestid": 0},
        {"zn_version": 1},
        {"zn_type": 2},
    ],
    ids=str,
)
def test_a_question_of_another_session_or_out_of_its_turn_ends_the_dialogue(wrong: dict[str, int]) -> None:
    server, _ = open_pair()
    with pytest.raises(RemoteProtocolError, match="is due"):
        server.receive(a_question(**wrong))


def test_a_question_comes_once() -> None:
    server, _ = open_pair()
    assert server.receive(a_question()) == [AskStartTime()]
    with pytest.raises(RemoteProtocolError):
        server.receive(a_question())


def test_an_unknown_question_costs_an_error_and_not_the_socket() -> None:
    server, _ = open_pair()
    assert server.receive(a_question(zn_op=0x2FFF)) == []
    answer = decode(server.data_to_send())
    assert (answer.zn_op, answer.zn_requestid, answer.zn_status) == (0x2FFF, 1, Status.EINVAL)
    assert server.receive(a_question(zn_requestid=2)) == [AskStartTime()]


def test_a_list_changed_on_the_way_is_seen() -> None:
    server, host = open_pair()
    host.ask_units()
    server.receive(host.data_to_send())
    server.answer_units([UnitRecord(0, 1, 8, UnitFlag(0), bytes(16), "unit_1")])
    data = bytearray(server.data_to_send())
    data[512 + 10] ^= 1
    with pytest.raises(RemoteProtocolError, match="list's CRC32C"):
        host.receive(bytes(data))


@pytest.mark.parametrize(
    ("ask", "op", "most"),
    [
        (HostDialogue.ask_capacities, Op.GET_CAPACITIES, UNITS_MAX),
        (HostDialogue.ask_dataports, Op.GET_DATAPORT, PORTS_MAX),
        (HostDialogue.ask_units, Op.GET_UNITS, UNITS_MAX),
    ],
)
@pytest.mark.parametrize("excess", [1, U32_MAX])
def test_a_list_too_long_is_refused_before_it_is_read(ask: object, op: Op, most: int, excess: int) -> None:
    _, host = open_pair()
    assert callable(ask)
    ask(host)
    with pytest.raises(RemoteProtocolError, match="the most"):
        host.receive(a_question(zn_op=op, zn_reqsz_lo=min(most + excess, U32_MAX)))


@pytest.mark.parametrize(
    "fields",
    [{"zn_requestid": 2}, {"zn_op": int(Op.FENCE)}, {"path": 1}, {"zn_hostid": 1}, {"session_epoch": 1}],
    ids=str,
)
def test_an_answer_that_fits_no_question_ends_the_dialogue(fields: dict[str, int]) -> None:
    _, host = open_pair()
    host.ask_starttime()
    with pytest.raises(RemoteProtocolError):
        host.receive(a_question(**fields))


@pytest.mark.parametrize(("op", "kind"), [(Op.NOTICE, 99), (Op.NOTICE, 0), (Op.GET_STARTTIME, 1)])
def test_what_is_pushed_must_be_a_notice(op: Op, kind: int) -> None:
    _, host = open_pair()
    with pytest.raises(RemoteProtocolError):
        host.receive(a_question(zn_op=op, zn_requestid=0, zn_reqsz_lo=kind))


def test_a_notice_may_come_between_question_and_answer() -> None:
    server, host = open_pair()
    host.ask_starttime()
    server.receive(host.data_to_send())
    server.notify(Notice.SHUTTING_DOWN)
    server.answer_starttime(1)
    events = host.receive(server.data_to_send())
    assert [type(event).__name__ for event in events] == ["Notified", "StartTime"]


def test_a_ping_says_which_units_are_used_and_without_words_says_nothing() -> None:
    server, host = open_pair()
    assert said(host, server, None) is None
    for used in (UnitsUsed(7, 0b101), UnitsUsed(0xFFFFFFFF, 1 << 63), UnitsUsed(0, 0)):
        assert said(host, server, used) == used
        assert host.receive(server.data_to_send())[-1] == Pong()
    assert said(host, server, None) == UnitsUsed(0, 0), "what was said last holds"


def said(host: HostDialogue, server: ServerDialogue, used: UnitsUsed | None) -> UnitsUsed | None:
    """What the server knows after a ping."""
    host.ping(used)
    assert server.receive(host.data_to_send()) == []
    return server.used
