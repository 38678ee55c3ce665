"""What nsu.conf says of the machine itself, whatever its roles: frozen, complete, already checked."""

from dataclasses import dataclass
from pathlib import Path

from ipc.confinement import User


@dataclass(frozen=True, slots=True)
class MachineSettings:
    """The `MACHINE` block."""

    name: str
    """The machine's name; without a MACHINE block, its host name."""
    state_dir: Path
    """Folder for state, journals and the control socket."""
    web: tuple[str, int] | None
    """Address and port of the pages, REST and /metrics; None: there are none."""
    web_tls: tuple[Path, Path] | None = None
    """Certificate and key of TLS there; None: without."""
    user: User | None = None
    """Whom processes that move data become; None: they stay who they are."""
    setup: tuple[str, ...] = ()
    """Interfaces on which set-up without IP is heard, or `every`; none: nowhere."""
    addresses: tuple[tuple[str, str], ...] = ()
    """(interface, `10.0.0.5/24`) of the INTERFACE blocks."""
