"""Version 0x01 of the data socket: every bad request gets the answer the page names, and framing is never lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.data import HostData, Refusal, Request, ServerData, UnitLimits, host_data, server_data
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import REQUEST_BYTES_MAX, U32_MAX
from protocol.ops import Flag, Op
from protocol.status import DETAILS, Detail, Status
from protocol.v1.codec import Header, decode, encode
from tests.protocol.goldens import golden

UNITS = [UnitLimits(1001, True, 1), UnitLimits(1 << 33, False, 9), None]


def a_server() -> ServerData:
    return server_data(1, session=0, epoch=0, path=0, marker=0, units=UNITS)


def a_host() -> HostData:
    return host_data(1, session=0, epoch=0, path=0, marker=0)


def ask(server: ServerData, header: Header) -> Request:
    request = server.next(memoryview(encode(header)), 0, 512)
    assert request is not None
    return request


def answer_of(server: ServerData, request: Request) -> Header:
    into = memoryview(bytearray(b"\xff" * 512))
    status, detail, sentence = request.refusal or (0, 0, "")
    server.answer(request, into, status=status, detail=detail, sentence=sentence)
    assert bytes(into[64:]) == bytes(448)
    return decode(bytes(into))


READ = Header(zn_op=Op.READ, zn_zlun=1, zn_reqsz_lo=4096, zn_lba_lo=7)
WRITE = Header(zn_op=Op.WRITE, zn_zlun=1, zn_reqsz_lo=1024, zn_lba_lo=8)


def test_golden_requests_and_answers() -> None:
    server, host = a_server(), a_host()
    into = memoryview(bytearray(512))
    for name, op, unit, lba, size in [("v1_read", Op.READ, 1, 7, 4096), ("v1_write", Op.WRITE, 0, 8, 1024)]:
        host.request(into, op=op, flags=0, unit=unit, generation=1, lba=lba, size_bytes=size, tag=55)
        assert bytes(into) == golden(name)
        request = server.next(into, 0, 512)
        assert request is not None
        assert (request.op, request.unit, request.lba, request.size_bytes) == (op, unit, lba, size)
        assert request.payload_bytes == (size if op == Op.WRITE else 0)
        if op == Op.READ:
            assert request.refusal is None
            server.answer(request, into)
            assert bytes(into) == golden("v1_read_answer")
        else:
            server.answer(request, into, status=Status.EROFS, detail=Detail.READ_ONLY, sentence="no room")
            assert bytes(into) == golden("v1_write_refused")
        answer = host.next(into, 0, 512)
        assert answer is not None
        assert (answer.tag, answer.op) == (55, op)
        assert answer.payload_bytes == (4096 if op == Op.READ else 0)
        assert answer.sentence == ("" if op == Op.READ else DETAILS[Detail.READ_ONLY].sentence)
    host.request(into, op=Op.WRITE, flags=0, unit=0, generation=1, lba=8, size_bytes=1024, tag=56)
    answer = host.next(memoryview(golden("v1_write_answer")), 0, 512)
    assert answer is not None
    assert (answer.tag, answer.status, answer.payload_bytes, host.outstanding) == (56, 0, 0, 0)


@pytest.mark.parametrize(
    ("header", "detail", "payload_bytes", "close_after"),
    [
        (READ._replace(zn_zlun=2), Detail.NO_SUCH_UNIT, 0, False),
        (READ._replace(zn_zlun=3), Detail.NO_SUCH_UNIT, 0, False),
        (READ._replace(zn_zlun=U32_MAX), Detail.NO_SUCH_UNIT, 0, False),
        (READ._replace(zn_zlun=0, zn_lba_lo=1001), Detail.PAST_END, 0, False),
        (READ._replace(zn_reqsz_lo=0), Detail.ZERO_SIZE, 0, False),
        (READ._replace(zn_reqsz_lo=511), Detail.UNALIGNED, 0, False),
        (READ._replace(zn_reqsz_lo=REQUEST_BYTES_MAX + 512), Detail.TOO_LARGE, 0, False),
        (READ._replace(zn_lba_hi=1), Detail.HIGH_WORDS, 0, False),
        (READ._replace(zn_reqsz_hi=1), Detail.HIGH_WORDS, 0, False),
        (WRITE._replace(zn_zlun=0), Detail.READ_ONLY, 1024, False),
        (WRITE._replace(zn_zlun=7), Detail.NO_SUCH_UNIT, 1024, False),
        (WRITE._replace(zn_lba_hi=1), Detail.HIGH_WORDS, 1024, False),
        (WRITE._replace(zn_reqsz_lo=1), Detail.UNALIGNED, 1, False),
        (WRITE._replace(zn_reqsz_lo=U32_MAX), Detail.UNALIGNED, U32_MAX, False),
        (WRITE._replace(zn_reqsz_lo=1 << 31), Detail.TOO_LARGE, 1 << 31, False),
        (WRITE._replace(zn_reqsz_hi=1), Detail.HIGH_WORDS, 0, True),
        (READ._replace(zn_type=2), Detail.WRONG_TYPE, 0, True),
        (READ._replace(zn_version=2), Detail.WRONG_VERSION, 0, True),
        (READ._replace(zn_op=Op.FLUSH), Detail.UNKNOWN_OP, 0, True),
        (Header(zn_op=9, zn_reqsz_hi=1), Detail.UNKNOWN_OP, 0, True),
        (Header(zn_op=Op.FLUSH), Detail.UNKNOWN_OP, 0, False),
    ],
)
def test_each_bad_request(header: Header, detail: Detail, payload_bytes: int, close_after: bool) -> None:
    server = a_server()
    request = ask(server, header)
    assert request.refusal is not None
    assert request.refusal == Refusal(DETAILS[detail].status, detail, DETAILS[detail].sentence)
    assert (request.payload_bytes, request.close_after) == (payload_bytes, close_after)
    answer = answer_of(server, request)
    assert answer == header._replace(zn_status=DETAILS[detail].status, zn_flags=detail)
    follower = server.next(memoryview(encode(READ)), 0, 512)
    assert (follower is None) == close_after, "after a frame in doubt nothing more is read"


@given(st.tuples(*[st.integers(0, U32_MAX)] * 16).map(lambda words: Header(*words)))
def test_what_the_patent_does_not_use_comes_back_as_it_came(words: Header) -> None:
    server = a_server()
    used = {"zn_type": 1, "zn_version": 1, "zn_zlun": 1, "zn_op": 2, "zn_reqsz_hi": 0, "zn_reqsz_lo": 512}
    header = words._replace(**used, zn_lba_hi=0)
    request = ask(server, header)
    assert request.refusal is None
    assert request.flags == 0, "no bit of zn_flags is defined"
    assert answer_of(server, request) == header._replace(zn_flags=0, zn_status=0)


@given(st.binary(min_size=512, max_size=512))
def test_noise_is_answered_with_an_error_and_closed(noise: bytes) -> None:
    request = a_server().next(memoryview(noise), 0, 512)
    assert request is not None
    assert request.refusal is not None


def test_a_header_waits_until_it_is_whole_and_reads_where_it_is_told() -> None:
    server = a_server()
    buffer = memoryview(bytearray(100) + encode(READ) + encode(WRITE))
    assert server.next(buffer, 100, 100 + 511) is None
    first, second = server.next(buffer, 100, len(buffer)), server.next(buffer, 612, len(buffer))
    assert first is not None
    assert second is not None
    assert (first.op, second.op) == (Op.READ, Op.WRITE)


@pytest.mark.parametrize(
    "wrong",
    [{"zn_zlun": 0}, {"zn_op": 3}, {"zn_reqsz_lo": 512}, {"zn_requestid": 1}, {"zn_reqsz_hi": 1}],
    ids=str,
)
def test_host_reads_no_data_after_an_answer_that_is_not_due(wrong: dict[str, int]) -> None:
    host = a_host()
    into = memoryview(bytearray(512))
    host.request(into, op=Op.READ, flags=0, unit=1, generation=0, lba=7, size_bytes=4096, tag=1)
    with pytest.raises(RemoteProtocolError):
        host.next(memoryview(encode(READ._replace(**wrong))), 0, 512)
    assert host.next(memoryview(encode(READ)), 0, 512) is None


def test_host_refuses_an_answer_to_nothing() -> None:
    with pytest.raises(RemoteProtocolError, match="not asked"):
        a_host().next(memoryview(encode(READ)), 0, 512)


@pytest.mark.parametrize(
    ("op", "lba", "size_bytes"), [(Op.FLUSH, 0, 0), (Op.READ, 1 << 32, 512), (Op.READ, 0, 1 << 32)]
)
def test_host_does_not_say_what_version_1_cannot(op: Op, lba: int, size_bytes: int) -> None:
    with pytest.raises(LocalProtocolError):
        a_host().request(
            memoryview(bytearray(512)),
            op=op,
            flags=Flag.FUA,
            unit=0,
            generation=0,
            lba=lba,
            size_bytes=size_bytes,
            tag=1,
        )


def test_a_failed_read_has_no_data_after_it() -> None:
    host = a_host()
    into = memoryview(bytearray(512))
    host.request(into, op=Op.READ, flags=0, unit=1, generation=0, lba=7, size_bytes=4096, tag=3)
    answer = host.next(memoryview(encode(READ._replace(zn_status=5, zn_flags=777))), 0, 512)
    assert answer is not None
    assert (answer.tag, answer.status, answer.detail, answer.payload_bytes) == (3, 5, 777, 0)
    assert answer.sentence == "", "a foreign NSU's detail has no words"
