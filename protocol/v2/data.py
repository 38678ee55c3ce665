"""Version 0x02 of the data socket: many requests in flight, answered in their order.

Guarantees:
- A header counts only when its CRC holds and session, epoch, path, marker and sequence number are the ones
  due. Any other is a frame in doubt and gets no answer: its bytes may be a user's data, or another life of
  this path.
- An answer is taken only for the oldest request, and only if sequence, operation, unit, size, block and tag
  agree, before a byte of data is read.
- No allocation but the request or answer itself; one pack or unpack and one CRC for each header.

The fast twins, `plain` and `is_plain`, rest on one fact: the answer to a READ or WRITE without flags that went well is
the request's own 512 bytes. So the server sends back the bytes that it has, and the host compares them with those that
it sent, CRC and all, in place of unpacking what must be equal anyhow.
"""

from collections import deque
from collections.abc import Sequence

from protocol.crc import crc32c
from protocol.data_base import (
    FLUSH,
    PING,
    READ,
    REFUSALS,
    TRIM,
    WRITE,
    WRITE_ZEROES,
    Answer,
    HostData,
    PlainRequest,
    Refusal,
    Request,
    ServerData,
    UnitLimits,
    check_range,
)
from protocol.errors import RemoteProtocolError
from protocol.limits import HEADER_BYTES, SENTENCE_BYTES, TRACE_TIMES, U32_MAX
from protocol.ops import Flag
from protocol.states import DATA, Data, Happening
from protocol.status import DETAILS, Detail
from protocol.v2.codec import (
    ANSWER,
    CRC_OFFSET_BYTES,
    PLAIN,
    REQUEST,
    TEXT_OFFSET_BYTES,
    TIMES,
    TIMES_OFFSET_BYTES,
    U32,
    UNUSED_OFFSET_BYTES,
    from_text,
    to_text,
)

_PACK_REQUEST = REQUEST.pack_into
_UNPACK_REQUEST = REQUEST.unpack_from
_UNPACK_PLAIN = PLAIN.unpack_from
_PACK_ANSWER = ANSWER.pack_into
_UNPACK_ANSWER = ANSWER.unpack_from
_PACK_CRC = U32.pack_into
_UNPACK_CRC = U32.unpack_from
_PAYLOAD_CRC = int(Flag.PAYLOAD_CRC)
_TRACE = int(Flag.TRACE)
_OPEN = Data.OPEN
_UNUSED = bytes(CRC_OFFSET_BYTES - UNUSED_OFFSET_BYTES)
_NO_TIMES = (0,) * TRACE_TIMES
_PLAIN = frozenset({READ, WRITE})
_RANGED = frozenset({READ, WRITE, FLUSH, TRIM, WRITE_ZEROES})


