"""Proves that silence is counted as far as one has listened, and no further."""

from ipc.silence import Silence


def test_it_is_counted_from_the_last_word() -> None:
    silence = Silence(0.5)
    assert [silence.look(since_s) for since_s in (0.1, 0.6, 1.1, 0.2, 0.7)] == [0.1, 0.6, 1.1, 0.2, 0.7]


def test_a_look_may_be_late() -> None:
    silence = Silence(0.5)
    silence.look(0.5)
    assert silence.look(1.4) == 1.4


def test_who_was_away_himself_begins_where_he_left() -> None:
    """A minute of sleep: the peer may have spoken into it, and gets as long as ever to speak again."""
    silence = Silence(0.5)
    assert silence.look(0.4) == 0.4
    assert silence.look(60.4) == 1.4
    assert silence.look(60.9) == 2.4
    assert silence.look(0.1) == 0.1
