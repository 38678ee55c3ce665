"""`nsu attach` and `nsu detach`: from nsu.conf and the options to the host process, and its answers in words."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from hostside.attachment import ATTACH_MOST_S, FORCED_MOST_S, LEAVE_MOST_S
from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from ipc.control import control_call
from ipc.sizes import size
from nsu.conf.host_role import DEFAULT_AT

ANSWER_S = 1.0
"""What the way to the host process and back may add to its own bound."""

assert FORCED_MOST_S + ANSWER_S <= 10.0, "`nsu detach --force` has come back within 10 s"


class NotAttachedError(Exception):
    """It can't be attached so; the text is a sentence for people."""


def wanted_disk(
    host: HostRoleSettings, name: str, *, server: str | None, show: str | None, at: Path | None
) -> tuple[ServerEntry, DiskSettings]:
    """Give what is to be attached: the DISK block of this name, changed by the options, or a disk made of them alone.

    Raises:
        NotAttachedError: no SERVER has it, or it can't be told which is meant.

    """
    found = [(entry, disk) for entry in host.servers for disk in entry.disks if disk.name == name]
    entry, disk = found[0] if found else (the_server(host, name, server), None)
    if server is not None and entry.name != server:
        raise NotAttachedError(f"{name} is a DISK of SERVER {entry.name}, not of {server}")
    if disk is None:
        if entry.secret is None:
            raise NotAttachedError(
                f"SERVER {entry.name} speaks version 0x01, which has no names: give it a DISK {name} with its NUMBER"
            )
        disk = DiskSettings(name, 0, show or "socket", at or DEFAULT_AT[show or "socket"](name))
    if show is not None and show != disk.show:
        # What AT and MODE say is meant for the other way to show it.
        disk = DiskSettings(name, disk.number, show, DEFAULT_AT[show](name))
    return entry, disk if at is None else replace(disk, at=at)


def the_server(host: HostRoleSettings, name: str, server: str | None) -> ServerEntry:
    entries = [entry for entry in host.servers if server in (None, entry.name)]
    if len(entries) == 1:
        return entries[0]
    known = ", ".join(entry.name for entry in host.servers)
    if not entries:
        raise NotAttachedError(f"there is no SERVER {server}; there are: {known}")
    raise NotAttachedError(f"no DISK {name} in nsu.conf; which SERVER has it? --server is one of: {known}")


def attach(state_dir: Path, entry: ServerEntry, disk: DiskSettings) -> dict[str, Any]:
    """Attach, and give the disk as `nsu status --json` has it, with "seconds" until it could be used.

    Raises:
        ControlError: it could not be attached; says why.

    """
    control = state_dir / "host.sock"
    told = {**asdict(disk), "at": str(disk.at)}
    answer = control_call(control, "attach", timeout_s=ATTACH_MOST_S + ANSWER_S, server=entry.name, disk=told)
    shown = next(each for each in control_call(control, "disks")["disks"] if each["name"] == disk.name)
    return {**shown, "process": control_call(shown["control"], "status"), "seconds": answer["seconds"]}


def detach(state_dir: Path, name: str, *, force: bool) -> dict[str, Any]:
    """Detach; the answer has "users", from whom it was taken, "killed" and "seconds".

    Raises:
        ControlError: it stays attached; says why.

    """
    timeout_s = (FORCED_MOST_S if force else LEAVE_MOST_S) + ANSWER_S
    return control_call(state_dir / "host.sock", "detach", timeout_s=timeout_s, name=name, force=force)


def attached_words(shown: dict[str, Any]) -> str:
    """Say where the disk is."""
    device = shown["process"]["device"]
    where = f"{device}, by the link {shown['at']}" if device else shown["uri"] or shown["at"]
    access = "read-only" if shown["read_only"] else "read-write"
    return (
        f"{shown['name']} is attached: {where}, {size(shown['size_bytes'])}, {access}, after {shown['seconds']:.2f} s"
    )


def detached_words(name: str, answer: dict[str, Any], *, is_named: bool) -> str:
    """Say what has become of the disk and its users. `is_named`: nsu.conf has it."""
    words = f"{name} is detached, after {answer['seconds']:.2f} s."
    if answer["killed"]:
        words += " Its process did not end by itself and was killed."
    if answer["users"]:
        words += (
            f" It was taken from: {'; '.join(answer['users'])}. What they do with it fails; unmount what is mounted."
        )
    if is_named:
        words += " nsu.conf names it: the next start attaches it again."
    return words
