"""Proves: replies land where they belong in any order and cut, and a lying server is hung up on, never believed."""

from struct import pack

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.frontends.nbd_protocol.client_transmission import ClientTransmission, Piece
from hostside.frontends.nbd_protocol.errors import FrameInDoubtError
from hostside.frontends.nbd_protocol.numbers import Command


def chunk(kind: int, cookie: int, body: bytes = b"", *, done: int = 1) -> bytes:
    return pack(">IHHQI", 0x668E33EF, done, kind, cookie, len(body)) + body


def simple(cookie: int, error: int = 0, data: bytes = b"") -> bytes:
    return pack(">IIQ", 0x67446698, error, cookie) + data


def hear(machine: ClientTransmission, data: bytes, step: int = 1 << 20) -> None:
    while data:
        target = machine.target()
        size = min(step, len(target), len(data))
        target[:size] = data[:size]
        machine.received(size)
        data = data[size:]


def read(machine: ClientTransmission, offset: int, length: int) -> bytearray:
    data = bytearray(b"\xee" * length)
    machine.request(Piece(Command.READ, offset, length, 0, memoryview(data)))
    return data


@settings(deadline=None)
@given(st.integers(1, 40), st.permutations([0, 1, 2, 3]))
def test_any_order_any_cut(step: int, order: list[int]) -> None:
    machine = ClientTransmission(structured=True)
    first, second = read(machine, 0, 1024), read(machine, 4096, 512)
    machine.request(Piece(Command.FLUSH, 0, 0))
    third = read(machine, 8192, 512)
    answers = [
        chunk(1, 0, pack(">Q", 512) + b"b" * 512, done=0)
        + chunk(1, 0, pack(">Q", 0) + b"a" * 512, done=0)
        + chunk(0, 0),
        chunk(2, 1, pack(">QI", 4096, 512)),
        simple(2),
        chunk(0x8001, 3, pack(">IH", 5, 3) + b"bad"),
    ]
    hear(machine, b"".join(answers[number] for number in order), step)
    assert not machine.outstanding
    assert bytes(first) == b"a" * 512 + b"b" * 512
    assert bytes(second) == bytes(512)
    assert bytes(third) == b"\xee" * 512
    failed = machine.take_failed()
    assert failed is not None
    assert (failed.offset_bytes, failed.error, failed.sentence) == (8192, 5, "bad")
    assert machine.take_failed() is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"\0" * 16, "no reply"),
        (simple(99), "nobody made"),
        (simple(0, 0, bytes(512)), "without a structured reply"),
        (chunk(1, 0, pack(">Q", 1024) + bytes(512)), "not asked for"),
        (chunk(1, 0, pack(">Q", 0) + bytes(1024)), "not asked for"),
        (chunk(2, 0, pack(">QI", 0, 4096)), "not asked for"),
        (chunk(1, 0, pack(">Q", 0) + bytes(256)), "left out 256 bytes"),
        (chunk(0, 0), "left out 512 bytes"),
        (chunk(77, 0, b"x"), "type 77"),
        (chunk(0x8001, 0, pack(">IH", 0, 0)), "does not fit"),
        (chunk(0x8001, 0, pack(">IH", 5, 100) + b"x"), "does not fit"),
        (chunk(0x8001, 0, bytes(6) + bytes(10_000)), "type 32769"),
    ],
)
def test_a_lying_server_is_not_believed(said: bytes, why: str) -> None:
    machine = ClientTransmission(structured=True)
    data = read(machine, 0, 512)
    expected = {"no reply": "where a reply begins"}.get(why, why)
    with pytest.raises(FrameInDoubtError, match=expected):
        hear(machine, said)
    assert data in (b"\xee" * 512, bytes(256) + b"\xee" * 256)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_ends_in_doubt_or_in_waiting(noise: bytes) -> None:
    machine = ClientTransmission(structured=True)
    read(machine, 0, 512)
    try:
        hear(machine, noise)
    except FrameInDoubtError:
        return
    assert len(machine.target()) > 0
