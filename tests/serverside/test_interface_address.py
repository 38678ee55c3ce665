"""Proves that an address with its prefix is read as written, and that what no machine can have is refused."""

import pytest

from serverside.interface_address import AddressError, read_interface_address


@pytest.mark.parametrize("text", ["10.0.0.5/24", "10.0.0.0/31", "10.0.0.5/32", "fd00::5/64", "fe80::1/64"])
def test_good_ones(text: str) -> None:
    assert read_interface_address(text).with_prefixlen == text


BAD = """
10.0.0.5 10.0.0.5/33 10.0.0.0/24 10.0.0.255/24 0.0.0.0/0 127.0.0.1/8 224.0.0.1/24 ::/64 ::1/128 ff02::1/64
fe80::1%eth0/64 eth0 10.0.0.5/24x fd00::5 /24
"""


@pytest.mark.parametrize("text", ["", *BAD.split()])
def test_bad_ones_are_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(AddressError, match=r"is no address|is not the address|has no prefix|whole network"):
        read_interface_address(text)
