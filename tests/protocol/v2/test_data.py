"""Version 0x02 of the data socket: golden bytes, both roles against each other, and nothing in doubt is obeyed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.crc import crc32c
from protocol.data import Answer, HostData, Refusal, Request, ServerData, UnitLimits, host_data, server_data
from protocol.errors import RemoteProtocolError
from protocol.limits import REQUEST_BYTES_MAX, U32_MAX, U64_MAX
from protocol.ops import Op
from protocol.status import DETAILS, Detail, Status
from protocol.v2.codec import Header, decode, encode
from tests.protocol.goldens import EPOCH, MARKER, SESSION, V2_ANSWERS, V2_REQUESTS, golden

UNITS = [UnitLimits(1001, True, 5), UnitLimits(1 << 40, False, 5), None]


def a_server() -> ServerData:
    return server_data(2, session=SESSION, epoch=EPOCH, path=9, marker=MARKER, units=UNITS)


def a_host() -> HostData:
    return host_data(2, session=SESSION, epoch=EPOCH, path=9, marker=MARKER)


def send_golden_requests(host: HostData) -> list[bytes]:
    frames = []
    for index, (_, op, flags, lba, size_bytes, payload_crc) in enumerate(V2_REQUESTS):
        into = memoryview(bytearray(b"\xff" * 512))
        host.request(
            into,
            op=op,
            flags=flags,
            unit=0 if op == Op.PING else 1,
            generation=0 if op == Op.PING else 5,
            lba=lba,
            size_bytes=size_bytes,
            tag=1000 + index,
            payload_crc=payload_crc,
        )
        frames.append(bytes(into))
    return frames


def take(server: ServerData, frame: bytes) -> Request:
    request = server.next(memoryview(frame), 0, 512)
    assert request is not None
    return request


def take_answer(host: HostData, frame: bytes) -> Answer:
    answer = host.next(memoryview(frame), 0, 512)
    assert answer is not None
    return answer


def test_host_says_the_golden_requests() -> None:
    assert send_golden_requests(a_host()) == [golden(row[0]) for row in V2_REQUESTS]


def test_server_reads_the_golden_requests() -> None:
    server = a_server()
    for index, (name, op, flags, lba, size_bytes, payload_crc) in enumerate(V2_REQUESTS):
        request = take(server, golden(name))
        assert request.refusal is None, name
        assert (request.op, request.flags, request.lba, request.size_bytes) == (op, flags, lba, size_bytes)
        assert (request.sequence, request.request_id) == (index, 1000 + index)
        assert request.payload_bytes == (512 if op == Op.WRITE else 0)
        assert request.payload_crc == (payload_crc if op == Op.WRITE else None)
        assert request.wants_crc == request.traced == (op == Op.READ)


def test_server_says_the_golden_answers() -> None:
    server = a_server()
    for index, (row, name) in enumerate(zip(V2_REQUESTS, V2_ANSWERS, strict=True)):
        request = take(server, golden(row[0]))
        into = memoryview(bytearray(b"\xff" * 512))
        if index == 0:
            server.answer(request, into, payload_crc=crc32c(b"\x5a" * 4096), times=(1, 2, 3, 4, 5, 0))
        elif index == 1:
            server.answer(request, into, status=Status.EROFS, detail=Detail.READ_ONLY)
        else:
            server.answer(request, into)
        assert bytes(into) == golden(name), name


@pytest.mark.parametrize("lead_bytes", [0, 100])
def test_host_reads_the_golden_answers_in_their_order(lead_bytes: int) -> None:
    host = a_host()
    send_golden_requests(host)
    assert host.outstanding == 6
    buffer = memoryview(bytes(lead_bytes) + b"".join(map(golden, V2_ANSWERS)) + b"tail")
    answers = []
    for start in range(lead_bytes, len(buffer) - 511, 512):
        assert host.next(buffer, start, start + 511) is None, "not whole yet"
        answer = host.next(buffer, start, len(buffer))
        assert answer is not None
        answers.append(answer)
    assert [answer.tag for answer in answers] == [1000, 1001, 1002, 1003, 1004, 1005]
    assert [answer.payload_bytes for answer in answers] == [4096, 0, 0, 0, 0, 0]
    read, refused = answers[0], answers[1]
    assert (read.payload_crc, read.times) == (crc32c(b"\x5a" * 4096), (1, 2, 3, 4, 5, 0))
    assert (refused.status, refused.detail) == (Status.EROFS, Detail.READ_ONLY)
    assert refused.sentence == DETAILS[Detail.READ_ONLY].sentence
    assert answers[2].times == (0,) * 6
    assert host.outstanding == 0


BASE = Header(
    zn_hostid=SESSION,
    zn_zlun=1,
    zn_op=Op.WRITE,
    zn_reqsz_lo=1024,
    zn_marker=MARKER,
    session_epoch=EPOCH,
    path=9,
    generation=5,
)


@given(st.integers(0, 511), st.integers(0, 7))
def test_a_changed_bit_gets_no_answer(offset: int, bit: int) -> None:
    server = a_server()
    frame = bytearray(encode(BASE))
    frame[offset] ^= 1 << bit
    with pytest.raises(RemoteProtocolError):
        server.next(memoryview(frame), 0, 512)
    assert server.next(memoryview(encode(BASE)), 0, 512) is None, "after a frame in doubt nothing is read"


@pytest.mark.parametrize(
    "wrong",
    [
        {"zn_marker": MARKER + 1},
        {"session_epoch": EPOCH - 1},
        {"zn_hostid": SESSION + 1},
        {"path": 8},
        {"zn_sequence": 1},
    ],
    ids=str,
)
def test_another_life_of_the_path_gets_no_answer(wrong: dict[str, Any]) -> None:
    with pytest.raises(RemoteProtocolError, match="due"):
        take(a_server(), encode(BASE._replace(**wrong)))


def test_a_replayed_request_gets_no_answer() -> None:
    server = a_server()
    take(server, encode(BASE))
    with pytest.raises(RemoteProtocolError):
        take(server, encode(BASE))


@pytest.mark.parametrize(
    ("fields", "detail", "payload_bytes", "close_after"),
    [
        ({"zn_zlun": 2}, Detail.NO_SUCH_UNIT, 1024, False),
        ({"zn_zlun": U32_MAX}, Detail.NO_SUCH_UNIT, 1024, False),
        ({"zn_zlun": 0}, Detail.READ_ONLY, 1024, False),
        ({"generation": 4}, Detail.STALE_GENERATION, 1024, False),
        ({"zn_reqsz_lo": 0}, Detail.ZERO_SIZE, 0, False),
        ({"zn_reqsz_lo": 1000}, Detail.UNALIGNED, 1000, False),
        ({"zn_reqsz_lo": REQUEST_BYTES_MAX + 512}, Detail.TOO_LARGE, REQUEST_BYTES_MAX + 512, False),
        ({"zn_lba_hi": U32_MAX, "zn_lba_lo": U32_MAX}, Detail.PAST_END, 1024, False),
        ({"zn_reqsz_hi": 1}, Detail.TOO_LARGE, 0, True),
        ({"zn_op": Op.READ, "zn_reqsz_hi": 1}, Detail.TOO_LARGE, 0, False),
        ({"zn_op": Op.TRIM, "zn_reqsz_hi": U32_MAX}, Detail.PAST_END, 0, False),
        ({"zn_op": Op.FLUSH, "zn_zlun": 2}, Detail.NO_SUCH_UNIT, 0, False),
        ({"zn_op": 8}, Detail.UNKNOWN_OP, 0, True),
        ({"zn_op": 8, "zn_reqsz_lo": 0}, Detail.UNKNOWN_OP, 0, False),
        ({"zn_op": Op.GET_UNITS, "zn_reqsz_lo": 0}, Detail.UNKNOWN_OP, 0, False),
        ({"zn_type": 2}, Detail.WRONG_TYPE, 0, True),
        ({"zn_version": 1}, Detail.WRONG_VERSION, 0, True),
    ],
    ids=str,
)
def test_each_bad_request(fields: dict[str, Any], detail: Detail, payload_bytes: int, close_after: bool) -> None:
    server = a_server()
    request = take(server, encode(BASE._replace(**fields)))
    assert request.refusal == Refusal(DETAILS[detail].status, detail, DETAILS[detail].sentence)
    assert (request.payload_bytes, request.close_after) == (payload_bytes, close_after)
    into = memoryview(bytearray(512))
    server.answer(request, into, status=request.refusal.status, detail=request.refusal.detail)
    answer = decode(bytes(into))
    assert (answer.zn_status, answer.zn_flags) == (DETAILS[detail].status, detail)
    assert answer.text.rstrip(b"\0").decode() == DETAILS[detail].sentence
    follower = server.next(memoryview(encode(BASE._replace(zn_sequence=1))), 0, 512)
    assert (follower is None) == close_after


def test_a_changed_unit_counts_from_the_next_request_on() -> None:
    units: list[UnitLimits | None] = [UnitLimits(1001, False, 5)]
    server = server_data(2, session=SESSION, epoch=EPOCH, path=9, marker=MARKER, units=units)
    assert take(server, encode(BASE._replace(zn_zlun=0))).refusal is None
    units[0] = UnitLimits(1001, False, 6)
    refusal = take(server, encode(BASE._replace(zn_zlun=0, zn_sequence=1))).refusal
    assert refusal is not None
    assert refusal.status == Status.ESTALE


GOOD_ANSWER = decode(golden("v2_60_read_answer"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"zn_sequence": 1},
        {"zn_op": 3},
        {"zn_zlun": 0},
        {"zn_reqsz_lo": 512},
        {"zn_requestid": 1001},
        {"zn_lba_lo": 6},
        {"zn_marker": 0},
        {"session_epoch": 0},
        {"path": 10},
        {"zn_hostid": 0},
        {"zn_version": 1},
        {"zn_type": 0},
    ],
    ids=str,
)
def test_host_reads_no_data_after_an_answer_that_is_not_due(wrong: dict[str, Any]) -> None:
    host = a_host()
    send_golden_requests(host)
    with pytest.raises(RemoteProtocolError):
        take_answer(host, encode(GOOD_ANSWER._replace(**wrong)))
    assert host.next(memoryview(encode(GOOD_ANSWER)), 0, 512) is None


def test_host_refuses_answers_out_of_order_or_unasked_or_broken() -> None:
    with pytest.raises(RemoteProtocolError, match="not asked"):
        take_answer(a_host(), golden(V2_ANSWERS[0]))
    host = a_host()
    send_golden_requests(host)
    with pytest.raises(RemoteProtocolError, match="is due"):
        take_answer(host, golden(V2_ANSWERS[1]))
    host = a_host()
    send_golden_requests(host)
    with pytest.raises(RemoteProtocolError, match="CRC32C"):
        take_answer(host, golden(V2_ANSWERS[0])[:-1] + b"\0")


@given(st.binary(max_size=3000).map(bytearray), st.integers(0, 600))
def test_noise_is_never_obeyed(noise: bytearray, start: int) -> None:
    for machine in (a_server(), a_host()):
        if len(noise) - start < 512:
            assert machine.next(memoryview(noise), start, len(noise)) is None
        else:
            with pytest.raises(RemoteProtocolError):
                machine.next(memoryview(noise), start, len(noise))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([Op.READ, Op.WRITE, Op.FLUSH, Op.TRIM, Op.WRITE_ZEROES, Op.PING]),
            st.integers(0, 3),
            st.integers(0, U64_MAX),
            st.integers(0, U64_MAX),
            st.integers(0, U32_MAX),
            st.sampled_from([0, Status.EIO]),
        ),
        max_size=8,
    )
)
def test_what_one_role_says_the_other_reads(rows: list[tuple[Op, int, int, int, int, int]]) -> None:
    server, host = a_server(), a_host()
    for op, unit, lba, size_bytes, tag, status in rows:
        frame = memoryview(bytearray(512))
        host.request(frame, op=op, flags=0, unit=unit, generation=5, lba=lba, size_bytes=size_bytes, tag=tag)
        request = take(server, bytes(frame))
        assert (request.op, request.unit, request.lba) == (op, unit, lba)
        assert (request.size_bytes, request.request_id) == (size_bytes, tag)
        if request.close_after:
            return
        server.answer(request, frame, status=status, sentence="Prüfung" * 100)
        answer = take_answer(host, bytes(frame))
        assert (answer.tag, answer.op, answer.status) == (tag, op, status)
        assert answer.payload_bytes == (size_bytes if op == Op.READ and not status else 0)
        assert answer.sentence == ("Prüfung" * 32 if status else "")
    assert host.outstanding == 0


def test_sequence_numbers_go_round() -> None:
    server, host = a_server(), a_host()
    for machine in (server, host):
        assert hasattr(machine, "_sequence")
        machine._sequence = U32_MAX
    frame = memoryview(bytearray(512))
    for _ in range(2):
        host.request(frame, op=Op.PING, flags=0, unit=0, generation=0, lba=0, size_bytes=0, tag=1)
        request = take(server, bytes(frame))
        server.answer(request, frame)
        take_answer(host, bytes(frame))
    assert request.sequence == 0


# -- the fast twins ----------------------------------------------------------------------------------------------

FIELDS = [name for name in Header._fields if name not in ("header_crc", "text", "nonce", "proof")]


def a_request(**fields: int) -> bytes:
    """Give one plain READ of the second unit, but for `fields`."""
    plain = {"zn_hostid": SESSION, "zn_zlun": 1, "zn_op": Op.READ, "zn_requestid": 77, "zn_reqsz_lo": 4096}
    plain |= {"zn_lba_lo": 8, "zn_marker": MARKER, "session_epoch": EPOCH, "path": 9, "generation": 5}
    return encode(Header(**(plain | fields)))


def plain_of(server: ServerData, frame: bytes, payload_bytes: int = 0) -> tuple[int, int, int, int] | None:
    buffer = bytearray(b"\xee" * 512 + frame + bytes(payload_bytes) + b"\xee" * 512)
    return server.plain(buffer, 512, 1024 + payload_bytes)


@pytest.mark.parametrize("op", [Op.READ, Op.WRITE])
def test_a_plain_request_is_taken_and_its_answer_is_itself(op: Op) -> None:
    server, twin, host = a_server(), a_server(), a_host()
    for _ in range(3):
        frame = memoryview(bytearray(512))
        host.request(frame, op, 0, 1, 5, 8, 4096, 77)
        payload_bytes = 4096 if op == Op.WRITE else 0
        assert plain_of(server, bytes(frame), payload_bytes) == (op, 1, 8, 4096)
        answer = memoryview(bytearray(512))
        twin.answer(take(twin, bytes(frame)), answer)
        assert answer == frame
        assert host.is_plain(bytearray(b"\xee" + bytes(answer)), 1, 513)
    assert host.outstanding == 0


def test_a_write_is_plain_with_its_whole_payload_only() -> None:
    server, frame = a_server(), a_request(zn_op=Op.WRITE)
    assert plain_of(server, frame, 4095) is None
    assert plain_of(server, frame, 4096) == (Op.WRITE, 1, 8, 4096)


@given(
    st.dictionaries(st.sampled_from(FIELDS), st.sampled_from([0, 1, 2, 3, 5, 512, U32_MAX, MARKER]), max_size=2),
    st.none() | st.integers(0, 511),
    st.integers(0, 255),
)
def test_what_is_plain_is_what_the_plain_twin_would_do(changed: dict[str, int], flipped: int | None, by: int) -> None:
    """Any field, any byte: what `plain` takes, `next` takes too, to the same end; else it has taken nothing."""
    frame = bytearray(a_request(**changed))
    if flipped is not None:
        frame[flipped] ^= by
    server, twin = a_server(), a_server()
    plain = plain_of(server, bytes(frame), 4096)
    try:
        request = twin.next(memoryview(frame), 0, 512)
    except RemoteProtocolError:
        assert plain is None
        with pytest.raises(RemoteProtocolError):
            take(server, bytes(frame))
        return
    assert request is not None
    if plain is None:
        assert take(server, bytes(frame)).refusal == request.refusal
        return
    assert plain == (request.op, request.unit, request.lba, request.size_bytes)
    assert request.refusal is None
    assert request.flags == 0
    answer = memoryview(bytearray(512))
    twin.answer(request, answer)
    assert answer == frame
    server.give_back()
    assert take(server, bytes(frame)).sequence == request.sequence


@given(st.sampled_from([Op.READ, Op.WRITE, Op.FLUSH, Op.PING]), st.sampled_from([0, 1, 2, 4]), st.integers(0, 511),
       st.integers(0, 255))  # fmt: skip
def test_only_the_good_answer_to_a_plain_request_is_plain(op: Op, flags: int, flipped: int, by: int) -> None:
    host, twin, server = a_host(), a_host(), a_server()
    frame = memoryview(bytearray(512))
    for each in (host, twin):
        each.request(frame, op, flags, 1, 5, 8, 4096, 77)
    answer = memoryview(bytearray(512))
    server.answer(take(server, bytes(frame)), answer)
    answer[flipped] ^= by
    if not host.is_plain(bytearray(answer), 0, 512):
        assert by or flags or op in (Op.FLUSH, Op.PING)
        assert host.outstanding == 1
        return
    found = take_answer(twin, bytes(answer))
    assert (found.op, found.status, found.payload_bytes) == (op, 0, 4096 if op == Op.READ else 0)
    assert found.payload_crc is None
    assert host.outstanding == 0


def test_half_an_answer_is_not_plain() -> None:
    host, frame = a_host(), memoryview(bytearray(512))
    host.request(frame, Op.READ, 0, 1, 5, 8, 4096, 77)
    assert not host.is_plain(bytearray(frame), 0, 511)
    assert host.is_plain(bytearray(frame), 0, 512)
