"""Proves that orders and results come back as they were, all of one size, and that anything else is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.setup.messages import PLAIN_BYTES
from protocol.setup.order import Order, Result, TooLongError, order_bytes, read_order, read_result, result_bytes

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3), WORDS, WORDS, WORDS)
def test_an_order_comes_back(name: str, addresses: list[str], interface: str, admin: str, password: str) -> None:
    order = Order(name, tuple(addresses), interface, admin, password)
    data = order_bytes(order)
    assert len(data) == PLAIN_BYTES
    assert read_order(data) == order


@given(st.booleans(), st.text(max_size=2000))
def test_a_result_always_fits(done: bool, sentence: str) -> None:
    data = result_bytes(Result(done, sentence))
    read = read_result(data)
    assert len(data) == PLAIN_BYTES
    assert read is not None
    assert read.done is done
    assert not sentence.isprintable() or sentence.startswith(read.sentence)


def test_what_does_not_fit_is_refused_with_a_sentence() -> None:
    with pytest.raises(TooLongError, match="shorten"):
        order_bytes(Order("n", ("10.0.0.5/24",), "", "a", "p" * 1000))


@given(st.binary(max_size=200))
def test_any_bytes_are_none(data: bytes) -> None:
    assert read_order(data) is None
    assert read_result(data) is None


GOOD = {"name": "n", "addresses": ["10.0.0.5/24"], "interface": "", "admin": "", "password": ""}


@pytest.mark.parametrize(
    "change",
    [{"addresses": []}, {"addresses": ["a"] * 9}, {"addresses": [1]}, {"addresses": "a"}, {"name": None}, {"more": ""}],
)
def test_another_shape_is_none(change: dict[str, object]) -> None:
    assert read_order(json.dumps(GOOD).encode()) is not None
    assert read_order(json.dumps({**GOOD, **change}).encode()) is None


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(Order("n", (), "", "admin", "secret"))
