"""The host role in nsu.conf: SERVER and DISK blocks."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.conf import keys
from nsu.conf.errors import Findings
from nsu.conf.reader import BlockReader, check_names
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Block, same_kind
from nsu.conf.values import NAME, Forever
from protocol.limits import HANDSHAKE_TIMEOUT_S

RUN_FOLDER = Path("/run/nsu")
"""Made at start when it is not there; any other folder must exist."""
_SOCKET_PATH_BYTES_MOST = 107
"""unix(7): sun_path has 108 bytes, with a zero at the end."""
DEFAULT_AT: dict[str, Callable[[str], Path]] = {
    "socket": lambda name: RUN_FOLDER / f"{name}.sock",
    "fuse": lambda name: RUN_FOLDER / name / name,
    "loop": lambda name: RUN_FOLDER / name,
    "nbd": lambda name: RUN_FOLDER / name,
}
"""Where a disk is shown when AT does not say it: the socket, the file in its mount, the link to the device."""


def read_host_role(blocks: Sequence[Block], machine: MachineSettings, findings: Findings) -> HostRoleSettings | None:
    """The host role; None when the file has no SERVER."""
    servers = same_kind(blocks, "SERVER")
    if not servers:
        return None
    check_names(servers, NAME, findings)
    _check_disk_names(servers, findings)
    places: dict[Path, str] = {}
    entries = tuple(_read_entry(block, machine, places, findings) for block in servers)
    return HostRoleSettings(machine.name, machine.state_dir, entries)


def _read_entry(block: Block, machine: MachineSettings, places: dict[Path, str], findings: Findings) -> ServerEntry:
    reader = BlockReader(block, findings)
    login = reader.one(keys.LOGIN)
    connections = reader.one_or_default(keys.CONNECTIONS)
    addresses = tuple(given.value for given in reader.many(keys.SERVER_ADDRESS))
    if connections < len(addresses):
        findings.warn(f"{block.label}: {connections} connections cannot use all {len(addresses)} addresses.")
    if not reader.has(keys.SERVER_SECRET_FILE):
        # The running host warns in the same words, so that `nsu status` tells it once.
        findings.warn(
            f"{block.label} has no SECRET_FILE: it speaks version 0x01, which is not protected: anybody on the network"
            " can read and change what travels"
        )
    disk_blocks = same_kind(block.blocks, "DISK")
    if not disk_blocks:
        findings.warn(f"{block.label} has no DISK: this machine gets nothing of it.")
    disks = tuple(_read_disk(disk, place, places, findings) for place, disk in enumerate(disk_blocks))
    _check_numbers(disk_blocks, disks, findings)
    return ServerEntry(
        block.name,
        addresses,
        reader.one_or_default(keys.SERVER_CONFIG_PORT),
        machine.name if login is None else login.value,
        reader.secret(keys.SERVER_SECRET_FILE),
        connections,
        _fail_after_s(reader, block, findings),
        disks,
        reader.one_or_default(keys.PAYLOAD_CRC),
    )


def _check_disk_names(servers: Sequence[Block], findings: Findings) -> None:
    """A disk is known by its name on the whole machine (its process, its control socket, `nsu trace DISK`)."""
    check_names([disk for server in servers for disk in same_kind(server.blocks, "DISK")], NAME, findings)


def _fail_after_s(reader: BlockReader, block: Block, findings: Findings) -> float | None:
    answer = reader.one_or_default(keys.ON_NO_PATH)
    if isinstance(answer, Forever):
        return None
    if answer <= HANDSHAKE_TIMEOUT_S:
        findings.warn(
            f"{block.label}: requests fail after {answer:g} s without a connection, and one handshake alone"
            f" may take {HANDSHAKE_TIMEOUT_S:g} s: a short break becomes an I/O error."
        )
    return answer


def _read_disk(block: Block, place: int, places: dict[Path, str], findings: Findings) -> DiskSettings:
    reader = BlockReader(block, findings)
    show = reader.one_or_default(keys.SHOW)
    number, at = reader.one(keys.NUMBER), reader.one(keys.AT)
    path = DEFAULT_AT[show](block.name) if at is None else at.value
    line = block.line if at is None else at.line
    owner = f"{block.label} (line {block.line})"
    first = places.setdefault(path, owner)
    if first != owner:
        findings.error(line, keys.AT.name, f"{path} is where {first} is shown already", "another path: AT = …")
    if show == "fuse":
        _check_mount(path, owner, places, line, findings)
    elif show == "socket":
        _check_at(path, line, findings)
    return DiskSettings(block.name, place if number is None else number.value, show, path)


def _check_mount(path: Path, owner: str, places: dict[Path, str], line: int, findings: Findings) -> None:
    """A FUSE file's folder is a mount of its own."""
    first = places.setdefault(path.parent, owner)
    if first != owner:
        findings.error(
            line,
            keys.AT.name,
            f"the folder {path.parent} is taken by {first}",
            f"a folder of its own, such as {path.parent / path.name / path.name}",
        )


def _check_at(path: Path, line: int, findings: Findings) -> None:
    name, folder = keys.AT.name, path.parent
    if len(os.fsencode(path)) > _SOCKET_PATH_BYTES_MOST:
        findings.error(
            line,
            name,
            f"{str(path)[:40]}… is too long for a socket",
            f"a path of at most {_SOCKET_PATH_BYTES_MOST} bytes",
        )
    elif os.path.isdir(path):
        findings.error(line, name, f"{path} is a folder", f"the path of a socket in it, such as {path}/disk.sock")
    elif folder != RUN_FOLDER and not os.path.isdir(folder):
        findings.error(
            line,
            name,
            f"there is no folder {folder}",
            f"make it, or use {RUN_FOLDER}, which is made at start",
        )


def _check_numbers(blocks: Sequence[Block], disks: Sequence[DiskSettings], findings: Findings) -> None:
    known: dict[int, Block] = {}
    for block, disk in zip(blocks, disks, strict=True):
        other = known.setdefault(disk.number, block)
        if other is not block:
            findings.error(
                block.line,
                keys.NUMBER.name,
                f"{disk.number} is the number of {other.label} (line {other.line}) already",
                "a NUMBER of its own for each DISK",
            )
