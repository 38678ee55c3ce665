"""An address with its prefix, as an interface has it: `10.0.0.5/24`. Pure."""

from ipaddress import IPv4Interface, IPv6Interface, ip_interface


class AddressError(Exception):
    """It can't be done; the text is a sentence for people."""


def read_interface_address(text: str) -> IPv4Interface | IPv6Interface:
    """Read `10.0.0.5/24`: an address one machine can have, with its prefix. Raises AddressError."""
    try:
        found = ip_interface(text)
    except ValueError:
        raise AddressError(f"{text} is no address with its prefix, such as 10.0.0.5/24") from None
    address = found.ip
    if "/" not in text or "%" in text:
        raise AddressError(f"{text} has no prefix or has a zone; write it as 10.0.0.5/24")
    if address.is_unspecified or address.is_multicast or address.is_loopback:
        raise AddressError(f"{text} is not the address of one machine on a network")
    is_network = found.version == 4 and found.network.prefixlen < 31 and address == found.network.network_address
    if is_network or (
        found.version == 4 and found.network.prefixlen < 31 and address == found.network.broadcast_address
    ):
        raise AddressError(f"{text} means the whole network; name an address in it")
    return found