class V2ServerData(ServerData):
    """The server's end."""

    def __init__(self, session: int, epoch: int, path: int, marker: int, units: Sequence[UnitLimits | None]) -> None:
        # Appendix D (16): now "data transfer requests from the host will be honored by the NSU".
        self.state = DATA[Data.AWAIT_LOGIN][Happening.LOGIN_GOOD]
        self._session = session
        self._epoch = epoch
        self._path = path
        self._marker = marker
        self._units = units
        self._sequence = 0

    def plain(self, received: bytearray, start: int, end: int) -> PlainRequest | None:
        """Take one request if it is plain. Every check of `next` stands here; one that fails is `next`'s to name."""
        if end - start < HEADER_BYTES or self.state is not _OPEN:
            return None
        # fmt: off
        (
            zn_type, version, session, unit, authentic, sequence, nsequence, op, flags, status, size, lba, marker,
            epoch, path, generation, crc
        ) = _UNPACK_PLAIN(received, start)
        # fmt: on
        if (
            (op != READ and (op != WRITE or end - start - HEADER_BYTES < size))
            or flags
            or status
            or authentic
            or nsequence
            or not received.startswith(_UNUSED, start + UNUSED_OFFSET_BYTES)
            or crc32c(received[start : start + CRC_OFFSET_BYTES]) != crc
            or marker != self._marker
            or sequence != self._sequence
            or session != self._session
            or epoch != self._epoch
            or path != self._path
            or zn_type != 1
            or version != 2
            or unit >= len(self._units)
            or check_range(op, self._units[unit], generation, lba, size) is not None
        ):
            return None
        self._sequence = (sequence + 1) & U32_MAX
        return op, unit, lba, size

    def give_back(self) -> None:
        """Let `next` take what `plain` has just taken."""
        self._sequence = (self._sequence - 1) & U32_MAX

    def next(self, view: memoryview, start: int, end: int) -> Request | None:
        """Read one request; after a frame in doubt nothing more is read."""
        if end - start < HEADER_BYTES or self.state is not _OPEN:
            return None
        crc_at = start + CRC_OFFSET_BYTES
        if crc32c(view[start:crc_at]) != _UNPACK_CRC(view, crc_at)[0]:
            raise self._doubt("The header's CRC32C does not hold: bytes were changed, or their place is lost.")
        # fmt: off
        (
            zn_type, version, session, unit, sequence, op, flags, request_id, size, lba, marker, epoch,
            path, generation, crc
        ) = _UNPACK_REQUEST(view, start)
        # fmt: on
        if (
            marker != self._marker
            or sequence != self._sequence
            or session != self._session
            or epoch != self._epoch
            or path != self._path
        ):
            raise self._doubt("Session, epoch, path, marker or sequence number is not the one due.")
        self._sequence = (sequence + 1) & U32_MAX
        doubt = False
        if zn_type != 1 or version != 2 or op not in _RANGED:
            refusal, doubt = _judge_frame(zn_type, version, op, size)
        elif op == WRITE and size > U32_MAX:
            refusal, doubt = REFUSALS[Detail.TOO_LARGE], True
        else:
            limits = self._units[unit] if unit < len(self._units) else None
            refusal = check_range(op, limits, generation, lba, size)
        if doubt:
            self.state = DATA[self.state][Happening.DOUBT]
        has_crc = flags & _PAYLOAD_CRC
        return Request(
            op,
            flags,
            unit,
            lba,
            size,
            request_id,
            sequence,
            generation,
            size if op == WRITE and not doubt else 0,
            crc if has_crc and op == WRITE else None,
            has_crc != 0 and op == READ,
            flags & _TRACE != 0,
            refusal,
            doubt,
            (),
        )

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
        """Write the answer. A failed one without a sentence gets that of the table of details."""
        flags = detail if status else (_PAYLOAD_CRC if request.wants_crc else 0) | (_TRACE if times else 0)
        # fmt: off
        _PACK_ANSWER(
            into, 0, 1, 2, self._session, request.unit, request.sequence, request.op, flags,
            request.request_id, status, request.size_bytes, request.lba, self._marker, self._epoch,
            self._path, request.generation, payload_crc
        )
        # fmt: on
        if status:
            _put_sentence(into, sentence or _sentence_of(detail))
        elif times:
            TIMES.pack_into(into, TIMES_OFFSET_BYTES, *(min(time_ns, U32_MAX) for time_ns in times))
        _PACK_CRC(into, CRC_OFFSET_BYTES, crc32c(into[:CRC_OFFSET_BYTES]))

    def _doubt(self, sentence: str) -> RemoteProtocolError:
        self.state = DATA[self.state][Happening.DOUBT]
        return RemoteProtocolError(sentence)


def _judge_frame(zn_type: int, version: int, op: int, size: int) -> tuple[Refusal | None, bool]:
    """Judge what names no unit: PING, and frames that should not be."""
    if zn_type != 1:
        return REFUSALS[Detail.WRONG_TYPE], True
    if version != 2:
        return REFUSALS[Detail.WRONG_VERSION], True
    if op == PING:
        return None, False
    # Of an operation nobody knows, nobody knows whether `size` bytes follow.
    return REFUSALS[Detail.UNKNOWN_OP], size != 0


def _sentence_of(detail: int) -> str:
    return DETAILS[Detail(detail)].sentence if detail in DETAILS else ""


