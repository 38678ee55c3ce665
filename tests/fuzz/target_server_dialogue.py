"""The configuration socket as the server hears it, before and after the login, in both versions."""

from collections.abc import Callable

from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.errors import RemoteProtocolError
from protocol.events import (
    AskCapacities,
    AskDataPorts,
    AskFence,
    AskPath,
    AskStartTime,
    AskUnits,
    Event,
    LoginFailed,
    LoginProven,
)
from protocol.limits import HEADER_BYTES
from protocol.ops import Op
from protocol.records import DataPort, UnitFlag, UnitRecord
from protocol.states import Config
from protocol.status import Detail
from protocol.v2.codec import Header, encode
from tests.fuzz.frames import DUE, INPUT_BYTES_MAX, RAW, SHORT_BYTES, mended, shortened, stretched
from tests.protocol.goldens import CHALLENGE, EPOCH, HOST_NONCE, SECRET, SERVER_NONCE, SESSION, golden

PORTS = (DataPort("10.1.1.1", 10002, 10), DataPort("fd00::1", 10003, 12))
SIZES = (512512, 3 << 40)
UNITS = (UnitRecord(0, 5, 1001, UnitFlag.READ_ONLY | UnitFlag.FLUSH, bytes(range(16)), "unit_1"),)
ANSWER_BYTES_MAX = HEADER_BYTES + 128
LOGINS = ((1, None), (3, None), (2, SECRET), (3, SECRET))
"""What is offered, and with what the host logs in: as whom the input speaks when it speaks after the login."""


def seeds() -> list[bytes]:
    v1 = b"".join(golden(f"v1_{name}") for name in ("06_ask_starttime", "08_ask_capacities", "10_ask_dataports"))
    asked = (Op.GET_STARTTIME, Op.GET_UNITS, Op.GET_DATAPORT, Op.GET_CAPACITIES, Op.OPEN_PATH, Op.FENCE, Op.CONFIG_PING)
    v2 = b"".join(encode(Header(zn_op=op, path=9)) for op in (*asked, 77))
    replies = [
        bytes([number, 0]) + shortened(RAW, golden(name)) for number, name in ((0, "v1_03_reply"), (2, "v2_03_reply"))
    ]
    return [
        *replies,
        bytes([0, 1]) + shortened(1, v1),
        bytes([1, 1]) + shortened(1, v1),
        bytes([2, 1]) + shortened(DUE, v2),
        bytes([3, 1]) + shortened(DUE, v2[: 3 * HEADER_BYTES]),
    ]


def one_input(data: bytes) -> None:
    """Byte 0: LOGINS; byte 1: whether that login is made first, and sizes of pieces; byte 2: how the rest is read."""
    if len(data) < 3:
        return
    offered, secret = LOGINS[data[0] % len(LOGINS)]
    is_open, mode = data[1] & 1 == 1, data[2] % 3
    heard = frames_of(mode, data[3:INPUT_BYTES_MAX])
    whole, pieces = Life(offered, secret, is_open), Life(offered, secret, is_open)
    whole.hear(heard, HEADER_BYTES)
    pieces.hear(heard, data[1] // 2 + 1)
    assert whole.told == pieces.told, "how the bytes are cut makes a difference"
    # All at once is another thing: what is said before an answer that it had to wait for is refused.
    Life(offered, secret, is_open).hear(heard, INPUT_BYTES_MAX)


def frames_of(mode: int, rest: bytes) -> bytes:
    """Give the bytes off the wire. DUE: each is the next question of this very session."""
    if mode == RAW:
        return rest
    frames = [mended(stretched(rest[at : at + SHORT_BYTES])) for at in range(0, len(rest), SHORT_BYTES)]
    if mode == DUE:
        due = {"zn_type": 1, "zn_version": 2, "zn_hostid": SESSION, "session_epoch": EPOCH}
        frames = [mended(frame, zn_requestid=number, **due) for number, frame in enumerate(frames, 1)]
    return b"".join(frames)


class Life:
    """A dialogue with its edge, and all that came out of it."""

    def __init__(self, offered: int, secret: bytes | None, is_open: bool) -> None:
        self.server = ServerDialogue(offered, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
        self.told: list[object] = []
        host = HostDialogue(3, "host1", secret, HOST_NONCE)
        host.receive(self.server.data_to_send())
        if is_open:
            self.server.receive(host.data_to_send())
            self.server.grant(SESSION, EPOCH)
            self.server.data_to_send()

    def hear(self, data: bytes, piece_bytes: int) -> None:
        for at in range(0, len(data), piece_bytes):
            piece = data[at : at + piece_bytes]
            try:
                events = self.server.receive(piece)
            except RemoteProtocolError as error:
                self.told.append(error.sentence)
                assert self.server.state is Config.CLOSED
                assert self.server.receive(bytes(HEADER_BYTES)) == [], "CLOSED, and it hears"
                return
            for event in events:
                assert isinstance(event, Event)
                self.told.append(event)
                self.act(event)
            said = self.server.data_to_send()
            assert len(said) <= (len(events) + 1 + len(piece) // HEADER_BYTES) * ANSWER_BYTES_MAX
            if said:
                self.told.append(said)

    def act(self, event: Event) -> None:
        """Do what the edge does."""
        answers: dict[type[Event], Callable[[], None]] = {
            LoginProven: lambda: self.server.grant(SESSION, EPOCH),
            AskStartTime: lambda: self.server.answer_starttime(1),
            AskCapacities: lambda: self.server.answer_capacities(SIZES),
            AskDataPorts: lambda: self.server.answer_dataports(PORTS),
            AskUnits: lambda: self.server.answer_units(UNITS),
        }
        if isinstance(event, AskPath):
            if event.path % 2:
                self.server.refuse_path(event.path, Detail.PATH_LIMIT)
            else:
                self.server.answer_path(event.path, bytes(32))
        elif isinstance(event, AskFence):
            self.server.answer_fence(event.path)
        elif isinstance(event, LoginFailed):
            assert self.server.state is Config.CLOSED
        else:
            answers[type(event)]()
