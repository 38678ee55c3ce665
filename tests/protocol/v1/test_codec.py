"""The fast codec of version 0x01 is the declared structure, both ways, for every word."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.limits import U32_MAX
from protocol.v1.codec import Header, decode, encode
from protocol.v1.layout import ZNREQ

headers = st.tuples(*[st.integers(0, U32_MAX)] * 16).map(lambda words: Header(*words))


@given(headers)
def test_encode_is_the_declared_structure(header: Header) -> None:
    assert encode(header) == ZNREQ.build({**header._asdict(), "zn_pad": bytes(448)})


@given(st.binary(min_size=512, max_size=512))
def test_decode_is_the_declared_structure(frame: bytes) -> None:
    declared = ZNREQ.parse(frame)
    assert decode(frame)._asdict() == {name: declared[name] for name in Header._fields}
