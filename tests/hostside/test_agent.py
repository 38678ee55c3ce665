"""Proves the agent's bytes, whichever way they are split: what is asked is sent once, what is answered reaches its
slot, each command is reported once, and nothing is touched after its report. Every doubt ends the path.
"""

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hostside.agent
import hostside.incoming
from hostside.agent import PathLost
from hostside.packets import Report
from ipc.exits import Exit
from ipc.silence import Silence
from protocol.data import host_data
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES
from protocol.ops import Flag, Op
from protocol.path_login import (
    V1Token,
    V2Token,
    path_token,
    v1_login_refusal,
    v2_login_answer,
    v2_login_refusal,
)
from protocol.status import Detail
from protocol.timers import ANSWER_MOST_S, ANSWER_WITHIN_S, LOOK_EVERY_S, PING_EVERY_S, UNANSWERED_MOST_S
from tests.hostside.agent_peer import Nsu, live
from tests.hostside.agent_rig import (
    MARKER,
    PATH,
    SESSION,
    SLOTS,
    Drive,
    Rig,
    make_order,
    make_wiring,
    reports_in,
)

WIRING = make_wiring()
"""One for all examples of a property; each leaves its queues empty."""
EIO, ESHUTDOWN = 5, 108
TINY_CUTS_MOST = 300


