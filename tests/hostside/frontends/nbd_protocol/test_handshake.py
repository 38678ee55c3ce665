"""Proves: option haggling answers to the byte what the specification says, however its bytes are cut."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.frontends.nbd_protocol.connection import Phase
from hostside.frontends.nbd_protocol.handshake import TRANSITIONS, Event
from hostside.frontends.nbd_protocol.handshake import Phase as HandshakePhase
from tests.hostside.frontends.nbd_protocol.wire import GO, Wire, golden, match, option, request

CASES = ["go_and_read", "export_name", "export_name_no_zeroes", "haggling"]
FLAGS = bytes([0, 0, 0, 3])


@pytest.mark.parametrize("step", [1 << 20, 1, 7], ids=["whole", "byte by byte", "by sevens"])
@pytest.mark.parametrize("case", CASES)
def test_golden_session(case: str, step: int) -> None:
    client, server = golden(case)
    wire = Wire()
    wire.say(client, step)
    match(wire.take(), server)
    assert wire.all_slots_free()


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_any_cuts_give_the_same_answers(cuts: list[int]) -> None:
    client, server = golden("go_and_read")
    wire = Wire()
    for cut in cuts:
        wire.say(client[:cut])
        client = client[cut:]
    wire.say(client)
    match(wire.take(), server)


def test_the_tail_of_the_handshake_belongs_to_the_transmission_phase() -> None:
    wire = Wire()
    tail = b"".join(request(0, 0, 512, cookie=number) for number in range(500))
    wire.say(FLAGS + GO + tail)
    simple_replies = wire.take()[-500 * 528 :]
    assert {simple_replies[at + 14 : at + 16] for at in range(0, 500 * 528, 528)} == {
        number.to_bytes(2, "big") for number in range(500)
    }


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (bytes([0, 0, 0, 4]), "an unknown client flag"),
        (FLAGS + b"IHAVEOPX" + bytes(8), "a wrong magic"),
        (FLAGS + option(1, b"nope"), "EXPORT_NAME of an unknown export"),
        (FLAGS + b"IHAVEOPT" + bytes(4) + bytes([0, 1, 0, 1]), "an option longer than any honest one"),
    ],
)
def test_what_has_no_answer_ends_the_connection(said: bytes, why: str) -> None:
    wire = Wire()
    wire.say(said)
    assert wire.connection.settled, why
    assert wire.take() == golden("haggling")[1][0]


@pytest.mark.parametrize(
    "data",
    [b"", bytes(3), bytes(4), bytes([0, 0, 0, 9]) + bytes(4), bytes(4) + b"\0\2\0\0", bytes(7)],
    ids=["empty", "cut name length", "no queries", "name longer than data", "missing query", "surplus"],
)
def test_malformed_go_is_invalid_and_costs_nothing_else(data: bytes) -> None:
    wire = Wire()
    wire.say(FLAGS + option(7, data))
    answer = wire.take()[18:]
    assert answer[:16] == bytes.fromhex("0003e889045565a9 00000007 80000003")
    wire.say(GO)
    assert wire.connection.phase is Phase.TRANSMISSION


def test_df_is_offered_only_with_structured_replies() -> None:
    wire = Wire()
    wire.say(FLAGS + option(6, bytes(6)))
    without = wire.take()
    wire.say(option(8) + option(6, bytes(6)))
    flags_at = 18 + 20 + 10
    assert without[flags_at : flags_at + 2] == bytes.fromhex("016d")
    assert wire.take()[20 + 20 + 10 : 20 + 20 + 12] == bytes.fromhex("01ed")


def test_every_phase_that_goes_on_can_end() -> None:
    for phase in (HandshakePhase.CLIENT_FLAGS, HandshakePhase.OPTIONS):
        assert TRANSITIONS[phase][Event.VIOLATED] is HandshakePhase.ENDED
    assert not TRANSITIONS[HandshakePhase.TRANSMISSION]
    assert not TRANSITIONS[HandshakePhase.ENDED]


@settings(deadline=None)
@given(st.binary(max_size=400), st.booleans())
def test_noise_never_raises_and_never_holds_a_slot(noise: bytes, opened: bool) -> None:
    wire = Wire()
    if opened:
        wire.open()
    wire.say(noise)
    wire.hang_up()
    assert wire.all_slots_free()
