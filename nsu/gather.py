"""Ask every process of this machine what it knows: the answer of `nsu status --json`, and of whoever needs the same."""

from pathlib import Path
from typing import Any

from ipc.control import ControlError, control_call


def gather(state_dir: Path) -> dict[str, Any]:
    """Give {"supervisor": …, "server": … or None, "host": … or None}.

    Raises:
        ControlError, OSError: no supervisor answers. A role that does not answer (yet) is None.

    """
    supervisor = control_call(state_dir / "supervisor.sock", "status")
    roles = {process["name"] for process in supervisor["processes"]}
    found: dict[str, Any] = {"supervisor": supervisor, "server": None, "host": None}
    for role in roles - {"web"}:  # it asks others, and has nothing to tell of its own
        found[role] = ask_or_none(state_dir / f"{role}.sock")
    if found["host"] is not None:
        for disk in found["host"]["disks"]:
            disk["process"] = ask_or_none(Path(disk["control"])) if disk["pid"] else None
    return found


def ask_or_none(socket_path: Path) -> dict[str, Any] | None:
    """Ask one process; None when it does not answer, for instance while it starts."""
    try:
        return control_call(socket_path, "status")
    except (ControlError, OSError):
        return None
