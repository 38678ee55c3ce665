"""What an NSU tells whoever asks: the body of an answer frame.

 SIZE MEANING
   16 instance: the UUID of this NSU, the same by whatever way it is seen
    1 flags: 1 it is set up; the others 0
    4 mask of the protocol versions that it offers to its hosts; 0 while it has none
    2 configuration port
    6 MAC of the interface by which this answer goes
   1+ name of the NSU: its size, then ASCII
    1 how many interfaces follow, each
       1+ its name: its size, then ASCII
        6 its MAC
        1 how many addresses follow, each
            1 flags: 1 it is an IPv6 address; 2 the configuration port is open there; the others 0
         4/16 the address

Rules
  * It tells what a port scan would: no host, no partition, no drive, no version of the software.
  * It is bounded: at most INTERFACES_MAX interfaces and ADDRESSES_MAX addresses. An NSU with more leaves some out,
    those on which its configuration port is open last. Link-local ones of IPv6 are not told at all.
  * What is read comes from a stranger: names are names, sizes are exact, and anything else is no answer (None).
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, Final
from uuid import UUID

from construct import (
    Byte,
    Bytes,
    ConstructError,
    FlagsEnum,
    GreedyBytes,
    IfThenElse,
    Int16ub,
    Int32ub,
    Prefixed,
    PrefixedArray,
    Struct,
    Terminated,
    this,
)

from protocol.discovery.frame import BODY_BYTES_MAX
from protocol.limits import NAME_BYTES_MAX

ANSWER_BYTES_MAX: Final = 1024
"""Also the size of a question's body."""
INTERFACES_MAX: Final = 16
ADDRESSES_MAX: Final = 32
INTERFACE_NAME_BYTES_MAX: Final = 15
"""IFNAMSIZ without its zero."""
MAC_BYTES: Final = 6

_NAME: Final = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]*")
"""As nsu.conf wants names: harmless at a terminal."""
_INTERFACE_NAME: Final = re.compile(rb"[!-.0-~]{1,%d}" % INTERFACE_NAME_BYTES_MAX)

ADDRESS = Struct(
    "flags" / FlagsEnum(Byte, ipv6=1, open=2),
    "packed" / IfThenElse(this.flags.ipv6, Bytes(16), Bytes(4)),
)
INTERFACE = Struct(
    "name" / Prefixed(Byte, GreedyBytes),
    "mac" / Bytes(MAC_BYTES),
    "addresses" / PrefixedArray(Byte, ADDRESS),
)
BODY = Struct(
    "instance" / Bytes(16),
    "flags" / FlagsEnum(Byte, set_up=1),
    "versions" / Int32ub,
    "config_port" / Int16ub,
    "mac" / Bytes(MAC_BYTES),
    "name" / Prefixed(Byte, GreedyBytes),
    "interfaces" / PrefixedArray(Byte, INTERFACE),
    Terminated,
)

assert ANSWER_BYTES_MAX <= BODY_BYTES_MAX
_FIXED_BYTES = 16 + 1 + 4 + 2 + 6 + 1 + NAME_BYTES_MAX + 1
_INTERFACES_BYTES = INTERFACES_MAX * (1 + INTERFACE_NAME_BYTES_MAX + MAC_BYTES + 1)
assert _FIXED_BYTES + _INTERFACES_BYTES + ADDRESSES_MAX * (1 + 16) <= ANSWER_BYTES_MAX


@dataclass(frozen=True, slots=True)
class Address:
    """A numeric address of the NSU; `is_open`: its configuration port is open there."""

    address: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Interface:
    """One of its interfaces. `mac` has 6 bytes."""

    name: str
    mac: bytes
    addresses: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """All that an NSU tells."""

    instance: UUID
    name: str
    mac: bytes
    config_port: int
    versions: int
    is_set_up: bool
    interfaces: tuple[Interface, ...] = ()

    def open_addresses(self) -> Iterator[str]:
        """Give the addresses on which hosts can log in."""
        return (each.address for one in self.interfaces for each in one.addresses if each.is_open)


def encode(answer: Answer) -> bytes:
    """Give the body, at most ANSWER_BYTES_MAX bytes."""
    data: bytes = BODY.build(
        {
            "instance": answer.instance.bytes,
            "flags": {"set_up": answer.is_set_up},
            "versions": answer.versions,
            "config_port": answer.config_port,
            "mac": answer.mac,
            "name": answer.name.encode(),
            "interfaces": [_plain(one) for one in bounded(answer.interfaces)],
        }
    )
    assert len(data) <= ANSWER_BYTES_MAX
    return data


def bounded(interfaces: Iterable[Interface]) -> tuple[Interface, ...]:
    """Leave out what is too much; what a host can use is left out last."""
    ranked = sorted(interfaces, key=lambda one: (-sum(each.is_open for each in one.addresses), one.name))
    left, found = ADDRESSES_MAX, []
    for one in ranked[:INTERFACES_MAX]:
        addresses = tuple(sorted(one.addresses, key=lambda each: not each.is_open)[:left])
        left -= len(addresses)
        found.append(replace(one, addresses=addresses))
    return tuple(sorted(found, key=lambda one: one.name))


def decode(body: bytes) -> Answer | None:
    """Read a body; None: it is none."""
    if len(body) > ANSWER_BYTES_MAX:
        return None
    try:
        read = BODY.parse(body)
    except ConstructError:
        return None
    if not _NAME.fullmatch(read.name) or len(read.name) > NAME_BYTES_MAX or not read.config_port:
        return None
    if not all(_INTERFACE_NAME.fullmatch(one.name) for one in read.interfaces):
        return None
    return Answer(
        UUID(bytes=read.instance),
        read.name.decode(),
        read.mac,
        read.config_port,
        read.versions,
        read.flags.set_up,
        tuple(_interface(one) for one in read.interfaces),
    )


def _plain(interface: Interface) -> dict[str, Any]:
    addresses = [(ip_address(each.address), each.is_open) for each in interface.addresses]
    return {
        "name": interface.name.encode(),
        "mac": interface.mac,
        "addresses": [
            {"flags": {"ipv6": number.version == 6, "open": is_open}, "packed": number.packed}
            for number, is_open in addresses
        ],
    }


def _interface(read: Any) -> Interface:
    addresses = tuple(Address(str(ip_address(each.packed)), each.flags.open) for each in read.addresses)
    return Interface(read.name.decode(), read.mac, addresses)
