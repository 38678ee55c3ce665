"""Data headers of version 0x01 as the server reads them."""

from protocol.data_base import UnitLimits
from protocol.limits import HEADER_BYTES
from protocol.v1.codec import decode
from protocol.v1.data import V1ServerData
from tests.fuzz.frames import RAW, SHORT_BYTES, mode_of, shortened, stretched
from tests.fuzz.target_v2_server import answered, check_bounds
from tests.protocol.goldens import golden

UNITS = (UnitLimits(1001, True, 1), UnitLimits(1 << 32, False, 1), None)


def seeds() -> list[bytes]:
    frames = [golden("v1_read"), golden("v1_write")]
    return [shortened(mode, part) for mode in (0, 1) for part in (*frames, b"".join(frames * 2))]


def one_input(data: bytes) -> None:
    mode, rest = mode_of(data)
    machine = V1ServerData(UNITS)
    while rest:
        frame, rest = (rest[:HEADER_BYTES], rest[HEADER_BYTES:]) if mode == RAW else (rest, rest[SHORT_BYTES:])
        frame = frame if mode == RAW else stretched(frame)
        view = memoryview(frame)
        if len(frame) < HEADER_BYTES:
            assert machine.next(view, 0, len(frame)) is None
            return
        assert machine.next(view, 0, HEADER_BYTES - 1) is None
        request = machine.next(view, 0, HEADER_BYTES)
        assert request is not None
        check_bounds(request, UNITS)
        asked, answer = decode(frame), decode(answered(machine, request))
        status, detail = (0, 0) if request.refusal is None else request.refusal[:2]
        assert answer == asked._replace(zn_status=status, zn_flags=detail), "an answer repeats the request"
        if request.close_after:
            assert machine.next(view, 0, HEADER_BYTES) is None, "it reads on behind a frame in doubt"
            return
        rest = rest[request.payload_bytes if mode == RAW else 0 :]
