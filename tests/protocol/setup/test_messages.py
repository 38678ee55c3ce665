"""Proves the sizes of set-up's messages, and that what is no message is not taken for one."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.setup.messages import (
    SIZES,
    Claim,
    Kind,
    Opening,
    Reason,
    is_whole,
    read_claim,
    read_opening,
    read_refusal,
    refusal,
)

FRAME_BODY_MOST = 1480


def test_openings_and_claims_come_back() -> None:
    hello = Opening(b"n" * 32, b"p" * 32)
    assert read_opening(hello.bytes()) == hello
    for said in (b"s" * 32, b"s" * 1040):
        claim = Claim(hello, b"q" * 32, said)
        assert read_claim(claim.bytes()) == claim


def test_every_message_fits_a_frame_and_no_answer_is_longer_than_its_question() -> None:
    assert max(SIZES.values()) <= FRAME_BODY_MOST
    for question, answer in ((Kind.HELLO, Kind.OFFER), (Kind.PROVE, Kind.PROVEN), (Kind.ORDER, Kind.RESULT)):
        assert SIZES[answer] <= SIZES[question]
        assert SIZES[Kind.REFUSAL] <= SIZES[question]


@given(st.integers(0, 255), st.integers(0, 1500))
def test_only_the_exact_size_is_whole(kind: int, size: int) -> None:
    assert is_whole(kind, bytes(size)) == (kind in set(Kind) and SIZES[Kind(kind)] == size)


def test_refusals_come_back_and_unknown_reasons_are_none() -> None:
    for reason in Reason:
        assert read_refusal(refusal(reason, 61).body) == (reason, 61)
    assert read_refusal(refusal(Reason.PAUSED, 1_000_000).body) == (Reason.PAUSED, 65535)
    assert read_refusal(b"\xff\0\0") is None
