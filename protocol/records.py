"""The records that lists of the configuration dialogue are made of: a capacity, a data port, a unit.

z_get_dataport_t (Appendix D (11)), big-endian, 28 bytes for either family:
 OFFSET SIZE MEANING
      0    4 ip_type: 4 or 6
      4   16 the address; an IPv4 address in the first four bytes, the other twelve 0
     20    4 portnum
     24    4 max_connections
The C text makes a union of 4 and 16 bytes, so that its compilers agree on 28 bytes for both; a reader that
took 24 - 12 = 16 for IPv4 would lose its place in the list (erratum 7 of docs/protocol/v1.md). Both
versions use this record.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct

from protocol.errors import RemoteProtocolError
from protocol.limits import NAME_BYTES_MAX, PORTS_MAX, U32_MAX, U64_MAX, UUID_BYTES

DATAPORT = Struct(">I16sII")
assert DATAPORT.size == 28


def pack_capacities(sizes_bytes: Sequence[int]) -> bytes:
    """Give the list of Appendix D (9), a uint64_t for each unit."""
    return Struct(f">{len(sizes_bytes)}Q").pack(*sizes_bytes)


def unpack_capacities(data: bytes) -> tuple[int, ...]:
    """Read the list of Appendix D (9)."""
    return Struct(f">{len(data) // 8}Q").unpack(data)


@dataclass(frozen=True, slots=True)
class DataPort:
    """One address and port at which the NSU awaits data connections of this host."""

    address: str
    """Numeric, IPv4 or IPv6."""
    port: int
    connections_max: int
    """How many data connections of this host the port takes at once."""

    def __post_init__(self) -> None:
        ip_address(self.address)
        assert 0 < self.port <= 65535, self
        assert 0 <= self.connections_max <= U32_MAX, self


def pack_ports(ports: Sequence[DataPort]) -> bytes:
    """Give the list of Appendix D (11) as bytes, 28 for each port."""
    assert len(ports) <= PORTS_MAX
    return b"".join(_pack_port(port) for port in ports)


def _pack_port(port: DataPort) -> bytes:
    address = ip_address(port.address)
    return DATAPORT.pack(address.version, address.packed, port.port, port.connections_max)


def unpack_ports(data: bytes) -> tuple[DataPort, ...]:
    """Read the list of Appendix D (11); RemoteProtocolError when a record is not one."""
    return tuple(_unpack_port(*fields) for fields in DATAPORT.iter_unpack(data))


def _unpack_port(ip_type: int, packed: bytes, port: int, connections_max: int) -> DataPort:
    if ip_type not in (4, 6):
        raise RemoteProtocolError(f"A data port has ip_type {ip_type}; 4 and 6 exist.")
    if not 0 < port <= 65535:
        raise RemoteProtocolError(f"A data port has port number {port}; it must be 1 to 65535.")
    address = IPv4Address(packed[:4]) if ip_type == 4 else IPv6Address(packed)
    return DataPort(str(address), port, connections_max)


class UnitFlag(IntFlag):
    """What a unit is and what it can do for this host."""

    READ_ONLY = 1
    ZERO = 2
    """Every block reads as zeros until it is written."""
    FLUSH = 4
    FUA = 8
    TRIM = 16
    WRITE_ZEROES = 32


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """One unit as version 0x02 tells of it; `number` is its `zn_zlun`."""

    number: int
    generation: int
    """Changes whenever the unit is resized, replaced or renumbered; each request names the one it means."""
    blocks: int
    """Capacity in blocks of 512 bytes."""
    flags: UnitFlag
    uuid: bytes
    """16 bytes that never come again, so that a renumbered unit is recognised."""
    name: str
    """At most 64 bytes of UTF-8."""

    def __post_init__(self) -> None:
        assert 0 <= self.number <= U32_MAX, self
        assert 0 <= self.generation <= U32_MAX, self
        assert 0 <= self.blocks <= U64_MAX, self
        assert len(self.uuid) == UUID_BYTES, self
        assert 0 < len(self.name.encode()) <= NAME_BYTES_MAX, self
