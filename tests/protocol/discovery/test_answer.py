"""Proves that answers come back as they went, that they are bounded, and that no stranger's bytes do harm."""

from ipaddress import IPv4Address, IPv6Address
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.discovery.answer import (
    ADDRESSES_MAX,
    ANSWER_BYTES_MAX,
    INTERFACES_MAX,
    Address,
    Answer,
    Interface,
    bounded,
    decode,
    encode,
)

NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True)
MAC = st.binary(min_size=6, max_size=6)
NUMERIC = st.integers(0, 2**32 - 1).map(lambda n: str(IPv4Address(n))) | st.integers(0, 2**128 - 1).map(
    lambda n: str(IPv6Address(n))
)
ADDRESS = st.builds(Address, NUMERIC, st.booleans())
INTERFACE_NAME = st.from_regex(r"[a-z0-9.@-]{1,15}", fullmatch=True)


def interfaces(most: int, addresses_most: int) -> st.SearchStrategy[tuple[Interface, ...]]:
    each = st.builds(Interface, INTERFACE_NAME, MAC, st.lists(ADDRESS, max_size=addresses_most).map(tuple))
    return st.lists(each, max_size=most, unique_by=lambda one: one.name).map(
        lambda found: tuple(sorted(found, key=lambda one: one.name))
    )


def answers(found: st.SearchStrategy[tuple[Interface, ...]]) -> st.SearchStrategy[Answer]:
    port, mask = st.integers(1, 65535), st.integers(0, 2**32 - 1)
    return st.builds(Answer, st.uuids(), NAME, MAC, port, mask, st.booleans(), found)


def open_first(interface: Interface) -> Interface:
    return Interface(interface.name, interface.mac, tuple(sorted(interface.addresses, key=lambda one: not one.is_open)))


@given(answers(interfaces(4, 8)))
def test_an_answer_comes_back_as_it_went(answer: Answer) -> None:
    found = decode(encode(answer))
    assert found is not None
    assert found.interfaces == tuple(open_first(one) for one in answer.interfaces)
    assert (found.instance, found.name, found.mac) == (answer.instance, answer.name, answer.mac)
    assert (found.config_port, found.versions) == (answer.config_port, answer.versions)
    assert found.is_set_up == answer.is_set_up


@given(answers(interfaces(40, 5)))
def test_however_many_interfaces_there_are_the_answer_is_bounded(answer: Answer) -> None:
    assert len(encode(answer)) <= ANSWER_BYTES_MAX
    kept = bounded(answer.interfaces)
    assert len(kept) <= INTERFACES_MAX
    assert sum(len(one.addresses) for one in kept) <= ADDRESSES_MAX


def test_the_longest_answer_still_fits_and_what_a_host_can_use_is_left_out_last() -> None:
    many = tuple(
        Interface(f"interface-{n:05d}", bytes(6), tuple(Address(f"fd00::{n}:{i}") for i in range(9))) for n in range(99)
    )
    used = Interface("z", bytes(6), (Address("10.0.0.1"), Address("10.0.0.2", is_open=True)))
    answer = Answer(UUID(int=1), "n" * 64, bytes(6), 65535, 3, True, (*many, used))
    data = encode(answer)
    assert len(data) <= ANSWER_BYTES_MAX
    found = decode(data)
    assert found is not None
    assert list(found.open_addresses()) == ["10.0.0.2"]


@given(st.binary(max_size=ANSWER_BYTES_MAX + 50))
def test_noise_is_read_without_an_exception(noise: bytes) -> None:
    found = decode(noise)
    assert found is None or decode(encode(found)) is not None


@given(answers(interfaces(3, 3)), st.data())
def test_a_cut_or_lengthened_answer_is_none(answer: Answer, data: st.DataObject) -> None:
    whole = encode(answer)
    assert decode(whole[: data.draw(st.integers(0, len(whole) - 1))]) is None
    assert decode(whole + data.draw(st.binary(min_size=1, max_size=9))) is None


@given(answers(interfaces(3, 3)), st.data())
def test_an_altered_answer_is_read_without_an_exception(answer: Answer, data: st.DataObject) -> None:
    altered = bytearray(encode(answer))
    altered[data.draw(st.integers(0, len(altered) - 1))] = data.draw(st.integers(0, 255))
    found = decode(bytes(altered))
    assert found is None or found.name.isprintable()


@pytest.mark.parametrize("name", ["\x1b[2J", "", "a b", "n" * 65, "-a", "ä"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    answer = Answer(UUID(int=1), "box1", bytes(6), 10001, 2, True)
    data = encode(answer).replace(b"\x04box1", bytes([len(name.encode())]) + name.encode())
    assert decode(data) is None


@pytest.mark.parametrize("name", ["\x1b[2J", "", "a b", "e" * 16, "a/b"])
def test_an_interface_name_that_is_none_is_refused(name: str) -> None:
    answer = Answer(UUID(int=1), "box1", bytes(6), 10001, 2, True, (Interface("eth9", bytes(6)),))
    data = encode(answer).replace(b"\x04eth9", bytes([len(name.encode())]) + name.encode())
    assert decode(data) is None
