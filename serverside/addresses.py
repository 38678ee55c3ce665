"""Addresses put on interfaces and taken away: the one door to pyroute2. Needs CAP_NET_ADMIN.

What is set here is gone when the machine starts again: `nsu run` sets what INTERFACE blocks say.
"""

import os
from errno import EADDRNOTAVAIL, EEXIST

from pyroute2 import IPRoute, NetlinkError

from serverside.interface_address import AddressError, read_interface_address


def add_address(interface: str, address: str) -> bool:
    """Switch the interface on and give it `10.0.0.5/24`; whether it had it not before. Raises AddressError."""
    found = read_interface_address(address)
    try:
        with IPRoute() as route:
            index = _index_of(route, interface)
            route.link("set", index=index, state="up")
            route.addr("add", index=index, address=str(found.ip), prefixlen=found.network.prefixlen)
    except NetlinkError as error:
        if error.code == EEXIST:
            return False
        raise AddressError(f"{interface} can't get {address}: {os.strerror(error.code)}") from error
    return True


def remove_address(interface: str, address: str) -> None:
    """Take it away; harmless when it is not there. Raises AddressError."""
    found = read_interface_address(address)
    try:
        with IPRoute() as route:
            index = _index_of(route, interface)
            route.addr("del", index=index, address=str(found.ip), prefixlen=found.network.prefixlen)
    except NetlinkError as error:
        if error.code != EADDRNOTAVAIL:
            raise AddressError(f"{interface} keeps {address}: {os.strerror(error.code)}") from error


def switch_on(interface: str) -> None:
    """Switch the interface on. Raises AddressError."""
    try:
        with IPRoute() as route:
            route.link("set", index=_index_of(route, interface), state="up")
    except NetlinkError as error:
        raise AddressError(f"{interface} can't be switched on: {os.strerror(error.code)}") from error


def _index_of(route: IPRoute, interface: str) -> int:
    found = route.link_lookup(ifname=interface)
    if not found:
        raise AddressError(f"there is no interface {interface}")
    return int(found[0])
