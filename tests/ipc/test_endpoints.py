"""Proves that an address and its port can be told apart by whoever reads them."""

from ipc.endpoints import endpoint


def test_an_ipv6_address_stands_in_brackets() -> None:
    assert endpoint("10.1.1.1", 10002) == "10.1.1.1:10002"
    assert endpoint("fd00::1", 10002) == "[fd00::1]:10002"
