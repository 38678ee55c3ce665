"""Proves: bytes leave in order, and a slot is free exactly when the last of its bytes was sent."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hostside.driver.request import Request
from hostside.frontends.nbd_protocol.outbox import Outbox


def read_of(parts: list[bytes]) -> Request:
    views = [memoryview(part) for part in parts]
    return Request(2, 0, sum(map(len, parts)), False, lambda request: None, [], [], views)


BYTES = st.binary(min_size=1, max_size=20)
PUSHES = st.lists(st.one_of(BYTES, st.lists(BYTES, min_size=1, max_size=3)), max_size=12)


@settings(deadline=None)
@given(PUSHES, st.lists(st.integers(1, 30)), st.integers(1, 5))
def test_order_and_release(pushes: list[bytes | list[bytes]], takes: list[int], count: int) -> None:
    released: list[Request] = []
    outbox = Outbox(released.append)
    expected, ends = b"", []
    for push in pushes:
        if isinstance(push, bytes):
            outbox.push(push)
            expected += push
        else:
            request = read_of(push)
            outbox.push_read(b"head", request)
            expected += b"head" + b"".join(push)
            ends.append((len(expected), request))
    sent = b""
    for take in [*takes, *[1000] * 40]:
        if not outbox.unsent_bytes:
            break
        data = b"".join(outbox.first(count))[:take]
        outbox.sent(len(data))
        sent += data
        assert released == [request for end, request in ends if end <= len(sent)]
    assert sent == expected


def test_close_frees_all_and_whatever_comes_later() -> None:
    released: list[Request] = []
    outbox = Outbox(released.append)
    early, late = read_of([b"a"]), read_of([b"b"])
    outbox.push_read(b"head", early)
    outbox.close()
    outbox.push_read(b"head", late)
    outbox.push(b"more")
    assert released == [early, late]
    assert outbox.unsent_bytes == 0
