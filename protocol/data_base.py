"""What both versions of the data socket share: a request as the server sees it, an answer as the host sees
it, the one check of ranges, and the contract of the two machines.

Payload never enters a machine. `next` looks at one 512-byte header in the caller's buffer and says how many
bytes follow it and for whom. The machines start after the path login (`path_login.py`).

The rule for trouble: a refused request costs its sender an error, never the socket, as long as its frame is
certain, that is as long as it is known how many bytes follow. A frame in doubt closes the socket: otherwise
the next 512 bytes of a user's *data* would be read as a request (erratum 3 of docs/protocol/v1.md).
`close_after` marks the doubtful frame that is still answered, RemoteProtocolError the one that is not.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from protocol.limits import BLOCK_BYTES, REQUEST_BYTES_MAX
from protocol.ops import Op
from protocol.status import DETAILS, Detail

READ = int(Op.READ)
WRITE = int(Op.WRITE)
FLUSH = int(Op.FLUSH)
TRIM = int(Op.TRIM)
WRITE_ZEROES = int(Op.WRITE_ZEROES)
PING = int(Op.PING)
_MOVING = frozenset({READ, WRITE})


@dataclass(frozen=True, slots=True)
class UnitLimits:
    """What the server's machine must know of a unit to judge a request."""

    blocks: int
    """Capacity in blocks of 512 bytes."""
    read_only: bool
    generation: int


class Refusal(NamedTuple):
    """Why a request is refused: the three things its answer says."""

    status: int
    detail: int
    sentence: str


class Request:
    """One request as the server received it; sizes in bytes, `lba` in blocks of 512 bytes."""

    __slots__ = (
        "close_after",
        "echo",
        "flags",
        "generation",
        "lba",
        "op",
        "payload_bytes",
        "payload_crc",
        "refusal",
        "request_id",
        "sequence",
        "size_bytes",
        "traced",
        "unit",
        "wants_crc",
    )

    def __init__(
        self,
        op: int,
        flags: int,
        unit: int,
        lba: int,
        size_bytes: int,
        request_id: int,
        sequence: int,
        generation: int,
        payload_bytes: int,
        payload_crc: int | None,
        wants_crc: bool,
        traced: bool,
        refusal: Refusal | None,
        close_after: bool,
        echo: tuple[int, ...],
    ) -> None:
        self.op = op
        """`zn_op`: one of `Op`, or any other number (then refused)."""
        self.flags = flags
        self.unit = unit
        self.lba = lba
        self.size_bytes = size_bytes
        self.request_id = request_id
        self.sequence = sequence
        self.generation = generation
        self.payload_bytes = payload_bytes
        """Bytes that follow this header; those of a refused write are to be drained."""
        self.payload_crc = payload_crc
        """CRC32C the payload of a write must have, None when it was not sent."""
        self.wants_crc = wants_crc
        """The answer to this read is to carry its payload's CRC32C."""
        self.traced = traced
        self.refusal = refusal
        """Not None: answer with this, do nothing else."""
        self.close_after = close_after
        """The frame is in doubt: answer, then close."""
        self.echo = echo
        """What the answer repeats and nobody else needs."""


class Answer:
    """One answer as the host received it."""

    __slots__ = ("detail", "op", "payload_bytes", "payload_crc", "sentence", "status", "tag", "times")

    def __init__(
        self,
        tag: int,
        op: int,
        status: int,
        detail: int,
        sentence: str,
        payload_bytes: int,
        payload_crc: int | None,
        times: tuple[int, ...],
    ) -> None:
        self.tag = tag
        self.op = op
        self.status = status
        """0, or an errno number with its Linux value (`Status`)."""
        self.detail = detail
        self.sentence = sentence
        self.payload_bytes = payload_bytes
        """Bytes that follow this header: a successful read's size, else 0. On error no data follows."""
        self.payload_crc = payload_crc
        self.times = times
        """2S..6S and a spare, nanoseconds since 1S; zeros when not traced."""


PlainRequest = tuple[int, int, int, int]
"""operation, unit, first block, size in bytes."""


class ServerData(ABC):
    """The server's end of one data socket, after its login."""

    def plain(self, received: bytearray, start: int, end: int) -> PlainRequest | None:
        """Take the request at `received[start:end]` if it is a plain one, as most are: the fast twin of `next`.

        Plain is a READ or WRITE without flags, within its unit, that is whole with all its payload, and whose good
        answer is its own 512 bytes again. None: nothing was taken; `next` judges it.
        """
        del received, start, end
        return None

    def give_back(self) -> None:
        """Let `next` take what `plain` has just taken: it can't be done as plain as that."""
        raise NotImplementedError

    @abstractmethod
    def next(self, view: memoryview, start: int, end: int) -> Request | None:
        """Read the header at `view[start:end]`; None while it is not whole.

        RemoteProtocolError for a frame that deserves no answer: close the socket.
        """

    @abstractmethod
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
        """Write the 512 bytes of the answer into `into`; the data of a successful read is sent after it."""


class HostData(ABC):
    """The host's end of one data socket, after its login."""

    def is_plain(self, received: bytearray, start: int, end: int) -> bool:
        """Say whether the good answer that is due to a plain request lies at `received[start:end]`; if so, take it.

        The fast twin of `next`, for READ and WRITE without flags. False: nothing was taken; `next` judges it.
        """
        del received, start, end
        return False

    @property
    @abstractmethod
    def outstanding(self) -> int:
        """How many requests wait for answers. The edge keeps it within its window: 1 in version 0x01."""

    @abstractmethod
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
        """Write the 512 bytes of a request into `into` and remember what its answer must be.

        `into` stays as it is until the answer was taken: `is_plain` compares with it.
        """

    @abstractmethod
    def next(self, view: memoryview, start: int, end: int) -> Answer | None:
        """Read the header at `view[start:end]`; None while it is not whole.

        RemoteProtocolError when it is not the answer that is due: close the socket.
        """


def refusal_of(detail: Detail) -> Refusal:
    """Give the refusal that the table of details names."""
    status, sentence = DETAILS[detail]
    return Refusal(int(status), int(detail), sentence)


REFUSALS = {detail: refusal_of(detail) for detail in Detail}


def check_range(op: int, limits: UnitLimits | None, generation: int, lba: int, size_bytes: int) -> Refusal | None:
    """Judge a request that names a unit, once and here. None: it may be done."""
    if limits is None:
        return REFUSALS[Detail.NO_SUCH_UNIT]
    if generation != limits.generation:
        return REFUSALS[Detail.STALE_GENERATION]
    if op == FLUSH:
        return None  # It covers the whole unit: whatever range it names is within that.
    if size_bytes == 0:
        return REFUSALS[Detail.ZERO_SIZE]
    if size_bytes % BLOCK_BYTES:
        return REFUSALS[Detail.UNALIGNED]
    if size_bytes > REQUEST_BYTES_MAX and op in _MOVING:
        return REFUSALS[Detail.TOO_LARGE]
    # Python's integers do not wrap: a sum past 2**64 is past every end.
    if lba + size_bytes // BLOCK_BYTES > limits.blocks:
        return REFUSALS[Detail.PAST_END]
    if limits.read_only and op != READ:
        return REFUSALS[Detail.READ_ONLY]
    return None
