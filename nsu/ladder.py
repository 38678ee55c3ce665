"""`nsu trace`: one request on its way through Figure 5 (read) or Figure 6 (write), message by message."""

import os
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

from hostside.client import open_disk
from ipc.control import ControlError, control_call

PROBE_EVERY_S = 0.3
"""A disk on which nobody reads is read by ourselves, at its start, so that there is something to follow."""
PROBE_BYTES = 4096


class NotFollowedError(Exception):
    """There was nothing to follow; the text is a sentence for people."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the figures: its number, the columns it goes between, and what it says."""

    number: str
    way: str
    says: str


READ = (
    Message("1H", "HRW > HD", "asks for work; gets the command packet"),
    Message("2H", "HRW", "command packet into network order"),
    Message("3H", "HRW > N", "network command packet written"),
    Message("2S", "SRW", "received (1S) and translated back"),
    Message("3S", "SRW > SD", "command posted to the server driver"),
    Message("4S", "SRW", "response into network order"),
    Message("5S", "SRW > N", "response written"),
    Message("6S", "SRW > N", "data written"),
    Message("4H", "N > HRW", "response received"),
    Message("5H", "HRW", "response into host order"),
    Message("6H", "N > HRW", "data read"),
    Message("7H", "HRW > HD > OS", "operation complete"),
)
WRITE = (
    Message("1H", "HRW > HD", "asks for work; gets the command packet"),
    Message("2H", "HRW", "command packet into network order"),
    Message("3H", "HRW > N", "command packet and data written"),
    Message("2S", "SRW", "received (1S) and translated back"),
    Message("3S", "N > SRW", "data received"),
    Message("4S", "SRW > SD", "command and data to the server driver"),
    Message("5S", "SRW", "response into network order"),
    Message("6S", "SRW > N", "response written"),
    Message("4H", "N > HRW", "response received"),
    Message("6H", "HRW", "response into host order"),
    Message("7H", "HRW > HD > OS", "operation complete"),
)


def follow(state_dir: Path, disk: str, op: str, timeout_s: float) -> dict[str, Any]:
    """Wait for the next `op` on `disk` and give its stamps.

    Raises:
        NotFollowedError: there is no such disk, it is not shown, or no such request came.
        ControlError: the host role, or the disk's process, does not answer.

    """
    disks = control_call(state_dir / "host.sock", "disks")["disks"]
    known = {entry["name"]: entry for entry in disks}
    if disk not in known:
        raise NotFollowedError(f"there is no disk {disk}; this machine has: {', '.join(known) or 'none'}")
    if not known[disk]["shown"]:
        raise NotFollowedError(f"disk {disk} is not shown yet: {known[disk]['trouble'] or 'waiting for the server'}")
    check_paths(state_dir, known[disk]["server"])
    followed = Event()
    if op == "read":
        Thread(target=probe, args=(Path(known[disk]["at"]), followed), daemon=True).start()
    try:
        return control_call(Path(known[disk]["control"]), "trace", timeout_s, op=op)
    except ControlError as error:
        if isinstance(error.__context__, TimeoutError):  # the disk's process is there: it had nothing to tell
            raise NotFollowedError(f"no {op} of disk {disk} was done within {timeout_s:g} s") from error
        raise
    finally:
        followed.set()


def check_paths(state_dir: Path, name: str) -> None:
    """Raise NotFollowedError when no path to the disk's server is up: nothing can pass."""
    for server in control_call(state_dir / "host.sock", "status")["servers"]:
        if server["name"] == name and not server["paths_up"]:
            why = f": {server['trouble']}" if server["trouble"] else ""
            raise NotFollowedError(f"no path to {name} is up now, so there is nothing to follow{why}")


def probe(at: Path, followed: Event) -> None:
    """Read a little now and then until something was followed; an idle disk has nothing to show otherwise."""
    try:
        with open_disk(at=at) as disk:
            while not followed.wait(PROBE_EVERY_S):
                disk.pread(min(PROBE_BYTES, disk.size_bytes), 0)
    except OSError:
        pass  # the disk is gone: whoever waits for the trace is told so


def ladder(found: dict[str, Any]) -> str:
    """Draw the figure as text of at most 80 columns; only what was measured has a time."""
    read = found["op"] == "read"
    figure = "Figure 5, read" if read else "Figure 6, write"
    lines = [
        f"{figure}: {found['length_bytes']} bytes at byte {found['offset_bytes']}, path {found['path']}",
        *([f"It failed: {os.strerror(found['status'])}."] if found["status"] else []),
        f"{'µs':>9}  {'':4}{'way':<15}message",
    ]
    stamps = found["stamps"]
    start_ns = stamps.get("1H")
    for message in READ if read else WRITE:
        stamp = stamps.get(message.number)
        time = time_of(message.number, stamp, start_ns)
        lines.append(f"{time:>9}  {message.number:<4}{message.way:<15}{message.says}")
    lines.append("Host times count from 1H; server times (+) from 1S, by the server's own clock.")
    if not any(number.endswith("S") for number in stamps):
        lines.append("This server speaks version 0x01, which has no place for its times.")
    return "\n".join(lines)


def time_of(number: str, stamp_ns: int | None, start_ns: int | None) -> str:
    if stamp_ns is None:
        return "·"
    if number.endswith("S"):
        return f"+{stamp_ns / 1000:.1f}"
    return f"{(stamp_ns - (start_ns or stamp_ns)) / 1000:.1f}"
