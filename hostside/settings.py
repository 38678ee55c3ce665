"""What the host role is told: frozen, complete, already checked. `nsu/conf` makes these from nsu.conf."""

from dataclasses import dataclass, field
from pathlib import Path

from ipc.confinement import User
from ipc.tls import TlsFiles


@dataclass(frozen=True, slots=True)
class DiskSettings:
    """One `DISK` block: a partition and how the host's users see it."""

    name: str
    """The partition's name (0x02), and the disk's own."""
    number: int
    """`zn_zlun` for 0x01, which has no names: NUMBER, or the order of the DISK blocks."""
    show: str
    """socket, nbd, fuse or loop."""
    at: Path
    """The Unix socket, the file, or a link to the device."""
    mode: int = 0o600
    """MODE: permission bits of the socket or the file."""
    owner: tuple[int, int] = (-1, -1)
    """OWNER: its (uid, gid), as chown(2) takes them; -1 is the process's own."""


@dataclass(frozen=True, slots=True)
class ServerEntry:
    """One `SERVER` block: an NSU this host uses."""

    name: str
    addresses: tuple[str, ...]
    """One for each network by which its configuration port can be reached."""
    config_port: int
    login: str
    secret: bytes | None = field(repr=False)
    """32 bytes: speak 0x02 and nothing less. None: 0x01."""
    connections: int
    """Paths to keep open, over all networks."""
    fail_after_s: float | None
    """ON_NO_PATH: None queues for ever; a number of seconds fails requests after that long without a path."""
    disks: tuple[DiskSettings, ...]
    payload_crc: bool = False
    """0x02: every payload travels with its CRC32C."""
    extra_connections: int = 0
    """CONNECTIONS_MAX: so many more paths may be opened while that helps."""
    tls: TlsFiles | None = None
    """TLS = required: speak by TLS and nothing else. None: in clear."""


@dataclass(frozen=True, slots=True)
class HostRoleSettings:
    """The host role of one machine."""

    machine: str
    state_dir: Path
    servers: tuple[ServerEntry, ...]
    user: User | None = None
    """Whom agents run as; None: whoever we are."""
