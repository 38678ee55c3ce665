"""Proved: packets have their size, and what is packed is unpacked; a long sentence is cut, not refused."""

from hypothesis import given, settings
from hypothesis import strategies as st

from serverside.driver.packets import ANSWER_BYTES, COMMAND_BYTES, Answer, Command

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)


@settings(deadline=None)
@given(st.builds(Command, U32, U16, st.integers(0, 255), st.booleans(), U32, U64, U64, U32))
def test_commands(command: Command) -> None:
    packet = command.pack()
    assert len(packet) == COMMAND_BYTES
    assert Command.unpack(packet) == command


@settings(deadline=None)
@given(U32, U32, st.text(st.characters(exclude_characters="\0", codec="utf-8")))
def test_answers(sequence: int, status: int, sentence: str) -> None:
    packet = Answer(sequence, status, sentence).pack()
    assert len(packet) == ANSWER_BYTES
    back = Answer.unpack(packet)
    assert (back.sequence, back.status) == (sequence, status)
    assert sentence.startswith(back.sentence)
    assert back.sentence == sentence or len(sentence.encode()) > 248


def test_a_character_on_the_edge_is_left_out() -> None:
    assert Answer.unpack(Answer(1, 5, "x" * 247 + "ü").pack()).sentence == "x" * 247
