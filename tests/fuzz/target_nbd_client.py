"""An NBD server's bytes, as `hostside.client` reads them: handshake, then replies to a few reads and writes."""

from hostside.frontends.nbd_protocol.client_handshake import ClientHandshake, Phase
from hostside.frontends.nbd_protocol.client_transmission import ClientTransmission, Piece
from hostside.frontends.nbd_protocol.errors import ExportRefusedError, FrameInDoubtError
from hostside.frontends.nbd_protocol.numbers import Command
from tests.fuzz.frames import INPUT_BYTES_MAX
from tests.hostside.frontends.nbd_protocol.wire import GO, READ, STRUCTURED, Wire, request, write

UNREAD = 0xA5
"""What a read's target holds before."""


def seeds() -> list[bytes]:
    asked = request(READ, 0, 512, cookie=0) + write(512, bytes(512), cookie=1) + request(READ, 1024, 1024, cookie=2)
    refused = request(READ, 1 << 30, 512, cookie=0)
    return [
        b"\0" + heard(bytes([0, 0, 0, 3]) + STRUCTURED + GO),
        *(bytes([1 | structured << 1]) + heard(asked + refused, structured) for structured in (False, True)),
    ]


def heard(said: bytes, structured: bool | None = None) -> bytes:
    """Give what our own server answers; `structured` None: from the greeting on."""
    wire = Wire(1 << 20, slots=32)
    if structured is not None:
        wire.open(structured=structured)
    wire.say(said)
    return wire.take()


def one_input(data: bytes) -> None:
    """Byte 0: bit 0 the handshake is done, bit 1 with structured replies."""
    if not data:
        return
    what, rest = data[0], data[1:INPUT_BYTES_MAX]
    try:
        if what & 1:
            answer(bool(what & 2), rest)
        else:
            haggle(rest)
    except (FrameInDoubtError, ExportRefusedError):
        return


def haggle(rest: bytes) -> None:
    client = ClientHandshake("unit_1")
    while rest and client.phase is not Phase.TRANSMISSION:
        wanted_bytes = client.missing_bytes()
        assert 0 < wanted_bytes <= 1 << 20
        piece, rest = rest[:wanted_bytes], rest[wanted_bytes:]
        client.receive(piece)
        assert len(client.data_to_send()) < 1024
    if client.phase is Phase.TRANSMISSION:
        assert client.opened.size_bytes >= 0


def answer(structured: bool, rest: bytes) -> None:
    client = ClientTransmission(structured=structured)
    reads = {0: (0, 512), 2: (1024, 1024)}
    targets = {cookie: bytearray([UNREAD]) * size_bytes for cookie, (_, size_bytes) in reads.items()}
    for cookie in range(3):
        if cookie in reads:
            offset_bytes, size_bytes = reads[cookie]
            piece = Piece(Command.READ, offset_bytes, size_bytes, view=memoryview(targets[cookie]))
        else:
            piece = Piece(Command.WRITE, 512, 512, view=memoryview(bytes(512)))
        client.request(piece)
    taken = bytearray()
    while rest:
        target = client.target()
        assert 0 < len(target) <= 64 << 10
        size = min(len(target), len(rest))
        target[:size] = rest[:size]
        taken += rest[:size]
        rest = rest[size:]
        client.received(size)
        assert len(client.outstanding) <= 3
