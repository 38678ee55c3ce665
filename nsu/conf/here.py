"""Can a good nsu.conf be run on this machine, now, by this user? What `nsu check` and the start ask beside the file.

`load.py` judges the file alone, so that a running server takes a good file whatever the moment. Here the surroundings
are judged: folders, drives, sockets, ports, addresses. Nothing is changed, made or opened.

An obstacle is certain to stop a role or a disk, and is an error of `nsu check`; a doubt is a warning. The answers hold
for the user who asks: ask as the one who runs it.
"""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nsu.conf import keys
from nsu.conf.errors import ConfError, Findings
from nsu.conf.host_role import RUN_FOLDER, owner_numbers
from nsu.conf.machine_facts import addresses_here, may_bind, may_give, user_words
from nsu.conf.reader import default_of
from nsu.conf.syntax import Block, Document, Entry, same_kind
from serverside.settings import DriveSettings

_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})
_DEVICES = Path("/dev")


@dataclass(frozen=True, slots=True)
class Here:
    """What stands in the way of a good file."""

    obstacles: tuple[ConfError, ...]
    warnings: tuple[str, ...]


def look_here(text: str, path: Path, *, own_addresses: Callable[[], frozenset[str]] = addresses_here) -> Here:
    """Look at what the file names. `text` is good: it was loaded before."""
    looker = _Looker(path, own_addresses())
    looker.look(Document(text).blocks)
    return Here(looker.findings.errors, looker.findings.warnings)


