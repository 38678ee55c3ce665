"""nsu.conf from a few parameters."""

import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ipc.endpoints import endpoint


@dataclass
class Unit:
    """One UNIT of a HOST."""

    name: str
    array: str
    first_lba: int
    last_lba: int
    access: str = "read-write"
    zero: bool = False


@dataclass
class Host:
    """One HOST block; `secret_file` None: version 0x01 by `addresses`."""

    name: str
    units: list[Unit]
    data_ports: list[tuple[str, int, int]]
    addresses: Sequence[str] = ()
    secret_file: Path | None = None
    lines: list[str] = field(default_factory=list)
    """Further lines, as they stand."""


@dataclass
class Nsu:
    """The server role: arrays are name -> (level, [(path, size)])."""

    name: str
    config_port: int
    arrays: dict[str, tuple[str, list[tuple[Path, str]]]]
    hosts: list[Host]
    listen: Sequence[str] = ("127.0.0.1",)
    privileged_port: bool = False
    stripe: str = "64KiB"
    lines: list[str] = field(default_factory=list)
    """Further lines, as they stand."""


@dataclass
class Disk:
    """One DISK of a SERVER."""

    name: str
    at: Path
    number: int | None = None
    show: str = "socket"


@dataclass
class Server:
    """One SERVER block of the host role."""

    name: str
    addresses: Sequence[str]
    config_port: int
    disks: list[Disk]
    login: str = "host1"
    secret_file: Path | None = None
    connections: int = 4
    lines: list[str] = field(default_factory=list)
    """Further lines, as they stand."""


def conf_text(
    machine: str, state: Path, *blocks: Nsu | Server, web_port: int | None = None, user: str | None = None
) -> str:
    """Write the file."""
    text = f"MACHINE {machine}\n  STATE = {state}\n"
    text += "" if web_port is None else f"  WEB = 127.0.0.1:{web_port}\n"
    text += "" if user is None else f"  USER = {user}\n"
    for block in blocks:
        text += "\n" + (_nsu(block) if isinstance(block, Nsu) else _server(block))
    return text


def _nsu(nsu: Nsu) -> str:
    lines = [f"NSU {nsu.name}", f"  CONFIG_PORT = {nsu.config_port}"]
    lines += [f"  LISTEN = {address}" for address in nsu.listen]
    lines += [f"  PRIVILEGED_PORT = {'yes' if nsu.privileged_port else 'no'}"]
    lines += [f"  {line}" for line in nsu.lines]
    for name, (level, drives) in nsu.arrays.items():
        lines += [f"ARRAY {name}", f"  LEVEL = {level}"]
        lines += [f"  DRIVE = {path}({size})" if size else f"  DRIVE = {path}" for path, size in drives]
        if level == "raid0":
            lines += [f"  STRIPE = {nsu.stripe}"]
    for host in nsu.hosts:
        lines += _host(host)
    return "\n".join(lines) + "\n"


def _host(host: Host) -> list[str]:
    lines = [f"HOST {host.name}"]
    lines += [f"  ADDRESS = {address}" for address in host.addresses]
    if host.secret_file is not None:
        lines += [f"  SECRET_FILE = {host.secret_file}"]
    lines += [f"  {line}" for line in host.lines]
    lines += [f"  DATA_PORT = {endpoint(address, port)}({most})" for address, port, most in host.data_ports]
    for unit in host.units:
        lines += [f"  UNIT {unit.name}", f"    LBA = {unit.array}({unit.first_lba},{unit.last_lba})"]
        lines += [f"    ACCESS = {unit.access}"]
        lines += ["    ZERO = yes"] if unit.zero else []
    return lines


def _server(server: Server) -> str:
    lines = [f"SERVER {server.name}"]
    lines += [f"  ADDRESS = {address}" for address in server.addresses]
    lines += [f"  CONFIG_PORT = {server.config_port}", f"  CONNECTIONS = {server.connections}"]
    if server.secret_file is not None:
        lines += [f"  LOGIN = {server.login}", f"  SECRET_FILE = {server.secret_file}"]
    lines += [f"  {line}" for line in server.lines]
    for disk in server.disks:
        lines += [f"  DISK {disk.name}", f"    SHOW = {disk.show}", f"    AT = {disk.at}"]
        lines += [f"    NUMBER = {disk.number}"] if disk.number is not None else []
    return "\n".join(lines) + "\n"


def write_secret(path: Path) -> Path:
    """Write a fresh secret as nsu.conf wants it: 64 hexadecimal digits, mode 0600."""
    path.touch(mode=0o600)
    path.write_text(secrets.token_hex(32) + "\n")
    return path


def free_ports(count: int, addresses: Sequence[str] = ("127.0.0.1", "127.0.0.2")) -> list[int]:
    """Give ports that are free on all `addresses` at this moment.

    They lie below the range from which the kernel takes the ports of outgoing connections (32768 and up), so that no
    connection made meanwhile can take one away.
    """
    found: list[int] = []
    while len(found) < count:
        port = secrets.choice(range(10_100, 32_000))
        if port not in found and all(_is_free(address, port) for address in addresses):
            found.append(port)
    return found


def _is_free(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
