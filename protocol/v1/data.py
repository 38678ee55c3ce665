"""Version 0x01 of the data socket: Appendix C's request and answer, one at a time.

Guarantees: a header is judged field by field before anything is done. The words the patent does not use yet
(`zn_hostid`, `zn_authentic`, `zn_sequence`, `zn_nsequence`, `zn_requestid`, `zn_marker`) are sent as 0 by our
host, and come back from our server as they came, whoever sent them. No bit of `zn_flags` is defined for a
request, so none is obeyed. A wrong type or version, a write with a high size word and an unknown operation
that names a size leave it uncertain where the next request begins: they are answered, then the socket is
closed.
"""

from collections import deque
from collections.abc import Sequence

from protocol.data_base import (
    READ,
    REFUSALS,
    WRITE,
    Answer,
    HostData,
    Refusal,
    Request,
    ServerData,
    UnitLimits,
    check_range,
)
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.limits import HEADER_BYTES
from protocol.states import DATA, Data, Happening
from protocol.status import DETAILS, Detail
from protocol.v1.codec import HEADER, Header

_PACK_INTO = HEADER.pack_into
_UNPACK_FROM = HEADER.unpack_from
_OPEN = Data.OPEN
_NO_TIMES = (0, 0, 0, 0, 0, 0)


class V1ServerData(ServerData):
    """The server's end."""

    def __init__(self, units: Sequence[UnitLimits | None]) -> None:
        # Appendix D (16): now "data transfer requests from the host will be honored by the NSU".
        self.state = DATA[Data.AWAIT_LOGIN][Happening.LOGIN_GOOD]
        self._units = units

    def next(self, view: memoryview, start: int, end: int) -> Request | None:
        """Read one request; after a frame in doubt nothing more is read."""
        if end - start < HEADER_BYTES or self.state is not _OPEN:
            return None
        words = _UNPACK_FROM(view, start)
        _, _, _, unit, _, sequence, _, op, _, request_id, _, size_hi, size, lba_hi, lba, _ = words
        refusal, doubt = self._judge(words)
        if doubt:
            self.state = DATA[self.state][Happening.DOUBT]
        return Request(
            op,
            0,
            unit,
            lba_hi << 32 | lba,
            size_hi << 32 | size,
            request_id,
            sequence,
            0,
            size if op == WRITE and not doubt else 0,
            None,
            False,
            False,
            refusal,
            doubt,
            words,
        )

    def _judge(self, words: tuple[int, ...]) -> tuple[Refusal | None, bool]:
        """Say why the request is refused, and whether its frame is in doubt."""
        zn_type, version, _, unit, _, _, _, op, _, _, _, size_hi, size, lba_hi, lba, _ = words
        if zn_type != 1:
            return REFUSALS[Detail.WRONG_TYPE], True
        if version != 1:
            return REFUSALS[Detail.WRONG_VERSION], True
        if op != READ and op != WRITE:
            return REFUSALS[Detail.UNKNOWN_OP], bool(size_hi or size)
        if size_hi or lba_hi:
            return REFUSALS[Detail.HIGH_WORDS], op == WRITE and size_hi != 0
        limits = self._units[unit] if unit < len(self._units) else None
        return check_range(op, limits, limits.generation if limits else 0, lba, size), False

    def answer(
        self,
        request: Request,
        into: memoryview,
        *,
        status: int = 0,
        detail: int = 0,
        sentence: str = "",
        payload_crc: int = 0,
        times: Sequence[int] = (),
    ) -> None:
        """Write the answer: the request's words with status and detail. The rest has no place in version
        0x01.
        """
        words = request.echo
        _PACK_INTO(into, 0, *words[:8], detail if status else 0, words[9], status, *words[11:])


class V1HostData(HostData):
    """The host's end."""

    def __init__(self) -> None:
        self.state = DATA[Data.AWAIT_LOGIN][Happening.LOGIN_GOOD]
        self._expected: deque[tuple[int, int, int, int]] = deque()

    @property
    def outstanding(self) -> int:
        """How many requests wait for their answers: 1 at most, if the edge keeps to the patent."""
        return len(self._expected)

    def request(
        self,
        into: memoryview,
        op: int,
        flags: int,
        unit: int,
        generation: int,
        lba: int,
        size_bytes: int,
        tag: int,
        payload_crc: int = 0,
    ) -> None:
        """Write one request; LocalProtocolError for what version 0x01 cannot say."""
        if op != READ and op != WRITE:
            raise LocalProtocolError(f"Version 0x01 has no operation 0x{op:x}.")
        if lba >> 32 or size_bytes >> 32:
            raise LocalProtocolError(f"Block {lba}, {size_bytes} bytes: version 0x01 has 32 bits for each.")
        # Appendix C, zn_requestid: "Not yet used. For now set to zero." The tag stays here: answers come in
        # order.
        _PACK_INTO(into, 0, *Header(zn_zlun=unit, zn_op=op, zn_reqsz_lo=size_bytes, zn_lba_lo=lba))
        self._expected.append((unit, op, size_bytes, tag))

    def next(self, view: memoryview, start: int, end: int) -> Answer | None:
        """Read one answer; its unit, operation, size and request id must be those of the request."""
        if end - start < HEADER_BYTES or self.state is not _OPEN:
            return None
        header = Header(*_UNPACK_FROM(view, start))
        if not self._expected:
            raise self._doubt("The NSU answers what was not asked.")
        unit, op, size, tag = self._expected[0]
        # Erratum 6: all this is known before a byte of data is taken.
        found = (header.zn_zlun, header.zn_op, header.zn_reqsz_lo, header.zn_requestid, header.zn_reqsz_hi)
        if found != (unit, op, size, 0, 0):
            raise self._doubt(f"The answer is for (unit, operation, size) {found[:3]}, not {(unit, op, size)}.")
        self._expected.popleft()
        status, detail = header.zn_status, header.zn_flags if header.zn_status else 0
        payload_bytes = size if op == READ and status == 0 else 0
        return Answer(tag, op, status, detail, _sentence(status, detail), payload_bytes, None, _NO_TIMES)

    def _doubt(self, sentence: str) -> RemoteProtocolError:
        self.state = DATA[self.state][Happening.DOUBT]
        return RemoteProtocolError(sentence)


def _sentence(status: int, detail: int) -> str:
    """Put words to a detail number of our table; a foreign NSU may have its own."""
    if status and detail in DETAILS:
        return DETAILS[Detail(detail)].sentence
    return ""
