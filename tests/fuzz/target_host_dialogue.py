"""The configuration socket as the host hears it, before and after the login, in both versions."""

from protocol.config_base import LISTS
from protocol.crc import crc32c
from protocol.dialogue import HostDialogue, ServerDialogue
from protocol.errors import RemoteProtocolError
from protocol.events import Event
from protocol.limits import HEADER_BYTES, PORTS_MAX, UNITS_MAX
from protocol.states import Config
from tests.fuzz.frames import DUE, INPUT_BYTES_MAX, RAW, SHORT_BYTES, mended, read, shortened, stretched
from tests.fuzz.target_server_dialogue import LOGINS
from tests.protocol.goldens import CHALLENGE, EPOCH, HOST_NONCE, SECRET, SERVER_NONCE, SESSION, golden

LIST_BYTES_MAX = 128 * UNITS_MAX
assert PORTS_MAX * 28 <= LIST_BYTES_MAX
V1_ANSWERS = ("v1_07_starttime", "v1_09_capacities", "v1_11_dataports")
V2_ANSWERS = ("v2_07_starttime", "v2_09_capacities", "v2_11_dataports", "v2_21_units", "v2_23_path_ticket")


def seeds() -> list[bytes]:
    said = {name: golden(name) for name in (*V1_ANSWERS, *V2_ANSWERS, "v2_27_fenced", "v2_29_pong", "v2_30_notice")}
    v2 = [said[name] for name in said if name.startswith("v2")]
    lists = b"".join(frame[:SHORT_BYTES] + frame[HEADER_BYTES:] for frame in v2)
    return [
        bytes([0, 0]) + shortened(RAW, golden("v1_02_greeting")),
        bytes([2, 0]) + shortened(RAW, golden("v2_02_greeting") + golden("v2_05_granted")),
        bytes([2, 0]) + shortened(RAW, golden("v2_02_greeting") + golden("v2_05_refused")),
        bytes([0, 1, RAW]) + b"".join(said[name] for name in V1_ANSWERS),
        bytes([2, 1, RAW]) + b"".join(v2),
        bytes([2, 1, DUE]) + lists,
        bytes([3, 1, DUE]) + golden("v2_31_notice_evicted")[:SHORT_BYTES],
    ]


def one_input(data: bytes) -> None:
    """Byte 0: LOGINS; byte 1: whether that login is made first, and sizes of pieces; byte 2: how the rest is read."""
    if len(data) < 3:
        return
    offered, secret = LOGINS[data[0] % len(LOGINS)]
    is_open, mode = data[1] & 1 == 1, data[2] % 3
    heard = frames_of(mode, data[3:INPUT_BYTES_MAX])
    sizes_bytes = (HEADER_BYTES, data[1] // 2 + 1, INPUT_BYTES_MAX)
    whole, pieces, at_once = (told(offered, secret, is_open, heard, size_bytes) for size_bytes in sizes_bytes)
    assert whole[-1] == pieces[-1] == at_once[-1], "how the bytes are cut makes a difference"
    # What came before the piece in which something is wrong is told; of that piece nothing is.
    assert whole[: len(pieces) - 1] == pieces[: len(whole) - 1]


def frames_of(mode: int, rest: bytes) -> bytes:
    """Give the bytes off the wire. DUE: of this very session, each list behind its header with its CRC."""
    if mode == RAW:
        return rest
    out = bytearray()
    while rest:
        frame, rest = mended(stretched(rest)), rest[SHORT_BYTES:]
        if mode == DUE:
            header = read(frame)
            record = LISTS.get(header.zn_op)
            size_bytes = 0 if record is None or header.zn_status else header.zn_reqsz_lo * record.size_bytes
            records, rest = rest[:size_bytes], rest[size_bytes:]
            crc = crc32c(records) if record is not None else header.payload_crc
            frame = mended(frame, zn_hostid=SESSION, session_epoch=EPOCH, payload_crc=crc) + records
        out += frame
    return bytes(out)


def told(offered: int, secret: bytes | None, is_open: bool, heard: bytes, piece_bytes: int) -> list[object]:
    """Give what a host made of what it heard; last comes how it ended."""
    host = HostDialogue(3, "host1", secret, HOST_NONCE)
    events: list[object] = []
    if is_open:
        log_in(host, offered)
    for at in range(0, len(heard), piece_bytes):
        try:
            found = host.receive(heard[at : at + piece_bytes])
        except RemoteProtocolError as error:
            assert host.state is Config.CLOSED
            assert host.receive(bytes(HEADER_BYTES)) == [], "CLOSED, and it hears"
            return [*events, error.sentence]
        assert all(isinstance(event, Event) for event in found)
        events += found
        # Between two receives nothing longer than one message is kept.
        assert len(host._inbox) <= HEADER_BYTES + LIST_BYTES_MAX
        assert len(host.data_to_send()) <= HEADER_BYTES
    return [*events, host.state]


def log_in(host: HostDialogue, offered: int) -> None:
    server = ServerDialogue(offered, CHALLENGE, SERVER_NONCE, "box1", {"host1": SECRET}.get)
    host.receive(server.data_to_send())
    server.receive(host.data_to_send())
    server.grant(SESSION, EPOCH)
    host.receive(server.data_to_send())
    host.ask_starttime()
    host.ask_capacities()
    host.ask_dataports()
    if host.version == 2:
        host.ask_units()
        host.ask_path(9)
        host.ask_fence(9)
        host.ping()
    host.data_to_send()
