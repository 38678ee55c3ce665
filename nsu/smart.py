"""Health and temperature of drives that are block devices, as smartctl (smartmontools) tells them: its one door.

Asked by whoever looks (`nsu array list`, `nsu status`), in their own process, and never on the way of a block: a
question may take seconds, or hang with the drive. So all drives are asked at once, for ASK_MOST_S, and one that does
not answer is left alone. A drive that sleeps is not woken. Where there is no smartctl, that is said.
"""

import json
import shutil
import stat
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

ASK_MOST_S = 5.0
LOOK_LEAST_S = 0.05
"""For one whose answer may be there although another has taken all the time."""
PROGRAM = "smartctl"
COMMAND = (PROGRAM, "--json", "--nocheck=standby", "--health", "--attributes")
MISSING = "not known: smartctl is not installed (apt-get install smartmontools)"
ATA_COUNTS = {5: "reallocated", 197: "pending", 198: "uncorrectable"}
"""Attributes whose raw value counts sectors -> their word. 0 is the only good one."""

Told = dict[str, Any]


def add_smart(arrays: Iterable[dict[str, Any]]) -> None:
    """Give each drive that is a block device its "smart": words for people."""
    drives = [drive for array in arrays for drive in array["drives"] if is_block_device(Path(drive["name"]))]
    told = ask({drive["name"] for drive in drives})
    for drive in drives:
        drive["smart"] = told[drive["name"]]


def is_block_device(path: Path) -> bool:
    try:
        return stat.S_ISBLK(path.stat().st_mode)
    except OSError:
        return False


def ask(devices: Iterable[str]) -> dict[str, str]:
    """Ask all at once; give the words for each."""
    if shutil.which(PROGRAM) is None:
        return dict.fromkeys(devices, MISSING)
    asked = {}
    for device in devices:
        asked[device] = subprocess.Popen([*COMMAND, device], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    until_s = time.monotonic() + ASK_MOST_S
    return {device: answer_of(process, until_s).replace(f" {device}:", "") for device, process in asked.items()}


def answer_of(process: subprocess.Popen[bytes], until_s: float) -> str:
    """Wait for one answer, until then at most."""
    try:
        out, _ = process.communicate(timeout=max(LOOK_LEAST_S, until_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        with suppress(subprocess.TimeoutExpired):  # one that hangs in the kernel goes when the drive lets it
            process.wait(0.1)
        return f"not known: no answer within {ASK_MOST_S:g} s"
    try:
        return words_of(json.loads(out))
    except (ValueError, LookupError, TypeError, AttributeError):
        return "not known: smartctl did not answer in JSON (7.0 or later does)"


def words_of(told: Told) -> str:
    """Say what smartctl told of one drive."""
    words = list(_words(told))
    if words:
        return ", ".join(words)
    messages = [message["string"] for message in told.get("smartctl", {}).get("messages", ())]
    return f"not known: {messages[0] if messages else 'the drive tells nothing'}"


def _words(told: Told) -> Iterator[str]:
    if (passed := told.get("smart_status", {}).get("passed")) is not None:
        yield "healthy" if passed else "FAILING by its own account"
    if (celsius := told.get("temperature", {}).get("current")) is not None:
        yield f"{celsius} °C"
    if (hours := told.get("power_on_time", {}).get("hours")) is not None:
        yield f"{hours:,} hours"
    for word, count in _counts(told).items():
        if count:
            yield f"{count:,} {word}"


def _counts(told: Told) -> Mapping[str, int]:
    """Give what counts harm, for each of the three kinds of drive."""
    counts = {}
    for attribute in told.get("ata_smart_attributes", {}).get("table", ()):
        if attribute["id"] in ATA_COUNTS:
            counts[f"sectors {ATA_COUNTS[attribute['id']]}"] = attribute["raw"]["value"]
    log = told.get("nvme_smart_health_information_log", {})
    counts["media errors"] = log.get("media_errors", 0)
    counts["% of its life used"] = log.get("percentage_used", 0)
    counts["defects grown"] = told.get("scsi_grown_defect_list", 0)
    return counts
