"""What the server role is told: frozen, complete, already checked.

`nsu/conf` makes these from nsu.conf; nothing below `nsu/` ever sees the file. A changed file is a new
`ServerSettings`, and the server compares the two (design: only the hosts whose units changed are disturbed).
"""

from dataclasses import dataclass, field
from pathlib import Path

from ipc.confinement import User
from ipc.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class DriveSettings:
    """One disk of an NSU: a file or a block device."""

    path: Path
    size_bytes: int | None = None
    """Size of a file that is made, sparse, when it is not there; None: the file or device must exist."""


@dataclass(frozen=True, slots=True)
class ArraySettings:
    """Drives joined: the patent's "unit" of the controller."""

    name: str
    level: str
    """jbod, raid0, raid10 or raid5."""
    drives: tuple[DriveSettings, ...]
    spares: tuple[DriveSettings, ...] = ()
    stripe_bytes: int = 65536


@dataclass(frozen=True, slots=True)
class PartitionSettings:
    """An LBA range of an array as one host gets it: `UNIT` with its `LBA`, `ACCESS` and `ZERO`."""

    name: str
    array: str
    first_lba: int
    last_lba: int
    """Inclusive, in blocks of 512 bytes: `unit1(0,1000)` is 1001 blocks."""
    read_only: bool = False
    zero: bool = False
    """ZERO = yes: every block reads as zeros until it is written."""
    uuid: str = ""
    """UUID: which partition this is, whoever has it and whatever it is called; empty: not said."""

    @property
    def blocks(self) -> int:
        """Capacity in blocks of 512 bytes."""
        return self.last_lba - self.first_lba + 1


@dataclass(frozen=True, slots=True)
class DataPortSettings:
    """`DATA_PORT = 10.1.1.1:10002(10)`: where a host's data sockets are awaited, and how many at most."""

    address: str
    port: int
    connections_max: int


@dataclass(frozen=True, slots=True)
class HostSettings:
    """One `HOST` block. `zn_zlun` counts `units` from 0, in the order of the file."""

    name: str
    addresses: tuple[str, ...]
    """Numeric source addresses by which a version 0x01 host is known; may be empty for 0x02."""
    secret: bytes | None = field(repr=False)
    """32 bytes: this host speaks 0x02 only. None: it speaks 0x01 only, and is not protected."""
    data_ports: tuple[DataPortSettings, ...]
    units: tuple[PartitionSettings, ...]
    tls: str = "allowed"
    """required, allowed or no."""
    secret_next: bytes | None = field(default=None, repr=False)
    """32 bytes that hold too, and are to follow `secret`: a rotation is open. None: none is."""
    rotation_since_s: float = 0.0
    """When it began, in seconds since 1970."""

    @property
    def secrets(self) -> tuple[bytes, ...]:
        """All that hold now."""
        return tuple(secret for secret in (self.secret, self.secret_next) if secret is not None)


@dataclass(frozen=True, slots=True)
class DiscoverySettings:
    """How this NSU can be found by whoever does not know its address."""

    interfaces: tuple[str, ...] = ()
    """On these only; empty: on every one."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The server role of one machine."""

    name: str
    state_dir: Path
    config_port: int
    listen: tuple[str, ...]
    """Addresses on which the configuration port is open."""
    privileged_port: bool
    """Appendix D, step 1: refuse configuration sockets that come from a port of 1024 or more."""
    arrays: tuple[ArraySettings, ...]
    hosts: tuple[HostSettings, ...]
    unassigned: tuple[PartitionSettings, ...] = ()
    """Partitions that no host has: their blocks, and what is on them, are kept."""
    user: User | None = field(default=None, repr=False, compare=False)
    """Whom SRWs and driver processes become; None: nobody else. That of the start counts: it is no part of a change."""
    tls: TlsFiles | None = None
    """What it proves itself with; None: it speaks in clear only."""
    discovery: DiscoverySettings | None = None
    """None: it answers nobody who looks for it."""

    @property
    def holders(self) -> tuple[HostSettings, ...]:
        """Whoever has partitions: the hosts and, under the empty name that no host can have, nobody."""
        nobody = HostSettings("", (), None, (), self.unassigned)
        return (*self.hosts, nobody) if self.unassigned else self.hosts
