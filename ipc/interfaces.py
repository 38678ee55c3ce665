"""The machine's network interfaces: which addresses are on those that are up, and what has changed since the last look.

The one door to psutil's view of them. It is asked, not told: an interface that comes up is seen at the next look. An
interface counts as up when it is switched on and has a carrier (IFF_RUNNING), so a cable that is pulled takes its
addresses away, and one that is put back brings them, although the kernel keeps them all the time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_interface
from socket import if_nametoindex
from typing import Any

import psutil


@dataclass(frozen=True, slots=True)
class Change:
    """Numeric addresses, each with its interface: the same address on another interface is another way."""

    appeared: frozenset[tuple[str, str]]
    vanished: frozenset[tuple[str, str]]

    @property
    def addresses(self) -> frozenset[str]:
        """Give the addresses that have appeared."""
        return frozenset(address for _, address in self.appeared)


class Interfaces:
    """Looks, and remembers what it saw. What is there at the start is no change."""

    def __init__(self, read: Callable[[], frozenset[tuple[str, str]] | None] | None = None) -> None:
        self.read = read or addresses_up
        self.seen = self.read() or frozenset()

    def look(self) -> Change:
        """Look again; give what is different."""
        before = self.seen
        read = self.read()
        if read is not None:
            self.seen = read
        return Change(self.seen - before, before - self.seen)


def addresses_up() -> frozenset[tuple[str, str]] | None:
    """Give (interface, numeric address) of every interface that is up; None when the system does not tell just now."""
    try:
        states, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
    except OSError:
        return None  # an interface went away between two questions; or there is no descriptor left
    return frozenset(
        (name, numeric)
        for name, found in addresses.items()
        if name in states and states[name].isup
        for address in found
        if (numeric := _numeric(address.address)) is not None
    )


def _numeric(text: str) -> str | None:
    """Give an IP address as it is written everywhere else, without the zone of a link; None: it is a hardware's."""
    try:
        return str(ip_address(text.partition("%")[0]))
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Link:
    """An interface that is up: its index, its MAC (empty where it has none, as a tunnel), its addresses as networks."""

    name: str
    index: int
    mac: bytes
    networks: tuple[IPv4Interface | IPv6Interface, ...]

    @property
    def is_ethernet(self) -> bool:
        """It has a MAC: it is neither loopback nor a tunnel."""
        return any(self.mac)


def links_up() -> tuple[Link, ...] | None:
    """Give every interface that is up, by name; None when the system does not tell just now."""
    try:
        states, addresses = psutil.net_if_stats(), psutil.net_if_addrs()
        return tuple(_link(name, addresses.get(name, ())) for name in sorted(states) if states[name].isup)
    except OSError:
        return None


def _link(name: str, addresses: Iterable[Any]) -> Link:
    mac, networks = b"", []
    for each in addresses:
        if each.family == psutil.AF_LINK:
            mac = _mac(each.address)
        else:
            networks.append(_network(each.address.partition("%")[0], each.netmask))
    return Link(name, if_nametoindex(name), mac, tuple(networks))


def _mac(text: str) -> bytes:
    """Give 6 bytes; empty: it is the address of something else than an Ethernet."""
    found = bytes.fromhex(text.replace(":", "")) if ":" in text else b""
    return found if len(found) == 6 else b""


def _network(address: str, netmask: str | None) -> IPv4Interface | IPv6Interface:
    if netmask is None:
        return ip_interface(address)
    return ip_interface(f"{address}/{int(ip_address(netmask)).bit_count()}")
