"""Proves how the host role is read: its defaults, and what people are warned of."""

import socket
from pathlib import Path

import pytest

from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from nsu.conf.errors import ConfErrors
from nsu.conf.settings import MachineSettings
from tests.nsu.conf.conftest import load, warnings_of

SERVER = "SERVER b\n  ADDRESS = 10.1.1.1\n  ADDRESS = 10.1.1.2\n"


def test_defaults() -> None:
    loaded = load("SERVER box2\n  ADDRESS = 10.1.1.1\n  DISK a\n  DISK b\n")
    name = socket.gethostname()
    assert loaded.machine == MachineSettings(name, Path("/var/lib/nsu"), None)
    assert loaded.server is None
    run = Path("/run/nsu")
    disks = (DiskSettings("a", 0, "socket", run / "a.sock"), DiskSettings("b", 1, "socket", run / "b.sock"))
    entry = ServerEntry("box2", ("10.1.1.1",), 10001, name, None, 4, None, disks, extra_connections=4)
    assert loaded.host == HostRoleSettings(name, Path("/var/lib/nsu"), (entry,))


def test_a_server_without_secret_is_said_to_be_unprotected() -> None:
    assert "SERVER b has no SECRET_FILE: it speaks version 0x01, which is not protected" in warnings_of(SERVER)


def test_a_server_without_disks_is_warned_of() -> None:
    assert "SERVER b has no DISK: this machine gets nothing of it" in warnings_of(SERVER)
    assert "has no DISK" not in warnings_of(SERVER + "  DISK a\n")


def test_addresses_without_a_connection_are_warned_of() -> None:
    assert "cannot use all 2 addresses" in warnings_of(SERVER + "  CONNECTIONS = 1\n")
    assert "cannot use all" not in warnings_of(SERVER + "  CONNECTIONS = 2\n")


def extra_connections(lines: str) -> int:
    host = load(SERVER + lines).host
    assert host is not None
    return host.servers[0].extra_connections


def test_twice_as_many_connections_as_are_kept_may_be_there_for_a_while() -> None:
    assert extra_connections("") == 4
    assert extra_connections("  CONNECTIONS = 7\n") == 7
    assert extra_connections("  CONNECTIONS = 600\n") == 400, "a thousand is the most that a data port takes"
    assert extra_connections("  CONNECTIONS = 7\n  CONNECTIONS_MAX = 9\n") == 2
    assert extra_connections("  CONNECTIONS = 7\n  CONNECTIONS_MAX = 7\n") == 0


def test_fewer_at_the_most_than_always_is_wrong() -> None:
    with pytest.raises(ConfErrors, match="6 is less than CONNECTIONS, of which there are always 7"):
        load(SERVER + "  CONNECTIONS = 7\n  CONNECTIONS_MAX = 6\n")


def test_giving_up_before_a_handshake_can_end_is_warned_of() -> None:
    assert "becomes an I/O error" in warnings_of(SERVER + "  ON_NO_PATH = fail after 5 s\n")
    assert "becomes an I/O error" not in warnings_of(SERVER + "  ON_NO_PATH = fail after 6 s\n")
    assert "becomes an I/O error" not in warnings_of(SERVER)


def disk_of(lines: str) -> DiskSettings:
    host = load(SERVER + "  DISK a\n" + lines).host
    assert host is not None
    return host.servers[0].disks[0]


def test_owners_are_looked_up_as_chown_does() -> None:
    for given, owner in (
        ("root", (0, -1)),
        (":root", (-1, 0)),
        ("root:4321", (0, 4321)),
        ("4321:root", (4321, 0)),
    ):
        assert disk_of(f"    OWNER = {given}\n").owner == owner
    assert disk_of("    SHOW = fuse\n    OWNER = 7\n    MODE = 640\n").mode == 0o640


def test_a_disk_for_everybody_is_warned_of() -> None:
    for show, mode, is_open in (
        ("socket", "0660", False),
        ("socket", "0664", False),
        ("socket", "0662", True),
        ("fuse", "0664", True),
        ("fuse", "0661", False),
    ):
        said = warnings_of(SERVER + f"  DISK a\n    SHOW = {show}\n    MODE = {mode}\n")
        assert (f"DISK a: with MODE = {mode} every user of this machine may use the disk" in said) == is_open
