"""Generic netlink against the kernel that runs here, and its layout for every content."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostside.frontends.netlink import (
    GenericNetlink,
    attribute,
    nested,
    number,
    parse_attributes,
    text,
    u8,
    u32,
    u64,
)

GETFAMILY, FAMILY_ID, FAMILY_NAME = 3, 1, 2
CONTROLLER_ID = 16
"""GENL_ID_CTRL: the controller is a family itself, in every kernel, and its number is fixed."""


@given(st.dictionaries(st.integers(1, 0x3FFF), st.binary(max_size=200)))
def test_attributes_come_back(values: dict[int, bytes]) -> None:
    packed = [attribute(kind, value) for kind, value in values.items()]
    assert all(len(one) % 4 == 0 for one in packed)
    assert parse_attributes(b"".join(packed)) == values
    assert parse_attributes(parse_attributes(nested(7, *packed))[7]) == values


@given(st.integers(0, 255))
def test_numbers_come_back(value: int) -> None:
    assert [number(pack(value)) for pack in (u8, u32, u64)] == [value] * 3


@pytest.mark.parametrize("size", [3, 9, 0])
def test_an_impossible_length_is_refused(size: int) -> None:
    with pytest.raises(OSError, match=f"attribute of {size} bytes"):
        parse_attributes(size.to_bytes(2, "little") + bytes(6))


def test_the_kernel_knows_its_controller() -> None:
    with GenericNetlink("nlctrl", version=2) as netlink:
        assert netlink.family_id == CONTROLLER_ID
        (answer,) = netlink.ask(GETFAMILY, attribute(FAMILY_NAME, text("nlctrl")))
    assert number(answer[FAMILY_ID]) == CONTROLLER_ID


def test_a_family_that_is_not_there_leaves_no_socket_behind() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        GenericNetlink("no such thing")
    assert os.listdir("/proc/self/fd") == before


def test_a_refused_order_has_the_kernel_s_errno_and_spoils_nothing() -> None:
    with GenericNetlink("nlctrl", version=2) as netlink:
        with pytest.raises(FileNotFoundError):
            netlink.ask(GETFAMILY, attribute(FAMILY_NAME, text("nosuch")))
        with pytest.raises(OSError, match="Operation not supported"):
            netlink.ask(200)
        assert netlink.ask(GETFAMILY, attribute(FAMILY_NAME, text("nlctrl")))