class _Looker:
    """Goes through the blocks, and notes what it finds."""

    def __init__(self, path: Path, own_addresses: frozenset[str]) -> None:
        self.findings = Findings(path)
        self._own_addresses = own_addresses

    def look(self, blocks: tuple[Block, ...]) -> None:
        self._state(same_kind(blocks, "MACHINE"))
        for array in same_kind(blocks, "ARRAY"):
            for key in (keys.DRIVE, keys.SPARE):
                for entry in _entries(array, key.name):
                    self._drive(entry, key.type.read(entry.value))
        if same_kind(blocks, "HOST") or same_kind(blocks, "ARRAY"):
            self._ports(blocks)
        for server in same_kind(blocks, "SERVER"):
            for disk in same_kind(server.blocks, "DISK"):
                self._disk(disk)

    def _refuse(self, line: int, key: str, wrong: str, right: str) -> None:
        self.findings.error(line, key, wrong, right)

    # -- STATE -----------------------------------------------------------------------------------------------------

    def _state(self, machines: tuple[Block, ...]) -> None:
        given = next((entry for block in machines for entry in _entries(block, keys.STATE.name)), None)
        folder = default_of(keys.STATE) if given is None else keys.STATE.type.read(given.value)
        line = given.line if given else 0
        if folder.exists() and not folder.is_dir():
            self._refuse(line, keys.STATE.name, f"{folder} is no folder", "the path of a folder")
        elif not _may_make_in(folder):
            right = "a folder that this user may make and write: STATE = … in MACHINE; or run as root"
            self._refuse(line, keys.STATE.name, f"{user_words()} may not write {folder}", right)

    # -- drives ----------------------------------------------------------------------------------------------------

    def _drive(self, entry: Entry, drive: DriveSettings) -> None:
        try:
            status = drive.path.stat()
        except FileNotFoundError:
            self._absent_drive(entry, drive)
            return
        except OSError as error:
            wrong = f"{user_words()} cannot look at {drive.path} ({error.strerror})"
            self._refuse(entry.line, entry.key, wrong, "run as root, or name another path")
            return
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISBLK(status.st_mode)):
            what = "a folder" if stat.S_ISDIR(status.st_mode) else "neither a file nor a block device"
            right = f"{drive.path}/drive1.img(20GiB), for example" if what == "a folder" else "name one of these"
            self._refuse(entry.line, entry.key, f"{drive.path} is {what}", right)
        elif not os.access(drive.path, os.R_OK | os.W_OK):
            right = f"run as root, or chown {user_words()} {drive.path}"
            self._refuse(entry.line, entry.key, f"{user_words()} may not read and write {drive.path}", right)
        elif stat.S_ISREG(status.st_mode):
            self._file_size(entry, drive, status.st_size)

    def _absent_drive(self, entry: Entry, drive: DriveSettings) -> None:
        path, folder = drive.path, drive.path.parent
        if drive.size_bytes is None:
            right = f"give its size to have it made, as in {path}(20GiB)"
            if _DEVICES in path.parents:
                right = "`lsblk` lists those that are there"
            self._refuse(entry.line, entry.key, f"{path} is not there", right)
        elif not folder.is_dir():
            self._refuse(entry.line, entry.key, f"there is no folder {folder}", f"make it: mkdir -p {folder}")
        elif not os.access(folder, os.W_OK | os.X_OK):
            wrong = f"{user_words()} may not make {path}"
            self._refuse(entry.line, entry.key, wrong, f"run as root, or chown {user_words()} {folder}")

    def _file_size(self, entry: Entry, drive: DriveSettings, size_bytes: int) -> None:
        asked_bytes = drive.size_bytes
        if asked_bytes is None:
            if not size_bytes:
                right = f"give it a size: truncate -s 20GiB {drive.path}"
                self._refuse(entry.line, entry.key, f"{drive.path} is empty", right)
        elif size_bytes < asked_bytes:
            wrong = f"{drive.path} has {size_bytes} bytes, less than the {asked_bytes} asked for"
            self._refuse(entry.line, entry.key, wrong, f"grow it: truncate -s {asked_bytes} {drive.path}")
        elif size_bytes > asked_bytes:
            self.findings.warn(
                f"DRIVE = {entry.value}: the file has {size_bytes} bytes; only its first {asked_bytes} are used."
            )

    # -- ports and addresses -----------------------------------------------------------------------------------------

    def _ports(self, blocks: tuple[Block, ...]) -> None:
        for nsu in same_kind(blocks, "NSU"):
            for entry in _entries(nsu, keys.NSU_CONFIG_PORT.name):
                self._port(entry, keys.NSU_CONFIG_PORT.type.read(entry.value))
            for entry in _entries(nsu, keys.LISTEN.name):
                self._address(entry, keys.LISTEN.type.read(entry.value))
        for host in same_kind(blocks, "HOST"):
            for entry in _entries(host, keys.DATA_PORT.name):
                port = keys.DATA_PORT.type.read(entry.value)
                self._port(entry, port.port)
                self._address(entry, port.address)

    def _port(self, entry: Entry, port: int) -> None:
        if not may_bind(port):
            right = "a port of 1024 or more, or run as root or with CAP_NET_BIND_SERVICE"
            self._refuse(entry.line, entry.key, f"{user_words()} may not open port {port}", right)

    def _address(self, entry: Entry, address: str) -> None:
        if address in self._own_addresses or address in _EVERY_ADDRESS or address.startswith("127."):
            return
        self.findings.warn(
            f"{entry.key} = {entry.value}: no network interface of this machine has the address {address} now;"
            " nobody can connect to it until one has."
        )

    # -- disks -------------------------------------------------------------------------------------------------------

    def _disk(self, block: Block) -> None:
        shows = [entry.value for entry in _entries(block, keys.SHOW.name)]
        if shows not in ([], ["socket"]):
            return  # what a device or a mount needs, its own front-end says
        given = next(_entries(block, keys.AT.name), None)
        at = RUN_FOLDER / f"{block.name}.sock" if given is None else keys.AT.type.read(given.value)
        line = block.line if given is None else given.line
        if at.exists() and not at.is_socket():
            wrong = f"{at} is there and is no socket; it is left alone"
            self._refuse(line, keys.AT.name, wrong, "remove it, or name another path")
        elif not _may_make_in(at.parent):
            right = f"AT = … in a folder that may be written, or run as root, or chown {user_words()} {at.parent}"
            self._refuse(line, keys.AT.name, f"{user_words()} may not make a socket in {at.parent}", right)
        for entry in _entries(block, keys.OWNER.name):
            if not may_give(*owner_numbers(keys.OWNER.type.read(entry.value))):
                right = "a group this user is in, as in :GROUP, or run as root or with CAP_CHOWN"
                self._refuse(entry.line, entry.key, f"{user_words()} may not give a socket to {entry.value}", right)


def _entries(block: Block, key: str) -> Iterator[Entry]:
    return (entry for entry in block.entries if entry.key == key)


def _may_make_in(folder: Path) -> bool:
    """May we write in it or, while it is not there, in what it will be made in?"""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
