"""`nsu array`: what the server process tells and is told of its arrays, in words."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ipc.control import control_call
from ipc.sizes import size
from serverside.arrays.open import LAYOUTS, open_array
from serverside.drives.health import DriveHealth
from serverside.drives.open import open_drive
from serverside.errors import SettingsError
from serverside.settings import ServerSettings

COUNTERS = {
    "repaired": "blocks repaired",
    "reconstructed": "reads reconstructed",
    "mismatches": "groups that did not agree at the last scrub",
    "scrubs": "scrubs finished",
    "replayed": "changes mended at the start",
}
"""Counter of an array -> its name for people."""


def arrays_of(state_dir: Path) -> list[dict[str, Any]]:
    """Give the arrays as `nsu status --json` has them. Raises ControlError: no server answers."""
    arrays: list[dict[str, Any]] = control_call(state_dir / "server.sock", "status")["arrays"]
    return arrays


def begin_scrub(state_dir: Path, array: str) -> None:
    """Order a scrub. Raises ControlError with the reason when it can't be."""
    control_call(state_dir / "server.sock", "scrub", array=array)


def replace(state_dir: Path, array: str, old: str, new: Path | None, *, force: bool) -> dict[str, Any]:
    """Order a replacement; the answer has "array", "place" and "new". Raises ControlError with the reason."""
    arguments: dict[str, Any] = {} if new is None else {"new": str(new.absolute())}
    return control_call(state_dir / "server.sock", "replace", array=array, old=old, force=force, **arguments)


def create(server: ServerSettings | None, name: str, *, force: bool) -> str:
    """Make an array anew; give what was done in words.

    Raises:
        SettingsError: there is no such array, or it can't be made so.
        DriveError: a drive can't be opened: perhaps the NSU runs.

    """
    settings = next((array for array in server.arrays if array.name == name), None) if server else None
    if settings is None or settings.level not in LAYOUTS:
        raise SettingsError(f"there is no ARRAY {name} of level {' or '.join(LAYOUTS)} in nsu.conf")
    wanted = (*settings.drives, *settings.spares)
    health = DriveHealth(len(wanted))
    with ExitStack() as closing:
        drives = []
        for index, each in enumerate(wanted):
            drives.append(open_drive(each, health, index))
            closing.callback(drives[-1].close)
        array = open_array(settings, drives, force=force)
    return f"array {name} is there: {settings.level}, {size(array.capacity_bytes)}, {len(settings.drives)} drives"


def array_lines(arrays: list[dict[str, Any]]) -> Iterator[str]:
    """Tell of arrays, a line for each, for each of its drives, and for what is going on."""
    for array in arrays:
        yield f"{array['name']}  {array['level']}  {size(array['capacity_bytes'])}"
        for drive in array["drives"]:
            yield f"  {drive_line(drive)}"
        redundancy = array.get("redundancy")
        if redundancy is not None:
            if redundancy["stopped"]:
                yield "  STOPPED: more drives are lost than the level survives"
            if redundancy["scrubbed_percent"] is not None:
                yield f"  scrub: {redundancy['scrubbed_percent']} % are compared"
            yield "  " + ", ".join(f"{words}: {redundancy[key]}" for key, words in COUNTERS.items())


def drive_line(drive: dict[str, Any]) -> str:
    """Tell of one drive."""
    place = f"place {drive['place']}: " if "place" in drive else ""
    words = f"{place}{drive['name']}  {size(drive['size_bytes'])}  {drive['state']}"
    if drive.get("rebuilt_percent") is not None:
        words += f" {drive['rebuilt_percent']} %"
    if drive.get("repaired_blocks"):
        words += f", {drive['repaired_blocks']} blocks repaired"
    if drive.get("operations"):
        words += f", {drive['mean_us'] / 1000:.1f} ms an operation, {drive['slowest_us'] / 1000:.0f} ms the slowest"
    if drive.get("slow_s"):
        words += f", slow for {drive['slow_s']} s now"
    if drive.get("why_out"):
        words += f": {drive['why_out']}"
    return f"{words}; SMART: {drive['smart']}" if drive.get("smart") else words


def replaced_words(answer: dict[str, Any], conf_path: Path) -> str:
    """Say what was begun, and what is left to do."""
    words = f"place {answer['place']} of array {answer['array']} is put out"
    if answer["new"] is None:
        return f"{words}; a spare takes it, if there is one. See: nsu array list"
    return (
        f"{words} and rebuilt on {answer['new']}. See: nsu array list. Write DRIVE = {answer['new']} in place of the"
        f" old drive in {conf_path} before the next start."
    )
