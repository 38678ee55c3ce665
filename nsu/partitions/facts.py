"""What the text of nsu.conf does not say, and a verb or a plan has to know: sizes of arrays, uuids, who is logged in.

`NO_FACTS` is a machine of which nothing is known and where nothing runs. `look` asks the running server, if there is
one, and reads STATE; it is the one thing here that is not pure. A server that is there and does not answer is not
"none": what it would say decides whose disk is in use, so nothing is judged without it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from ipc.control import ControlError, NobodyError, control_call
from nsu.partitions.errors import Refused
from protocol.limits import BLOCK_BYTES
from serverside.errors import StateError
from serverside.identity import read_units

UnitName = tuple[str, str]
"""(host, unit); the empty host is nobody."""


def fresh_uuid() -> str:
    """Give a UUID that no partition has."""
    return str(uuid4())


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of this machine now."""

    runs: bool = False
    """A server answers."""
    refused: str = ""
    """Why it does not go by the newest nsu.conf, good as that is."""
    capacities: Mapping[str, int] = field(default_factory=dict)
    """Array -> its blocks, of those that are open."""
    uuids: Mapping[UnitName, tuple[str, str, int]] = field(default_factory=dict)
    """Unit -> (uuid, array, first LBA), of all that STATE remembers."""
    sessions: Mapping[str, int] = field(default_factory=dict)
    """Host -> protocol version of its session, of those that are logged in."""
    written: Mapping[str, int] = field(default_factory=dict)
    """uuid -> from this block on nothing was ever written, of partitions with a zero map."""
    attached: Mapping[str, frozenset[str] | None] = field(default_factory=dict)
    """Host with a session -> names of the units that it says it uses; None: it does not say, so it may use all."""
    new_uuid: Callable[[], str] = fresh_uuid

    def uses(self, host: str, unit: str) -> bool:
        """Whether that host uses that unit now, as far as anybody can tell."""
        if host not in self.sessions:
            return False
        said = self.attached.get(host)
        return said is None or unit in said

    def uuid_of(self, host: str, unit: str, array: str, first_lba: int) -> str | None:
        """Give the uuid by which STATE knows a unit that begins there."""
        uuid, *start = self.uuids.get((host, unit), ("", "", -1))
        return uuid if start == [array, first_lba] else None


NO_FACTS = Facts()


def look(state_dir: Path, *, within_s: float = 5.0) -> Facts:
    """Ask who runs by this STATE. Raises Refused: a server runs, and does not say who uses what."""
    status = _status_of(state_dir / "server.sock", within_s)
    try:
        units = read_units(state_dir)
    except (StateError, OSError):
        units = []  # the server says so itself, at its start
    uuids = {(unit.host, unit.name): (unit.uuid, unit.array, unit.first_lba) for unit in units}
    return facts_of(status, uuids)


def _status_of(control: Path, within_s: float) -> dict[str, Any] | None:
    try:
        return control_call(control, "status", within_s)
    except NobodyError:
        return None
    except ControlError as error:
        sentence = f"who uses what can't be told, for the server does not say: {error}; see: nsu status"
        raise Refused(sentence) from error


def facts_of(status: Mapping[str, Any] | None, uuids: Mapping[UnitName, tuple[str, str, int]]) -> Facts:
    """Take them from the answer of the server's `status`; None: it does not run."""
    if status is None:
        return Facts(uuids=uuids)
    sessions = status["sessions"]
    units = [unit for holder in (*status["hosts"], {"units": status["unassigned"]}) for unit in holder["units"]]
    return Facts(
        runs=True,
        refused=status.get("conf", {}).get("refused", ""),
        capacities={array["name"]: array["capacity_bytes"] // BLOCK_BYTES for array in status["arrays"]},
        uuids=uuids,
        written={unit["uuid"]: unit["written_blocks"] for unit in units if unit["written_blocks"] is not None},
        sessions={session["host"]: session["version"] for session in sessions},
        attached={session["host"]: _names(session.get("attached")) for session in sessions},
    )


def _names(said: list[str] | None) -> frozenset[str] | None:
    return None if said is None else frozenset(said)