def _put_sentence(into: memoryview, sentence: str) -> None:
    text = to_text(sentence)
    into[TEXT_OFFSET_BYTES : TEXT_OFFSET_BYTES + len(text)] = text


class V2HostData(HostData):
    """The host's end."""

    def __init__(self, session: int, epoch: int, path: int, marker: int) -> None:
        self.state = DATA[Data.AWAIT_LOGIN][Happening.LOGIN_GOOD]
        self._session = session
        self._epoch = epoch
        self._path = path
        self._marker = marker
        self._sequence = 0
        self._expected: deque[tuple[int, int, int, int, int, int]] = deque()
        self._frames: deque[memoryview | None] = deque()
        """Beside `_expected`: of a plain request its 512 bytes, which are its good answer too."""

    @property
    def outstanding(self) -> int:
        """How many requests wait for their answers."""
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
        """Write one request."""
        sequence = self._sequence
        # fmt: off
        _PACK_REQUEST(
            into, 0, 1, 2, self._session, unit, sequence, op, flags, tag, size_bytes, lba, self._marker,
            self._epoch, self._path, generation, payload_crc
        )
        # fmt: on
        _PACK_CRC(into, CRC_OFFSET_BYTES, crc32c(into[:CRC_OFFSET_BYTES]))
        self._sequence = (sequence + 1) & U32_MAX
        self._expected.append((unit, sequence, op, tag, size_bytes, lba))
        self._frames.append(into if not flags and op in _PLAIN else None)

    def is_plain(self, received: bytearray, start: int, end: int) -> bool:
        """Say whether the good answer that is due to a plain request comes next; if so, take it."""
        if end - start < HEADER_BYTES or self.state is not _OPEN or not self._frames:
            return False
        frame = self._frames[0]
        if frame is None or not received.startswith(frame, start):
            return False
        self._frames.popleft()
        self._expected.popleft()
        return True

    def next(self, view: memoryview, start: int, end: int) -> Answer | None:
        """Read one answer; it must be the oldest request's."""
        if end - start < HEADER_BYTES or self.state is not _OPEN:
            return None
        crc_at = start + CRC_OFFSET_BYTES
        if crc32c(view[start:crc_at]) != _UNPACK_CRC(view, crc_at)[0]:
            raise self._doubt("The header's CRC32C does not hold: bytes were changed, or their place is lost.")
        # fmt: off
        (
            zn_type,
            version,
            session,
            unit,
            sequence,
            op,
            flags,
            tag,
            status,
            size,
            lba,
            marker,
            epoch,
            path,
            _,
            crc,
        ) = _UNPACK_ANSWER(view, start)
        # fmt: on
        if not self._expected:
            raise self._doubt("The NSU answers what was not asked.")
        found = (unit, sequence, op, tag, size, lba)
        if found != self._expected[0]:
            raise self._doubt(
                f"The answer is for (unit, sequence, operation, tag, size, block) {found}; {self._expected[0]} is due."
            )
        if (
            marker != self._marker
            or session != self._session
            or epoch != self._epoch
            or path != self._path
            or zn_type != 1
            or version != 2
        ):
            raise self._doubt("Type, version, session, epoch, path or marker is not this socket's.")
        self._expected.popleft()
        self._frames.popleft()
        if status:
            at = start + TEXT_OFFSET_BYTES
            sentence = from_text(bytes(view[at : at + SENTENCE_BYTES]))
            return Answer(tag, op, status, flags, sentence, 0, None, _NO_TIMES)
        return Answer(
            tag,
            op,
            0,
            0,
            "",
            size if op == READ else 0,
            crc if flags & _PAYLOAD_CRC and op == READ else None,
            TIMES.unpack_from(view, start + TIMES_OFFSET_BYTES) if flags & _TRACE else _NO_TIMES,
        )

    def _doubt(self, sentence: str) -> RemoteProtocolError:
        self.state = DATA[self.state][Happening.DOUBT]
        return RemoteProtocolError(sentence)
