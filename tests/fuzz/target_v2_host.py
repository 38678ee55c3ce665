"""Answers of version 0x02 on a data socket, as the host reads them."""

from protocol.data_base import READ, HostData
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES
from protocol.ops import Flag, Op
from protocol.v2.codec import Header
from protocol.v2.data import V2HostData
from tests.fuzz.frames import DUE, RAW, SHORT_BYTES, mended, mode_of, read, shortened, stretched
from tests.protocol.goldens import EPOCH, MARKER, SESSION, V2_ANSWERS, golden

PATH = 9
ASKED = [
    (Op.READ, 0, 4096),
    (Op.WRITE, 0, 512),
    (Op.READ, Flag.PAYLOAD_CRC | Flag.TRACE, 65536),
    (Op.WRITE, Flag.FUA, 512),
    (Op.FLUSH, 0, 0),
    (Op.TRIM, 0, 1 << 20),
    (Op.READ, 0, 512),
]
ECHOED = ("zn_zlun", "zn_op", "zn_requestid", "zn_reqsz_hi", "zn_reqsz_lo", "zn_lba_hi", "zn_lba_lo")
"""What an answer must repeat, beside what is the same on all of the socket."""


def seeds() -> list[bytes]:
    frames = [golden(name) for name in V2_ANSWERS]
    return [shortened(mode, part) for mode in (RAW, DUE) for part in (*frames, b"".join(frames))]


def asked() -> tuple[HostData, list[bytes]]:
    """Give a host that has asked everything, and what it said."""
    host, frames = V2HostData(SESSION, EPOCH, PATH, MARKER), []
    for tag, (op, flags, size_bytes) in enumerate(ASKED):
        into = bytearray(HEADER_BYTES)
        host.request(memoryview(into), op, flags, 1, 5, 8, size_bytes, tag)
        frames.append(bytes(into))
    return host, frames


def one_input(data: bytes) -> None:
    mode, rest = mode_of(data)
    (host, frames), (twin, _) = asked(), asked()
    while rest:
        frame, rest = (rest[:HEADER_BYTES], rest[HEADER_BYTES:]) if mode == RAW else (rest, rest[SHORT_BYTES:])
        if mode != RAW:
            frame = mended(stretched(frame))
        if mode == DUE and host.outstanding:
            frame = repeated(frame, read(frames[-host.outstanding]))
        taken_bytes = judge(host, twin, frame)
        if taken_bytes is None:
            return
        rest = rest[taken_bytes if mode == RAW else 0 :]


def repeated(frame: bytes, request: Header) -> bytes:
    """Put in what the answer to this request has to repeat; status, flags, CRC and times are the input's."""
    words = {name: getattr(request, name) for name in ECHOED}
    same = {"zn_type": 1, "zn_version": 2, "zn_hostid": SESSION, "session_epoch": EPOCH, "path": PATH}
    return mended(frame, zn_sequence=request.zn_sequence, zn_marker=MARKER, **words, **same)


def judge(host: HostData, twin: HostData, frame: bytes) -> int | None:
    """Read one answer with both ways to read it, and give its payload's size; None: there is nothing to go on with."""
    view, before = memoryview(frame), host.outstanding
    assert host.next(view, 0, min(len(frame), HEADER_BYTES - 1)) is None
    if len(frame) < HEADER_BYTES:
        return None
    plain = twin.is_plain(bytearray(frame), 0, HEADER_BYTES)
    try:
        answer = host.next(view, 0, HEADER_BYTES)
    except RemoteProtocolError:
        assert not plain
        assert host.next(view, 0, HEADER_BYTES) is None, "it reads on behind a frame in doubt"
        return None
    assert answer is not None
    op, _, size_bytes = ASKED[len(ASKED) - before]
    assert (answer.op, answer.tag) == (op, len(ASKED) - before)
    assert answer.payload_bytes == (size_bytes if op == READ and answer.status == 0 else 0)
    assert host.outstanding == before - 1
    if plain:
        assert (answer.status, answer.payload_crc, any(answer.times)) == (0, None, False)
    else:
        assert twin.next(view, 0, HEADER_BYTES) is not None
    return answer.payload_bytes
