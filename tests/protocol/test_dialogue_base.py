"""The golden conversations: each machine, fed whole, byte by byte and with a tail, says the golden messages.

The files come from outside this project's code (see `goldens.py`), so they pin the bytes on the wire.
"""

from collections.abc import Callable

import pytest

from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.events import (
    AskCapacities,
    AskDataPorts,
    AskFence,
    AskPath,
    AskStartTime,
    AskUnits,
    Capacities,
    DataPorts,
    Event,
    Fenced,
    Granted,
    LoginProven,
    Notice,
    Notified,
    PathRefused,
    PathTicket,
    Pong,
    StartTime,
    Units,
)
from protocol.records import DataPort, UnitFlag, UnitRecord
from protocol.status import DETAILS, Detail
from tests.protocol.goldens import (
    CHALLENGE,
    EPOCH,
    FOLDER,
    HOST_NONCE,
    PATH_NONCE,
    SECRET,
    SERVER_NONCE,
    SESSION,
    golden,
    pieces,
)

PORTS = (DataPort("10.1.1.1", 10002, 10), DataPort("fd00::1", 10003, 12))
EVICTED = "another machine logged in as host1 from 10.1.1.21"
SIZES = (512512, 3 << 40)
UNITS = (
    UnitRecord(0, 5, 1001, UnitFlag.READ_ONLY | UnitFlag.FLUSH | UnitFlag.FUA, bytes(range(16)), "unit_1"),
    UnitRecord(
        1,
        6,
        3 << 31,
        UnitFlag.FLUSH | UnitFlag.FUA | UnitFlag.TRIM | UnitFlag.WRITE_ZEROES,
        bytes(range(16, 32)),
        "größe",
    ),
)
NO_PATH = DETAILS[Detail.PATH_LIMIT]

ServerStep = tuple[str, list[Event], Callable[[ServerDialogue], None], str]
"""Golden message received, events it makes, what the edge does, golden message sent (empty: none)."""


def nothing(_: ServerDialogue) -> None:
    pass


V1_SERVER: list[ServerStep] = [
    ("v1_03_reply", [LoginProven(1, "")], lambda server: server.grant(5, 6), "v1_05_granted"),
    ("v1_06_ask_starttime", [AskStartTime()], lambda s: s.answer_starttime(0x0BADCAFE), "v1_07_starttime"),
    ("v1_08_ask_capacities", [AskCapacities()], lambda s: s.answer_capacities(SIZES), "v1_09_capacities"),
    ("v1_10_ask_dataports", [AskDataPorts()], lambda s: s.answer_dataports(PORTS), "v1_11_dataports"),
]
V2_SERVER: list[ServerStep] = [
    ("v2_03_reply", [LoginProven(2, "host1")], lambda server: server.grant(SESSION, EPOCH), "v2_05_granted"),
    ("v2_06_ask_starttime", [AskStartTime()], lambda s: s.answer_starttime(0x0BADCAFE), "v2_07_starttime"),
    ("v2_08_ask_capacities", [AskCapacities()], lambda s: s.answer_capacities(SIZES), "v2_09_capacities"),
    ("v2_10_ask_dataports", [AskDataPorts()], lambda s: s.answer_dataports(PORTS), "v2_11_dataports"),
    ("v2_20_ask_units", [AskUnits()], lambda s: s.answer_units(UNITS), "v2_21_units"),
    ("v2_22_ask_path", [AskPath(9)], lambda s: s.answer_path(9, PATH_NONCE), "v2_23_path_ticket"),
    (
        "v2_24_ask_path_again",
        [AskPath(10)],
        lambda s: s.refuse_path(10, Detail.PATH_LIMIT),
        "v2_25_path_refused",
    ),
    ("v2_26_ask_fence", [AskFence(9)], lambda s: s.answer_fence(9), "v2_27_fenced"),
    ("v2_28_ping", [], nothing, "v2_29_pong"),
    ("", [], lambda s: s.notify(Notice.UNITS_CHANGED, 2**32 + 3), "v2_30_notice"),
    ("", [], lambda s: s.notify(Notice.EVICTED, sentence=EVICTED), "v2_31_notice_evicted"),
]

HostStep = tuple[Callable[[HostDialogue], None], str, str, list[Event]]
"""What the edge does, golden message sent, golden message received, events it makes."""


def silent(_: HostDialogue) -> None:
    pass