@pytest.fixture(params=[1, 2], ids=["v1", "v2"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    rig = Rig(request.param)
    yield rig
    rig.close()


@pytest.fixture
def rig2() -> Iterator[Rig]:
    rig = Rig(2)
    yield rig
    rig.close()


def talk(rig: Rig) -> None:
    """Let both ends go on until both have nothing more to say."""
    rig.go_out()
    while received := rig.arrived():
        for answer in rig.drive.answers(received):
            rig.come_in(answer)
        rig.go_out()


# -- bytes, split in every way -----------------------------------------------------------------------------------

Step = tuple[Literal["read", "write", "flush"], int, bool, bool]
"""Operation, blocks, whether the NSU refuses it, whether it is traced."""
steps = st.tuples(
    st.sampled_from(["read", "read", "write", "flush"]),
    st.one_of(st.integers(1, 4), st.integers(28, 36), st.just(128)),
    st.booleans(),
    st.booleans(),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(steps, min_size=1, max_size=14),
    cuts=st.lists(st.one_of(st.integers(1, 40), st.integers(400, 700), st.integers(1, 90_000)), min_size=1),
    window=st.integers(1, 6),
    version=st.sampled_from([1, 2]),
    payload_crc=st.booleans(),
)
def test_however_answers_are_split_each_byte_reaches_its_place(
    steps: list[Step], cuts: list[int], window: int, version: int, payload_crc: bool
) -> None:
    """Cuts are lengths of what comes in at once, used in turn; refusals are strewn among reads and writes."""
    rig = Rig(version, window=window, payload_crc=payload_crc, wiring=WIRING)
    try:
        asked: dict[int, tuple[Step, int, int]] = {}
        lba = 0
        for slot, step in enumerate(steps):
            kind, blocks, refused, traced = step
            if version == 1 and kind == "flush":
                continue
            op = Op[kind.upper()]
            rig.slot(slot, 65536)[:] = bytes([slot + 1]) * 65536
            flags = int(Flag.TRACE) if traced else 0
            tag = rig.command(op, lba, blocks * 512 if op != Op.FLUSH else 0, slot=slot, flags=flags)
            if refused:
                rig.drive.fail[lba] = (EIO, int(Detail.DRIVE_FAILED), "no such luck")
            asked[tag] = (step, lba, slot)
            lba += blocks
        written_before = bytes(rig.drive.data)
        reported: list[int] = []
        at_report: dict[int, bytes] = {}
        wire = bytearray()
        turn = 0
        while len(reported) < len(asked):
            rig.go_out()
            for answer in rig.drive.answers(rig.arrived()):
                wire += answer
            size = cuts[turn % len(cuts)] if turn < TINY_CUTS_MOST else 90_000
            turn += 1
            assert turn < 2 * TINY_CUTS_MOST, "it waits for what has come, or lost it"
            if wire:
                rig.come_in(bytes(wire[:size]))
                del wire[:size]
            for said in rig.reports():
                assert (said.kind, said.path, said.incarnation) == (Report.DONE, PATH, rig.order.incarnation)
                (kind, blocks, refused, _), at, slot = asked[said.tag]
                assert said.status == (EIO if refused else 0)
                if kind == "read" and not refused:
                    assert rig.slot(slot, blocks * 512) == rig.drive.data[at * 512 : (at + blocks) * 512]
                if kind == "write":
                    assert rig.drive.data[at * 512 : (at + blocks) * 512] == (
                        written_before[at * 512 : (at + blocks) * 512]
                        if refused
                        else bytes([slot + 1]) * (blocks * 512)
                    )
                reported.append(said.tag)
                at_report[slot] = bytes(rig.slot(slot, 65536))
        assert reported == list(asked)  # each once, in the order they were asked
        assert not wire
        for slot, data in at_report.items():
            assert rig.slot(slot, 65536) == data, "a slot was written after its report"
        assert len(rig.agent.headers) == rig.order.window
    finally:
        rig.close()


@pytest.mark.parametrize("direct_bytes", [512, 1 << 20], ids=["straight into the slot", "by way of the buffer"])
@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_every_place_to_split(monkeypatch: pytest.MonkeyPatch, version: int, direct_bytes: int) -> None:
    """A good read, a refused one, a long one, a write and a read again: cut in two at each single byte."""
    monkeypatch.setattr(hostside.incoming, "LARGE_BYTES", direct_bytes)
    rig = Rig(version)
    rig.drive.fail[8] = (EIO, 0, "")
    asked = [(Op.READ, 0, 512), (Op.READ, 8, 512), (Op.READ, 16, 1024), (Op.WRITE, 24, 512), (Op.READ, 32, 512)]
    rounds = [asked] if version == 2 else [[each] for each in asked]  # 0x01 asks one at a time
    for each in rounds:
        answer_bytes = sum(HEADER_BYTES + (length if op == Op.READ and lba != 8 else 0) for op, lba, length in each)
        for cut in range(1, answer_bytes):
            for slot, (op, lba, length) in enumerate(each):
                if op == Op.READ:
                    rig.slot(slot, length)[:] = b"\xee" * length
                rig.command(op, lba, length, slot=slot)
            rig.go_out()
            wire = b"".join(rig.drive.answers(rig.arrived()))
            assert len(wire) == answer_bytes
            rig.come_in(wire[:cut])
            said = rig.reports()
            rig.come_in(wire[cut:])
            said += rig.reports()
            assert [report.status for report in said] == [EIO if lba == 8 else 0 for _, lba, _ in each]
            for slot, (op, lba, length) in enumerate(each):
                if op == Op.READ and lba != 8:
                    assert rig.slot(slot, length) == rig.drive.data[lba * 512 : lba * 512 + length], (cut, lba)
    rig.close()


@pytest.mark.parametrize("lengths", [[], [512], [512, 1024, 16384], [65536, 65536]])
def test_a_refused_read_gives_back_all_that_came_in_its_place(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int]
) -> None:
    """Little of the next answers lies in its slot, or more, in it and behind it, than the buffer would hold beside."""
    monkeypatch.setattr(hostside.incoming, "RECEIVE_BYTES", 72 << 10)
    rig = Rig(2)
    rig.drive.fail[0] = (EIO, 0, "")
    rig.command(Op.READ, 0, 65536)
    for slot, length in enumerate(lengths, 1):
        rig.command(Op.READ, slot * 128, length, slot=slot)
    rig.go_out()
    rig.come_in(b"".join(rig.drive.answers(rig.arrived())))
    assert [said.status for said in rig.reports()] == [EIO] + [0] * len(lengths)
    for slot, length in enumerate(lengths, 1):
        assert rig.slot(slot, length) == rig.drive.data[slot * 65536 : slot * 65536 + length]
    rig.close()


def test_a_send_that_is_taken_in_parts_arrives_whole() -> None:
    """2 MiB of writes through a socket that holds a part of it; answers are taken in between."""
    rig = Rig(2, window=32)
    for slot in range(SLOTS):
        rig.slot(slot, 65536)[:] = bytes([slot ^ 0x5A]) * 65536
        rig.command(Op.WRITE, slot * 128, 65536, slot=slot)
    rig.go_out()
    assert rig.agent.out, "the socket has taken all at once: this test shows nothing"
    talk(rig)
    assert [said.status for said in rig.reports()] == [0] * SLOTS
    assert rig.drive.data[: SLOTS * 65536] == b"".join(bytes([slot ^ 0x5A]) * 65536 for slot in range(SLOTS))
    rig.close()


# -- what is asked -----------------------------------------------------------------------------------------------


def test_v1_asks_one_at_a_time() -> None:
    rig = Rig(1)
    for slot in range(3):
        rig.command(Op.READ, slot, slot=slot)
    for done in range(3):
        rig.go_out()
        asked = rig.arrived()
        assert len(asked) == HEADER_BYTES
        rig.come_in(b"".join(rig.drive.answers(asked)))
        assert [said.tag for said in rig.reports()] == [done + 1]
    rig.close()


def test_no_more_than_the_window_is_on_the_wire() -> None:
    rig = Rig(2, window=3)
    for slot in range(8):
        rig.command(Op.READ, slot, slot=slot)
    rig.go_out()
    assert len(rig.arrived()) == 3 * HEADER_BYTES
    rig.close()


def test_what_was_meant_for_a_predecessor_is_thrown_away(rig: Rig) -> None:
    rig.command(Op.WRITE, 0, incarnation=rig.order.incarnation - 1)
    mine = rig.command(Op.WRITE, 8, slot=1)
    talk(rig)
    assert [said.tag for said in rig.reports()] == [mine]
    assert rig.drive.data[:512] == bytes(range(256)) * 2


def test_1h_offers_each_disk_the_whole_window() -> None:
    wiring = make_wiring(disks=3)
    rig = Rig(2, window=8, wiring=wiring)
    rig.agent.say_available()
    for disk in range(3):
        (said,) = rig.reports(disk)
        assert (said.kind, said.path, said.incarnation, said.credits) == (Report.AVAILABLE, PATH, 5, 8)
    rig.close()


def test_each_disk_hears_of_its_own() -> None:
    wiring = make_wiring(disks=2)
    rig = Rig(2, wiring=wiring)
    first, second = rig.command(Op.READ, 1, disk=0), rig.command(Op.READ, 2, disk=1)
    talk(rig)
    assert [said.tag for said in rig.reports(0)] == [first]
    assert [said.tag for said in rig.reports(1)] == [second]
    assert rig.slot(0, 512, disk=1) == rig.drive.data[1024:1536]
    rig.close()


# -- doubts end the path -----------------------------------------------------------------------------------------


def test_an_answer_to_what_is_not_wholly_sent_ends_the_path() -> None:
    """Otherwise the slot would be given back, and filled with another's data, while it is still being sent."""
    rig = Rig(2, window=32)
    for slot in range(SLOTS):
        rig.command(Op.WRITE, slot * 128, 65536, slot=slot)
    rig.go_out()
    whole = len(rig.arrived()) // (HEADER_BYTES + 65536)
    assert rig.agent.out
    # A second machine answers what it only knows the headers of.
    header = memoryview(bytearray(HEADER_BYTES))
    hasty = Drive(2)
    asked = host_data(2, session=SESSION, epoch=11, path=PATH, marker=MARKER)
    for slot in range(whole + 1):
        asked.request(
            header, op=Op.WRITE, flags=0, unit=1, generation=3, lba=slot * 128, size_bytes=65536, tag=slot + 1
        )
        (answer,) = hasty.answers(bytes(header) + bytes(65536))
        if slot < whole:
            rig.come_in(answer)
        else:
            with pytest.raises(PathLost, match="before it had the whole"):
                rig.come_in(answer)
    assert [said.tag for said in rig.reports()] == [slot + 1 for slot in range(whole)]
    rig.close()


def test_an_answer_nobody_asked_for_ends_the_path(rig: Rig) -> None:
    with pytest.raises(RemoteProtocolError):
        rig.come_in(bytes(HEADER_BYTES))


def test_another_requests_answer_ends_the_path(rig: Rig) -> None:
    """Size, unit, operation and block must be those of the oldest request before a byte of data is taken."""
    other = Rig(rig.order.version, wiring=make_wiring())
    other.command(Op.READ, 0, 1024)
    other.go_out()
    wrong = b"".join(other.drive.answers(other.arrived()))
    rig.command(Op.READ, 0, 512)
    rig.go_out()
    with pytest.raises(RemoteProtocolError):
        rig.come_in(wrong)
    assert rig.reports() == []
    other.close()


def test_the_end_of_the_stream_ends_the_path(rig: Rig) -> None:
    rig.nsu.close()
    with pytest.raises(PathLost, match="closed the path"):
        rig.agent.receive()


@pytest.mark.parametrize("length", [512, 65536])
def test_data_damaged_on_its_way_is_never_reported(length: int) -> None:
    rig = Rig(2, payload_crc=True)
    rig.drive.damage_crc = True
    rig.command(Op.READ, 0, length)
    rig.go_out()
    with pytest.raises(PathLost, match="CRC32C"):
        rig.come_in(b"".join(rig.drive.answers(rig.arrived())))
    assert rig.reports() == []
    rig.close()


def test_a_write_damaged_on_its_way_is_sent_again_elsewhere() -> None:
    rig = Rig(2, payload_crc=True)
    rig.drive.fail[0] = (EIO, int(Detail.PAYLOAD_CRC), "")
    rig.command(Op.WRITE, 0)
    rig.go_out()
    with pytest.raises(PathLost, match="nothing of it was written"):
        rig.come_in(b"".join(rig.drive.answers(rig.arrived())))
    assert rig.reports() == []
    rig.close()


# -- what is told ------------------------------------------------------------------------------------------------


def test_a_refusal_tells_its_errno_its_detail_and_its_sentence(rig2: Rig) -> None:
    rig2.drive.fail[4] = (ESHUTDOWN, int(Detail.SHUTTING_DOWN), "We close at five.")
    tag = rig2.command(Op.WRITE, 4)
    talk(rig2)
    (said,) = rig2.reports()
    assert (said.tag, said.status, said.detail) == (tag, ESHUTDOWN, Detail.SHUTTING_DOWN)
    assert rig2.wiring.disks[0].notes.read(tag) == "We close at five."


def test_the_machines_own_refusals_come_through(rig2: Rig) -> None:
    rig2.generation += 1
    rig2.command(Op.READ, 0)
    talk(rig2)
    (said,) = rig2.reports()
    assert said.detail == Detail.STALE_GENERATION


def test_a_traced_request_has_all_its_stamps_in_order(rig2: Rig) -> None:
    tag = rig2.command(Op.WRITE, 0, flags=int(Flag.TRACE))
    talk(rig2)
    stamps = rig2.wiring.disks[0].notes.named_stamps(tag)
    assert set(stamps) == {"2H", "3H", "4H", "5H", "6H", "2S", "3S", "4S", "5S", "6S"}
    host = [stamps[stage] for stage in ("2H", "3H", "4H", "5H", "6H")]
    assert host == sorted(host)
    assert [stamps[f"{n}S"] for n in range(2, 7)] == [1, 2, 3, 4, 5]


def test_3h_is_stamped_when_the_last_byte_of_that_request_went() -> None:
    """Not when there is nothing more to send: its row of the notes may be another's by then."""
    rig = Rig(2, window=32)
    first = rig.command(Op.WRITE, 0, 65536, flags=int(Flag.TRACE))
    for slot in range(1, SLOTS):
        rig.command(Op.WRITE, slot * 128, 65536, slot=slot)
    rig.go_out()
    assert rig.agent.out
    assert "3H" in rig.wiring.disks[0].notes.named_stamps(first)
    rig.close()


def test_the_counters_count(rig2: Rig) -> None:
    rig2.drive.fail[16] = (EIO, 0, "")
    rig2.command(Op.READ, 0, 1024)
    rig2.command(Op.WRITE, 8, 512)
    rig2.command(Op.READ, 16, 512)
    talk(rig2)
    row = rig2.wiring.counters.row(PATH)
    assert [row.get(name) for name in ("requests", "errors", "read_bytes", "written_bytes")] == [3, 1, 1024, 512]
    assert sum(rig2.wiring.latencies.row(PATH).cells) == 3


# -- silence -----------------------------------------------------------------------------------------------------


@pytest.fixture
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """For how long the peer's kernel has been silent: one number, to be changed. A pair of Unix sockets has none."""
    unanswered_s = [0.0]
    monkeypatch.setattr(hostside.agent, "unanswered_s", lambda _sock: unanswered_s[0])
    return unanswered_s


def be_silent(rig: Rig, seconds: float) -> None:
    """Have nothing heard for so long, listening all the time, and look."""
    rig.agent.heard_ns = time.monotonic_ns() - int(seconds * 1e9)
    rig.agent.silence = Silence(seconds)
    rig.agent.look()


@pytest.mark.usefixtures("acknowledged")
def test_an_idle_path_is_pinged_and_an_answer_is_enough(rig2: Rig) -> None:
    be_silent(rig2, PING_EVERY_S - 0.1)
    assert rig2.arrived() == b""
    be_silent(rig2, PING_EVERY_S + 0.1)
    talk(rig2)
    assert rig2.drive.pings == 1
    assert rig2.reports() == []
    be_silent(rig2, PING_EVERY_S + ANSWER_WITHIN_S + 0.1)  # the ping before was answered: this asks anew
    assert len(rig2.arrived()) == HEADER_BYTES


@pytest.mark.usefixtures("acknowledged")
def test_a_ping_without_an_answer_ends_the_path(rig2: Rig) -> None:
    be_silent(rig2, PING_EVERY_S + 0.1)
    be_silent(rig2, PING_EVERY_S + ANSWER_WITHIN_S - 0.1)
    with pytest.raises(PathLost, match="did not answer a ping"):
        be_silent(rig2, PING_EVERY_S + ANSWER_WITHIN_S + 0.1)


@pytest.mark.usefixtures("acknowledged")
def test_a_request_behind_a_ping_is_not_confused_with_it(rig2: Rig) -> None:
    be_silent(rig2, PING_EVERY_S + 0.1)
    tag = rig2.command(Op.READ, 3, 16384)
    talk(rig2)
    assert [said.tag for said in rig2.reports()] == [tag]
    assert rig2.slot(0, 16384) == rig2.drive.data[1536 : 1536 + 16384]


@pytest.mark.usefixtures("acknowledged")
def test_a_busy_path_may_wait_for_its_drive(rig: Rig) -> None:
    """Not pinged, for the ping would wait behind the request; and not given up before ANSWER_MOST_S."""
    rig.command(Op.READ, 0)
    rig.go_out()
    assert len(rig.arrived()) == HEADER_BYTES
    be_silent(rig, ANSWER_MOST_S - 0.1)
    assert rig.arrived() == b""
    with pytest.raises(PathLost, match="answered nothing for 60 s"):
        be_silent(rig, ANSWER_MOST_S)


@pytest.mark.parametrize("is_busy", [True, False], ids=["busy", "idle"])
def test_a_peer_whose_kernel_is_silent_is_given_up(rig: Rig, acknowledged: list[float], is_busy: bool) -> None:
    if is_busy:
        rig.command(Op.READ, 0)
        rig.go_out()
    acknowledged[0] = UNANSWERED_MOST_S - 0.1
    be_silent(rig, UNANSWERED_MOST_S - 0.1)
    acknowledged[0] = UNANSWERED_MOST_S
    with pytest.raises(PathLost, match="out of reach"):
        be_silent(rig, UNANSWERED_MOST_S)


def test_an_agent_that_was_away_itself_gives_its_peer_time(rig2: Rig, acknowledged: list[float]) -> None:
    """As after the sleep of a laptop: the clocks of both have run on, and what came is not yet received."""
    be_silent(rig2, PING_EVERY_S + 0.1)
    rig2.agent.heard_ns = time.monotonic_ns() - 1000 * 10**9
    acknowledged[0] = 1000.0
    rig2.agent.silence = Silence(LOOK_EVERY_S)
    rig2.agent.look()
    talk(rig2)
    assert rig2.drive.pings == 1


def test_the_path_tells_when_it_was_heard(rig2: Rig) -> None:
    """For the host process, when the configuration socket is silent."""
    rig2.command(Op.READ, 0)
    rig2.go_out()
    before_ns = time.monotonic_ns()
    rig2.come_in(b"".join(rig2.drive.answers(rig2.arrived())))
    assert rig2.wiring.heard_ns(PATH) >= before_ns


@pytest.mark.usefixtures("acknowledged")
def test_v1_has_no_ping() -> None:
    rig = Rig(1)
    be_silent(rig, 100)
    assert rig.arrived() == b""
    rig.close()


# -- the whole life, over TCP ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [1, 2], ids=["v1", "v2"])
def test_it_logs_in_serves_and_ends_when_the_nsu_closes(version: int) -> None:
    """The NSU closes behind its third answer: all three are reported, then the path is lost."""
    wiring = make_wiring()
    nsu = Nsu(make_order(version), requests_most=3)
    rig = Rig(version, wiring=wiring)  # for its `command`
    tags = [rig.command(Op.READ, slot * 128, 65536, slot=slot) for slot in range(3)]
    code, reason = live(nsu.order, wiring)
    nsu.thread.join(5)
    assert code == Exit.PATH_LOST
    assert reason
    available, *done = reports_in(wiring.disks[0].reports)
    assert available.kind == Report.AVAILABLE
    assert [said.tag for said in done] == tags
    for slot in range(3):
        assert rig.slot(slot, 65536) == nsu.drive.data[slot * 65536 : (slot + 1) * 65536]
    if version == 1:
        assert nsu.token == V1Token(nsu.order.challenge)
    else:
        assert isinstance(nsu.token, V2Token)
        assert nsu.order.session_key is not None
        assert nsu.token.token == path_token(nsu.order.session_key, b"host", SESSION, PATH, nsu.order.nonce)
    rig.close()


@pytest.mark.parametrize(
    ("version", "answer", "code", "words"),
    [
        (1, v1_login_refusal(Detail.PATH_TOKEN), Exit.PATH_REFUSED, "refused"),
        (2, v2_login_refusal(SESSION, PATH, Detail.PATH_TOKEN), Exit.PATH_REFUSED, "token"),
        (2, v2_login_answer(SESSION, PATH, MARKER, bytes(32)), Exit.PATH_LOST, "did not prove"),
        (2, v2_login_answer(SESSION, PATH + 1, MARKER, bytes(32)), Exit.PATH_LOST, "another data socket"),
        (2, bytes(HEADER_BYTES), Exit.PATH_LOST, ""),
        (1, b"", Exit.PATH_LOST, "closed the data socket before"),
    ],
    ids=["v1 refused", "v2 refused", "impostor", "another path's", "zeros", "nothing"],
)
def test_a_login_that_fails_says_why_and_nothing_is_available(
    version: int, answer: bytes, code: Exit, words: str
) -> None:
    wiring = make_wiring()
    nsu = Nsu(make_order(version), answer=answer)
    ended, reason = live(nsu.order, wiring)
    nsu.thread.join(5)
    assert ended == code
    assert words in reason
    assert reason
    assert wiring.disks[0].reports.empty()


def test_nobody_at_the_port_is_a_lost_path_with_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    wiring = make_wiring()
    code, reason = live(replace(make_order(2), port=port), wiring)
    assert code == Exit.PATH_LOST
    assert f"127.0.0.1:{port}" in reason


def test_asked_to_stop_it_ends_when_nothing_is_in_flight() -> None:
    """What is on the wire when it is asked is answered and reported first."""
    wiring = make_wiring()
    rig = Rig(2, wiring=wiring)
    tag = rig.command(Op.READ, 0, slot=3)
    rig.agent.poll.unregister(rig.agent.sock.fileno())
    lived = threading.Thread(target=rig.agent.run)
    lived.start()
    rig.nsu.setblocking(True)
    rig.nsu.settimeout(5)
    asked = rig.nsu.recv(HEADER_BYTES)
    rig.agent.life._take_sigterm(15, None)
    rig.command(Op.READ, incarnation=rig.order.incarnation - 1)  # wakes it up
    while lived.is_alive() and not wiring.commands[PATH].empty():
        time.sleep(0.001)
    rig.nsu.sendall(b"".join(rig.drive.answers(asked)))
    lived.join(5)
    assert not lived.is_alive()
    assert [said.tag for said in reports_in(wiring.disks[0].reports)][-1:] == [tag]
    rig.close()
