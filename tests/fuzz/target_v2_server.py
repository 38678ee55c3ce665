"""Data headers of version 0x02 as the server reads them."""

from protocol.data_base import READ, WRITE, Request, ServerData, UnitLimits
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, REQUEST_BYTES_MAX, U32_MAX
from protocol.v2.codec import is_whole
from protocol.v2.data import V2ServerData
from tests.fuzz.frames import DUE, RAW, SHORT_BYTES, mended, mode_of, shortened, stretched
from tests.protocol.goldens import EPOCH, MARKER, SESSION, V2_REQUESTS, golden

UNITS = (UnitLimits(1001, True, 5), UnitLimits(1 << 40, False, 5), None)
PATH = 9


def seeds() -> list[bytes]:
    frames = [golden(row[0]) for row in V2_REQUESTS]
    return [shortened(mode, part) for mode in (RAW, DUE) for part in (*frames, b"".join(frames))]


def server() -> ServerData:
    return V2ServerData(SESSION, EPOCH, PATH, MARKER, UNITS)


def one_input(data: bytes) -> None:
    mode, rest = mode_of(data)
    machine, twin = server(), server()
    sequence = 0
    while rest:
        frame, rest = (rest[:HEADER_BYTES], rest[HEADER_BYTES:]) if mode == RAW else (rest, rest[SHORT_BYTES:])
        if mode != RAW:
            frame = mended(stretched(frame))
        if mode == DUE:
            due = {"zn_sequence": sequence & U32_MAX, "session_epoch": EPOCH, "path": PATH}
            frame = mended(frame, zn_hostid=SESSION, zn_marker=MARKER, **due)
        request = judge(machine, twin, frame)
        if request is None:
            return
        sequence += 1
        rest = rest[request.payload_bytes if mode == RAW else 0 :]


def judge(machine: ServerData, twin: ServerData, frame: bytes) -> Request | None:
    """Read one frame with both ways to read it; None: there is nothing to go on with."""
    if len(frame) < HEADER_BYTES:
        assert machine.next(memoryview(frame), 0, len(frame)) is None
        return None
    assert machine.next(memoryview(frame), 0, HEADER_BYTES - 1) is None
    with_payload = bytearray(frame + bytes(REQUEST_BYTES_MAX))
    plain = twin.plain(with_payload, 0, len(with_payload))
    if plain is not None:
        twin.give_back()
    try:
        request = machine.next(memoryview(frame), 0, HEADER_BYTES)
    except RemoteProtocolError:
        assert plain is None
        assert machine.next(memoryview(frame), 0, HEADER_BYTES) is None, "it reads on behind a frame in doubt"
        return None
    assert request is not None
    twin.next(memoryview(frame), 0, HEADER_BYTES)
    check_bounds(request, UNITS)
    answer = answered(machine, request)
    assert is_whole(answer)
    if plain is not None:
        assert request.refusal is None
        assert plain == (request.op, request.unit, request.lba, request.size_bytes)
        assert request.flags == 0
        assert answer == frame, "the good answer to a plain request is the request"
    return None if request.close_after else request


def check_bounds(request: Request, units: tuple[UnitLimits | None, ...]) -> None:
    assert request.payload_bytes in (0, request.size_bytes)
    assert request.payload_bytes <= U32_MAX
    if request.close_after:
        assert request.refusal is not None
        assert request.payload_bytes == 0
    if request.refusal is None and request.op in (READ, WRITE):
        limits = units[request.unit]
        assert limits is not None
        assert 0 < request.size_bytes <= REQUEST_BYTES_MAX
        assert request.lba + request.size_bytes // 512 <= limits.blocks
        assert request.op == READ or not limits.read_only


def answered(machine: ServerData, request: Request) -> bytes:
    """Give the answer to the request, as an SRW would: nothing but the 512 bytes is written."""
    into = bytearray(HEADER_BYTES)
    if request.refusal is None:
        machine.answer(request, memoryview(into))
    else:
        status, detail, sentence = request.refusal
        machine.answer(request, memoryview(into), status=status, detail=detail, sentence=sentence)
    assert len(into) == HEADER_BYTES
    return bytes(into)
