"""The host role in nsu.conf: SERVER and DISK blocks."""

import grp
import os
import pwd
from collections.abc import Callable, Sequence
from pathlib import Path

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.conf import keys
from nsu.conf.errors import Findings
from nsu.conf.reader import BlockReader, check_names
from nsu.conf.settings import MachineSettings
from nsu.conf.syntax import Block, same_kind
from nsu.conf.tls import read_server_tls
from nsu.conf.values import CONNECTIONS_MOST, NAME, Forever, Owner, ValueWrong
from protocol.limits import HANDSHAKE_TIMEOUT_S

RUN_FOLDER = Path("/run/nsu")
"""Made at start when it is not there; any other folder must exist."""
_SOCKET_PATH_BYTES_MOST = 107
"""unix(7): sun_path has 108 bytes, with a zero at the end."""
_USE_BITS = {"socket": 0o222, "fuse": 0o666}
"""SHOW -> the permission bits that let somebody use the disk. Who may write a socket may connect to it (unix(7))."""
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
    return HostRoleSettings(machine.name, machine.state_dir, entries, machine.user)


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
        _extra_connections(reader, connections, findings),
        read_server_tls(block, reader, findings),
    )


def _extra_connections(reader: BlockReader, connections: int, findings: Findings) -> int:
    given = reader.one(keys.CONNECTIONS_MAX)
    if given is None:
        return min(connections, CONNECTIONS_MOST - connections)
    if given.value < connections:
        findings.error(
            given.line,
            keys.CONNECTIONS_MAX.name,
            f"{given.value} is less than CONNECTIONS, of which there are always {connections}",
            f"{connections} for as many and no more, or a larger number",
        )
    return given.value - connections


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
    mode = reader.one_or_default(keys.MODE)
    _check_access(block, show, mode, findings)
    given_number = place if number is None else number.value
    return DiskSettings(block.name, given_number, show, path, mode, _read_owner(reader, findings))


def owner_numbers(owner: Owner) -> tuple[int, int]:
    """(uid, gid) of an OWNER as chown(2) takes them: -1 for what it does not say.

    Raises:
        ValueWrong: there is no such user, or no such group.

    """
    uid = _look_up("user", owner.user, lambda name: pwd.getpwnam(name).pw_uid, "passwd")
    gid = _look_up("group", owner.group, lambda name: grp.getgrnam(name).gr_gid, "group")
    return uid, gid


def _look_up(what: str, name: str, find: Callable[[str], int], database: str) -> int:
    """A name or, when nobody has that name, a number: as chown(1) does it."""
    if not name:
        return -1
    try:
        return find(name)
    except KeyError:
        if name.isdecimal():
            return int(name)
    raise ValueWrong(f"there is no {what} {name}", f"one that `getent {database}` lists, or a number")


def _read_owner(reader: BlockReader, findings: Findings) -> tuple[int, int]:
    given = reader.one(keys.OWNER)
    if given is None:
        return -1, -1
    try:
        return owner_numbers(given.value)
    except ValueWrong as error:
        findings.error(given.line, keys.OWNER.name, error.wrong, error.right)
        return -1, -1


def _check_access(block: Block, show: str, mode: int, findings: Findings) -> None:
    given = [entry for entry in block.entries if entry.key in (keys.OWNER.name, keys.MODE.name)]
    if show not in _USE_BITS:
        for entry in given:
            wrong = f"with SHOW = {show} the disk is a device, and whose it is, udev's rules say"
            findings.error(entry.line, entry.key, wrong, "leave it out, or SHOW = socket or fuse")
    elif mode & _USE_BITS[show] & 0o007:
        findings.warn(f"{block.label}: with MODE = {mode:04o} every user of this machine may use the disk.")


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
