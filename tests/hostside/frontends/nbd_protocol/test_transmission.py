"""Proves: each request gets exactly one right answer, refused or not, whatever its size, and slots always come back."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.driver.unit import UnitFlag
from tests.hostside.frontends.memory_driver import ALL
from tests.hostside.frontends.nbd_protocol.wire import (
    BLOCK_STATUS,
    DF,
    DISC,
    FLUSH,
    FUA,
    MIB,
    NO_HOLE,
    READ,
    TRIM,
    WRITE,
    WRITE_ZEROES,
    Wire,
    request,
    write,
)

EPERM, EIO, EINVAL, ENOSPC, EOVERFLOW, ESHUTDOWN = 1, 5, 22, 28, 75, 108


@pytest.mark.parametrize(
    ("command", "flags", "offset", "length", "error", "sentence"),
    [
        (READ, 0, 100, 512, EINVAL, b"multiples of 512"),
        (READ, 0, 0, 513, EINVAL, b"multiples of 512"),
        (READ, 0, MIB, 512, EINVAL, b"past the end"),
        (READ, 0, 2**64 - 512, 1024, EINVAL, b"past the end"),
        (READ, NO_HOLE, 0, 512, EINVAL, b"flags 0x2"),
        (WRITE, 0, MIB - 512, 1024, ENOSPC, b"past the end"),
        (WRITE, 0, 0, 511, EINVAL, b"multiples of 512"),
        (WRITE, DF, 0, 512, EINVAL, b"flags 0x4"),
        (WRITE_ZEROES, 0, MIB, 512, ENOSPC, b"past the end"),
        (WRITE_ZEROES, 16, 0, 512, EINVAL, b"flags 0x10"),
        (TRIM, 0, MIB, 512, EINVAL, b"past the end"),
        (FLUSH, 0, 0, 512, EINVAL, b"must be 0"),
        (BLOCK_STATUS, 0, 0, 512, EINVAL, b"command 7"),
        (999, 0, 0, 0, EINVAL, b"command 999"),
    ],
)
@pytest.mark.parametrize("structured", [True, False])
def test_refused_with_the_right_error_and_the_connection_lives(
    structured: bool, command: int, flags: int, offset: int, length: int, error: int, sentence: bytes
) -> None:
    wire = Wire().open(structured=structured)
    if flags & DF and not structured:
        error, sentence = EINVAL, b""
    payload = bytes(length) if command == WRITE else b""
    [(cookie, answered, said)] = wire.ask(request(command, offset, length, cookie=7, flags=flags, payload=payload))
    assert (cookie, answered) == (7, error)
    assert sentence in said if structured else said == b""
    assert wire.ask(write(0, bytes(512), cookie=8)) == [(8, 0, b"")]
    assert wire.all_slots_free()


@pytest.mark.parametrize("command", [WRITE, TRIM, WRITE_ZEROES])
def test_read_only_is_eperm(command: int) -> None:
    wire = Wire(flags=ALL | UnitFlag.READ_ONLY).open()
    payload = bytes(512) if command == WRITE else b""
    [(_, error, sentence)] = wire.ask(request(command, 0, 512, payload=payload))
    assert (error, sentence) == (EPERM, b"The disk unit_1 is read-only.")
    assert wire.driver.made == 0


def test_what_the_unit_does_not_have_is_not_offered_and_refused() -> None:
    wire = Wire(flags=UnitFlag(0)).open()
    for command in (FLUSH, TRIM, WRITE_ZEROES):
        length = 0 if command == FLUSH else 512
        assert wire.ask(request(command, 0, length))[0][1] == EINVAL
    assert wire.ask(write(0, bytes(512), flags=FUA))[0][1] == EINVAL
    assert wire.driver.made == 0


def test_fua_reaches_the_driver_and_flush_too() -> None:
    wire = Wire().open()
    assert wire.ask(write(0, bytes(512), flags=FUA)) == [(1, 0, b"")]
    assert wire.ask(request(FLUSH, 0, 0, cookie=2)) == [(2, 0, b"")]
    assert (wire.driver.fuas, wire.driver.flushes) == (1, 1)


@pytest.mark.parametrize("command", [READ, WRITE, TRIM, WRITE_ZEROES])
@pytest.mark.parametrize("structured", [True, False])
def test_a_request_that_moves_nothing_is_done(command: int, structured: bool) -> None:
    wire = Wire().open(structured=structured)
    assert wire.ask(request(command, 512, 0)) == [(1, 0, b"")]
    assert wire.driver.made == 0


@pytest.mark.parametrize("step", [1, 511, 100_000, 1 << 30])
def test_writes_of_any_size_in_any_pieces_are_stored_whole(step: int) -> None:
    wire = Wire(4 * MIB, part_bytes=128 << 10).open()
    size = 4096 if step == 1 else 3 * MIB + 512
    data = bytes(range(256)) * (size // 256)
    wire.say(write(512, data) + request(READ, 512, 4096, cookie=2), step)
    wire.take()
    chunks = wire.ask(request(READ, 512, size, cookie=3))
    assert b"".join(body[8:] for _, error, body in chunks if error == -1) == data
    assert wire.all_slots_free()


def test_a_payload_of_more_than_32_mib_ends_the_connection() -> None:
    for length in (32 * MIB + 1, 33 * MIB, 2**32 - 512):
        wire = Wire(2**40).open()
        wire.say(request(WRITE, 0, length))
        assert wire.connection.settled
        assert wire.take() == b""


def test_a_read_of_more_than_32_mib_is_refused() -> None:
    wire = Wire(2**40).open()
    assert wire.ask(request(READ, 0, 33 * MIB))[0][1] == EOVERFLOW


def test_32_mib_go_through_a_pool_much_smaller() -> None:
    wire = Wire(64 * MIB, slots=16, part_bytes=512 << 10).open()
    data = bytes(range(256)) * (32 * MIB // 256)
    assert wire.ask(write(0, data)) == [(1, 0, b"")]
    chunks = wire.ask(request(READ, 0, 32 * MIB))
    assert chunks[-1] == (1, 0, b"")
    offsets = [int.from_bytes(body[:8], "big") for _, _, body in chunks[:-1]]
    assert sorted(offsets) == list(range(0, 32 * MIB, 512 << 10))
    assert b"".join(body[8:] for _, _, body in sorted(chunks[:-1], key=lambda chunk: chunk[2][:8])) == data
    assert wire.all_slots_free()


def test_a_large_read_in_one_piece_where_the_client_needs_that() -> None:
    data = bytes(range(256)) * (4 * MIB // 256)
    wire = Wire(8 * MIB, slots=16, part_bytes=512 << 10).open()
    wire.ask(write(0, data))
    [(_, kind, body)] = wire.ask(request(READ, 0, 4 * MIB, flags=DF))
    assert (kind, body[:8], body[8:]) == (-1, bytes(8), data)
    simple = Wire(8 * MIB, slots=16, part_bytes=512 << 10).open(structured=False)
    simple.ask(write(0, data))
    simple.say(request(READ, 0, 4 * MIB, cookie=9))
    assert simple.take() == bytes.fromhex("67446698 00000000 0000000000000009") + data
    assert wire.all_slots_free()
    assert simple.all_slots_free()


@pytest.mark.parametrize("structured", [True, False])
@pytest.mark.parametrize("command", [READ, WRITE])
def test_an_error_in_the_middle_of_a_large_request_is_told_once(command: int, structured: bool) -> None:
    wire = Wire(4 * MIB, part_bytes=128 << 10).open(structured=structured)
    wire.driver.faults.bad_bytes = range(MIB, MIB + 1)
    wire.driver.faults.status = 116  # ESTALE, which NBD has not
    wire.driver.faults.sentence = "unit_1: the unit has changed"
    payload = bytes(3 * MIB) if command == WRITE else b""
    answers = wire.ask(request(command, 0, 3 * MIB, payload=payload))
    assert answers[-1] == (1, EIO, b"unit_1: the unit has changed" if structured else b"")
    assert [error for _, error, _ in answers].count(EIO) == 1
    assert wire.ask(request(FLUSH, 0, 0, cookie=2)) == [(2, 0, b"")]
    assert wire.all_slots_free()


def test_no_hole_writes_real_zeroes() -> None:
    wire = Wire(4 * MIB, slots=16, part_bytes=256 << 10).open()
    wire.ask(write(0, b"\xff" * (2 * MIB)))
    made = wire.driver.made
    assert wire.ask(request(WRITE_ZEROES, 512, MIB, flags=NO_HOLE | FUA)) == [(1, 0, b"")]
    assert wire.driver.fuas == wire.driver.made - made == 4
    chunks = wire.ask(request(READ, 0, MIB + 1024))
    data = b"".join(body[8:] for _, _, body in sorted(chunks[:-1], key=lambda chunk: chunk[2][:8]))
    assert data == b"\xff" * 512 + bytes(MIB) + b"\xff" * 512


def test_without_room_the_client_waits_and_nothing_is_lost() -> None:
    wire = Wire(slots=4).open()
    requests = b"".join(write(0, bytes(65536), cookie=cookie) for cookie in range(20))
    assert sorted(cookie for cookie, _, _ in wire.ask(requests)) == list(range(20))
    assert wire.all_slots_free()


def test_who_does_not_read_the_answers_is_not_listened_to() -> None:
    wire = Wire(4 * MIB, slots=64, held_bytes_max=MIB).open()
    wire.deafen()
    wire.say(b"".join(request(READ, 0, 65536, cookie=cookie) for cookie in range(100)))
    assert wire.connection.stalled
    assert wire.driver.pool.free_count == 64 - 16, "the client holds its share and no more"
    wire.say(bytes(10 * MIB))
    assert wire.unsaid == 10 * MIB
    wire.listen()
    wire.hang_up()
    assert wire.all_slots_free()


def test_endless_flushes_of_a_deaf_client_are_bounded_too() -> None:
    wire = Wire(held_bytes_max=64 << 10).open()
    wire.deafen()
    wire.say(b"".join(request(FLUSH, 0, 0) for _ in range(20_000)))
    assert wire.connection.outbox.unsent_bytes < 64 << 11
    assert wire.connection.stalled


def test_disconnect_answers_what_is_outstanding_first() -> None:
    wire = Wire().open()
    wire.say(request(READ, 0, 512) + request(DISC, 0, 0, cookie=2))
    assert len(wire.take()) == 28 + 512
    assert wire.connection.settled


def test_a_wrong_magic_ends_the_connection() -> None:
    wire = Wire().open()
    wire.say(b"\0" * 28)
    assert wire.connection.settled


@pytest.mark.parametrize("payload_bytes", [0, 1000, 65536, 3 * 65536 + 5])
def test_a_client_that_vanishes_mid_write_holds_nothing(payload_bytes: int) -> None:
    wire = Wire(part_bytes=128 << 10).open()
    wire.say(request(WRITE, 0, 512 << 10, payload=bytes(payload_bytes)))
    wire.hang_up()
    assert wire.connection.idle
    assert wire.all_slots_free()


def test_drain_finishes_what_has_begun_and_refuses_the_rest() -> None:
    wire = Wire().open()
    begun = write(0, b"\x11" * 4096)
    wire.say(begun[:1000])
    wire.connection.drain()
    assert [wire.connection.settled, wire.ask(begun[1000:]), wire.connection.settled] == [False, [(1, 0, b"")], True]
    [(_, error, sentence)] = wire.ask(write(0, bytes(512), cookie=2))
    assert (error, sentence[:30]) == (ESHUTDOWN, b"The disk is being shut down; c")


def test_drain_refuses_what_waited_for_room() -> None:
    wire = Wire(slots=1).open()
    wire.deafen()
    wire.say(request(READ, 0, 512) + request(READ, 0, 512, cookie=2))
    assert wire.connection.stalled
    wire.connection.drain()
    wire.listen()
    assert [(cookie, error) for cookie, error, _ in wire.ask(b"")] == [(1, -1), (2, ESHUTDOWN)]


def test_a_unit_that_shrinks_is_checked_as_it_is_now() -> None:
    wire = Wire().open()
    wire.driver.unit = wire.driver.unit.changed(blocks=1, generation=2, flags=int(ALL))
    assert wire.ask(request(READ, 512, 512))[0][1] == EINVAL


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([READ, WRITE, FLUSH, TRIM, WRITE_ZEROES, BLOCK_STATUS]),
            st.sampled_from([0, FUA, NO_HOLE, DF]),
            st.integers(0, 2 * MIB // 512).map(lambda block: block * 512),
            st.sampled_from([0, 512, 4096, 65536, 200_704, 513, 300_032]),
        ),
        max_size=30,
    ),
    st.integers(1, 1 << 20),
)
def test_every_request_is_answered_once(asked: list[tuple[int, int, int, int]], step: int) -> None:
    wire = Wire(slots=8, part_bytes=128 << 10, held_bytes_max=256 << 10).open()
    said = b""
    for cookie, (command, flags, offset, length) in enumerate(asked):
        payload = bytes(length) if command == WRITE else b""
        said += request(command, offset, length, cookie=cookie, flags=flags, payload=payload)
    wire.say(said, max(step, len(said) // 1000))
    ends = [cookie for cookie, error, _ in _final(wire)]
    assert sorted(ends) == list(range(len(asked)))
    assert wire.all_slots_free()


def _final(wire: Wire) -> list[tuple[int, int, bytes]]:
    """Only the last chunk of each answer: the flag DONE."""
    data, ends = wire.take(), []
    while data:
        is_simple = data[:4] == bytes.fromhex("67446698")
        size = 16 if is_simple else 20 + int.from_bytes(data[16:20], "big")
        if is_simple or data[5] == 1:
            ends.append((int.from_bytes(data[8:16], "big"), 0, b""))
        data = data[size:]
    return ends
