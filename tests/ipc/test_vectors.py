"""What is left to send after a part went is exactly the rest, in order, without empty pieces."""

from hypothesis import given
from hypothesis import strategies as st

from ipc.vectors import rest_after


@given(pieces=st.lists(st.binary(min_size=1, max_size=9), max_size=6), data=st.data())
def test_the_rest_is_the_rest(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    sent_bytes = data.draw(st.integers(0, len(whole)))
    rest = rest_after([memoryview(piece) for piece in pieces], sent_bytes)
    assert b"".join(rest) == whole[sent_bytes:]
    assert all(rest)


def test_nothing_is_copied() -> None:
    buffer = bytearray(b"abcdef")
    rest = rest_after([memoryview(buffer)[:3], memoryview(buffer)[3:]], 1)
    buffer[:] = b"ABCDEF"
    assert b"".join(rest) == b"BCDEF"