V1_HOST: list[HostStep] = [
    (silent, "v1_03_reply", "v1_05_granted", [Granted(1, 0, 0, "")]),
    (HostDialogue.ask_starttime, "v1_06_ask_starttime", "v1_07_starttime", [StartTime(0x0BADCAFE)]),
    (HostDialogue.ask_capacities, "v1_08_ask_capacities", "v1_09_capacities", [Capacities(SIZES)]),
    (HostDialogue.ask_dataports, "v1_10_ask_dataports", "v1_11_dataports", [DataPorts(PORTS)]),
]
V2_HOST: list[HostStep] = [
    (silent, "v2_03_reply", "v2_05_granted", [Granted(2, SESSION, EPOCH, "box1")]),
    (HostDialogue.ask_starttime, "v2_06_ask_starttime", "v2_07_starttime", [StartTime(0x0BADCAFE)]),
    (HostDialogue.ask_capacities, "v2_08_ask_capacities", "v2_09_capacities", [Capacities(SIZES)]),
    (HostDialogue.ask_dataports, "v2_10_ask_dataports", "v2_11_dataports", [DataPorts(PORTS)]),
    (HostDialogue.ask_units, "v2_20_ask_units", "v2_21_units", [Units(UNITS)]),
    (lambda h: h.ask_path(9), "v2_22_ask_path", "v2_23_path_ticket", [PathTicket(9, PATH_NONCE)]),
    (
        lambda h: h.ask_path(10),
        "v2_24_ask_path_again",
        "v2_25_path_refused",
        [PathRefused(10, NO_PATH.status, NO_PATH.sentence)],
    ),
    (lambda h: h.ask_fence(9), "v2_26_ask_fence", "v2_27_fenced", [Fenced(9)]),
    (HostDialogue.ping, "v2_28_ping", "v2_29_pong", [Pong()]),
    (silent, "", "v2_30_notice", [Notified(Notice.UNITS_CHANGED, 2**32 + 3)]),
    (silent, "", "v2_31_notice_evicted", [Notified(Notice.EVICTED, 0, EVICTED)]),
]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return list(pieces(data, 1))


CUTS = [whole, byte_by_byte]
Cut = Callable[[bytes], list[bytes]]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("version", "steps"), [(1, V1_SERVER), (2, V2_SERVER)])
def test_server(version: int, steps: list[ServerStep], cut: Cut) -> None:
    server = ServerDialogue(2 * version - 1, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
    assert server.data_to_send() == golden(f"v{version}_02_greeting")
    for received, expected, act, sent in steps:
        data = golden(received) if received else b""
        assert [event for piece in cut(data) for event in server.receive(piece)] == expected
        act(server)
        assert server.data_to_send() == golden(sent), sent


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize(("version", "steps"), [(1, V1_HOST), (2, V2_HOST)])
def test_host(version: int, steps: list[HostStep], cut: Cut) -> None:
    host = a_host(version)
    for piece in cut(golden(f"v{version}_02_greeting")):
        assert host.receive(piece) == []
    for act, sent, received, expected in steps:
        act(host)
        assert host.data_to_send() == (golden(sent) if sent else b""), sent
        assert [event for piece in cut(golden(received)) for event in host.receive(piece)] == expected


def a_host(version: int) -> HostDialogue:
    return HostDialogue(3, "host1", SECRET if version == 2 else None, HOST_NONCE)


@pytest.mark.parametrize(("version", "steps"), [(1, V1_SERVER), (2, V2_SERVER)])
def test_server_takes_all_questions_at_once_and_a_tail(version: int, steps: list[ServerStep]) -> None:
    server = ServerDialogue(2 * version - 1, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
    server.receive(golden(steps[0][0]))
    steps[0][2](server)
    server.data_to_send()
    asked = [step for step in steps[1:] if step[1]]
    data = b"".join(golden(step[0]) for step in asked)
    events = server.receive(data + data[:100])
    assert events == [event for step in asked for event in step[1]]
    for step in asked:
        step[2](server)
    assert server.data_to_send() == b"".join(golden(step[3]) for step in asked)


@pytest.mark.parametrize(("version", "steps"), [(1, V1_HOST), (2, V2_HOST)])
def test_host_takes_all_answers_at_once_and_a_tail(version: int, steps: list[HostStep]) -> None:
    host = a_host(version)
    host.receive(golden(f"v{version}_02_greeting"))
    host.receive(golden(steps[0][2]))
    for step in steps[1:]:
        step[0](host)
    data = b"".join(golden(step[2]) for step in steps[1:])
    events = host.receive(data + data[:100])
    assert events == [event for step in steps[1:] for event in step[3]]


def test_no_golden_message_lies_unused() -> None:
    here = FOLDER.parent
    sources = [path.read_text() for path in [*here.glob("*.py"), *here.glob("v?/*.py")]]
    for path in FOLDER.glob("*.hex"):
        stem = path.stem
        wildcard = f'golden(f"v{{version}}_{stem.partition("_")[2]}")'
        assert any(f'"{stem}"' in source or wildcard in source for source in sources), stem
