"""An NBD client's bytes, from the greeting to the goodbye, with a small disk behind."""

from hostside.frontends.nbd_protocol.export import export_of
from hostside.frontends.nbd_protocol.handshake import Phase, ServerHandshake
from hostside.frontends.nbd_protocol.numbers import OPTION_BYTES_MAX
from tests.fuzz.frames import INPUT_BYTES_MAX
from tests.hostside.frontends.memory_driver import unit_of
from tests.hostside.frontends.nbd_protocol.wire import (
    FLUSH,
    GO,
    NO_HOLE,
    READ,
    STRUCTURED,
    TRIM,
    WRITE,
    WRITE_ZEROES,
    Wire,
    option,
    replies,
    request,
    write,
)

DISK_BYTES = 128 << 10
SLOTS = 4
HEADER_BYTES = 28
FLAGS = bytes([0, 0, 0, 3])
HEARD_BYTES_MAX = 64 << 20


def seeds() -> list[bytes]:
    info = option(6, (3).to_bytes(4, "big") + b"abc" + bytes([0, 1, 0, 3]))
    requests = [
        request(READ, 0, 4096),
        write(512, bytes(512), cookie=2),
        request(FLUSH, 0, 0, cookie=3),
        request(TRIM, 0, 4096, cookie=4),
        request(WRITE_ZEROES, 0, DISK_BYTES, cookie=5, flags=NO_HOLE),
        request(READ, 0, DISK_BYTES, cookie=6),
    ]
    shorts = b"".join(one[4:HEADER_BYTES] for one in requests)
    return [
        b"\0\7" + FLAGS + STRUCTURED + info + option(3) + GO + requests[0],
        b"\0\7" + FLAGS + option(1, b"unit_1") + requests[1] + option(2),
        b"\1\7" + b"".join(requests),
        b"\3\7" + b"".join(requests),
        b"\5\7" + shorts,
        b"\7\7" + shorts,
    ]


def one_input(data: bytes) -> None:
    """Byte 0: bit 0 the handshake is done, bit 1 with structured replies, bit 2 short requests; byte 1: pieces."""
    if len(data) < 2:
        return
    what, step, rest = data[0], data[1] + 1, data[2:INPUT_BYTES_MAX]
    if what & 1:
        talk(bool(what & 2), requests_of(rest) if what & 4 else rest, step)
    else:
        haggle(rest, step)
        wire = Wire(DISK_BYTES, slots=SLOTS, part_bytes=64 << 10, held_bytes_max=128 << 10)
        wire.say(rest, step)
        part(wire)


def requests_of(rest: bytes) -> bytes:
    """Give whole requests of short ones, which lack the magic, and the payload when it is a write."""
    out = b""
    for at in range(0, len(rest), HEADER_BYTES - 4):
        header = bytes.fromhex("25609513") + rest[at : at + HEADER_BYTES - 4].ljust(HEADER_BYTES - 4, b"\0")
        command, length_bytes = header[7], int.from_bytes(header[24:], "big")
        out += header + bytes(length_bytes if command == WRITE and length_bytes <= DISK_BYTES else 0)
    return out


def talk(structured: bool, said: bytes, step: int) -> None:
    wire = Wire(DISK_BYTES, slots=SLOTS, part_bytes=64 << 10, held_bytes_max=128 << 10)
    wire.open(structured=structured)
    wire.say(said, step if len(said) <= INPUT_BYTES_MAX else 1 << 16)
    heard = wire.take()
    assert len(heard) <= HEARD_BYTES_MAX
    if structured:
        assert all(cookie >= 0 for cookie, _, _ in replies(heard)), "a reply has no form"
    part(wire)


def part(wire: Wire) -> None:
    """Hang up: nothing that was taken stays taken."""
    wire.hang_up()
    assert wire.all_slots_free(), "slots are lost"


def haggle(said: bytes, step: int) -> None:
    """The handshake alone, at once and in pieces."""
    unit = unit_of(DISK_BYTES)
    whole, pieces = (ServerHandshake(lambda: export_of("unit_1", unit)) for _ in range(2))
    whole.receive(said)
    for at in range(0, len(said), step):
        if pieces.phase in (Phase.TRANSMISSION, Phase.ENDED):
            pieces.unread += said[at:]
            break
        pieces.receive(said[at : at + step])
        assert len(pieces.unread) <= 16 + OPTION_BYTES_MAX + step
    assert (whole.phase, whole.structured, whole.export) == (pieces.phase, pieces.structured, pieces.export)
    assert whole.data_to_send() == pieces.data_to_send(), "how the bytes are cut makes a difference"
    assert whole.phase is Phase.ENDED or whole.unread == pieces.unread
