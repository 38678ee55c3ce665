"""Answers of version 0x01 on a data socket, as the host reads them."""

from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES
from protocol.ops import Op
from protocol.v1.data import V1HostData
from tests.fuzz.frames import RAW, SHORT_BYTES, mode_of, shortened, stretched
from tests.protocol.goldens import golden

ASKED = [(Op.READ, 4096), (Op.WRITE, 512), (Op.READ, 65536)]


def seeds() -> list[bytes]:
    frames = [golden(name) for name in ("v1_read_answer", "v1_write_answer", "v1_write_refused")]
    asked = host()[1]
    return [shortened(mode, part) for mode in (0, 1) for part in (*frames, b"".join(asked))]


def host() -> tuple[V1HostData, list[bytes]]:
    """Give a host that has asked everything (more than the one at a time that the patent allows), and what it said."""
    machine, frames = V1HostData(), []
    for tag, (op, size_bytes) in enumerate(ASKED):
        into = bytearray(HEADER_BYTES)
        machine.request(memoryview(into), op, 0, 1, 0, 8, size_bytes, tag)
        frames.append(bytes(into))
    return machine, frames


def one_input(data: bytes) -> None:
    mode, rest = mode_of(data)
    machine = host()[0]
    for op, size_bytes in ASKED:
        frame, rest = (rest[:HEADER_BYTES], rest[HEADER_BYTES:]) if mode == RAW else (rest, rest[SHORT_BYTES:])
        view = memoryview(frame if mode == RAW else stretched(frame))
        assert machine.next(view, 0, min(len(view), HEADER_BYTES - 1)) is None
        if len(view) < HEADER_BYTES:
            return
        before = machine.outstanding
        try:
            answer = machine.next(view, 0, HEADER_BYTES)
        except RemoteProtocolError:
            assert machine.next(view, 0, HEADER_BYTES) is None, "it reads on behind a frame in doubt"
            return
        assert answer is not None
        assert (answer.op, machine.outstanding) == (op, before - 1)
        assert answer.payload_bytes == (size_bytes if op == Op.READ and answer.status == 0 else 0)
        rest = rest[answer.payload_bytes if mode == RAW else 0 :]
    if rest and len(rest) >= HEADER_BYTES and mode == RAW:
        try:
            machine.next(memoryview(rest), 0, HEADER_BYTES)
        except RemoteProtocolError:
            return
        raise AssertionError("an answer was taken that nobody had asked for")
