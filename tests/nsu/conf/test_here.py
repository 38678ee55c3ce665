"""Proves that `nsu check` sees beforehand what would keep a good file from being run on this machine, by this user."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nsu.conf.here import Here, look_here
from nsu.conf.load import load_text
from tests.users import as_user, public_folder

NOBODY = 65534
FILE = Path("nsu.conf")


def look(text: str, *addresses: str) -> Here:
    load_text(text, FILE, resolve=lambda _: ())  # it is good in itself
    return look_here(text, FILE, own_addresses=lambda: frozenset(addresses))


def obstacles(text: str) -> str:
    return "\n".join(map(str, look(text).obstacles))


def array(drive: object) -> str:
    return f"ARRAY a\n  DRIVE = {drive}\n"


def disk(at: object) -> str:
    return f"SERVER b\n  ADDRESS = 10.1.1.1\n  DISK d\n    AT = {at}\n"


# --- drives ---


def test_a_folder_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    folder = tmp_path / "srv" / "nsu"
    assert obstacles(array(f"{folder}/d.img(1GiB)")) == (
        f"nsu.conf:2: DRIVE: there is no folder {folder}; make it: mkdir -p {folder}"
    )
    folder.mkdir(parents=True)
    assert obstacles(array(f"{folder}/d.img(1GiB)")) == ""
    assert list(folder.iterdir()) == [], "nothing is made"


def test_what_is_not_there_and_has_no_size() -> None:
    assert "/nowhere/d is not there; give its size to have it made, as in /nowhere/d(20GiB)" in obstacles(
        array("/nowhere/d")
    )
    absent = obstacles(array("/dev/sdzz"))
    assert "/dev/sdzz is not there; `lsblk` lists" in absent
    assert "GiB" not in absent, "no size is given below /dev"


def test_what_is_no_drive(tmp_path: Path) -> None:
    assert "/dev/null is neither a file nor a block device" in obstacles(array("/dev/null"))
    assert f"{tmp_path} is a folder; {tmp_path}/drive1.img(20GiB), for example" in obstacles(array(tmp_path))
    (tmp_path / "empty").touch()
    assert f"{tmp_path}/empty is empty; give it a size" in obstacles(array(tmp_path / "empty"))


def test_a_file_of_another_size(tmp_path: Path) -> None:
    path = tmp_path / "d.img"
    path.write_bytes(bytes(1 << 20))
    assert f"{path} has 1048576 bytes, less than the 2097152 asked for; grow it: truncate -s 2097152" in obstacles(
        array(f"{path}(2MiB)")
    )
    for good in (path, f"{path}(1MiB)"):
        assert look(array(good)) == Here((), ())
    larger = look(array(f"{path}(512KiB)"))
    assert larger.obstacles == ()
    assert "has 1048576 bytes; only its first 524288 are used" in larger.warnings[0]


# --- disks and STATE ---


def test_a_disk_where_something_else_is(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    assert obstacles(disk(path)) == ""
    path.write_text("somebody's letter")
    assert f"nsu.conf:4: AT: {path} is there and is no socket; it is left alone; remove it" in obstacles(disk(path))
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert obstacles(disk(path)) == "", "a socket that a killed one left is replaced"


def test_a_state_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert f"nsu.conf:2: STATE: {tmp_path}/file is no folder" in obstacles(f"MACHINE m\n  STATE = {tmp_path}/file\n")
    assert obstacles(f"MACHINE m\n  STATE = {tmp_path}/to/be/made\n") == ""


# --- addresses ---


def test_addresses_of_no_interface_are_warned_of() -> None:
    text = "NSU n\n  LISTEN = {}\nHOST h\n  ADDRESS = 10.1.1.20\n  DATA_PORT = {}:10002(1)\n"
    elsewhere = look(text.format("10.9.9.1", "10.9.9.2"), "10.1.1.1").warnings
    assert [warning.partition(":")[0] for warning in elsewhere] == ["LISTEN = 10.9.9.1", "DATA_PORT = 10.9.9.2"]
    for mine in ("10.1.1.1", "127.0.0.7"):
        assert look(text.format(mine, mine), "10.1.1.1").warnings == ()
    assert look(text.format("0.0.0.0", "10.1.1.1"), "10.1.1.1").warnings == ()


# --- another user ---


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may look into, and root alone may write."""
    with public_folder() as folder:
        yield folder


def as_nobody(text: str) -> str:
    """What a process without rights finds: a child that gives them up."""
    if os.geteuid() != 0:
        pytest.skip("only root can ask as another user")
    return as_user(NOBODY, [NOBODY], lambda: obstacles(text))


def test_who_may_not_is_told_what_he_may_not(public: Path) -> None:
    (public / "closed.img").write_bytes(bytes(4096))
    (public / "closed.img").chmod(0o600)
    said = as_nobody(
        f"MACHINE m\n  STATE = {public}/state\nNSU n\n  CONFIG_PORT = 80\n"
        f"ARRAY a\n  DRIVE = {public}/new.img(1MiB)\n  DRIVE = {public}/closed.img\n"
        f"SERVER b\n  ADDRESS = 10.1.1.1\n  DISK d\n    AT = {public}/d.sock\n    OWNER = :root\n",
    )
    assert f":2: STATE: nobody may not write {public}/state; " in said
    if not may_bind_low_ports():
        assert ":4: CONFIG_PORT: nobody may not open port 80; a port of 1024 or more, or run as root or with" in said
    assert f":6: DRIVE: nobody may not make {public}/new.img; " in said
    assert f":7: DRIVE: nobody may not read and write {public}/closed.img; run as root, or chown nobody" in said
    assert f":11: AT: nobody may not make a socket in {public}; " in said
    assert ":12: OWNER: nobody may not give a socket to :root; a group this user is in" in said


def may_bind_low_ports() -> bool:
    """Some containers let everybody."""
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) <= 80


def test_the_default_folder_of_sockets_is_roots(public: Path) -> None:
    said = as_nobody(f"MACHINE m\n  STATE = {public}\nSERVER b\n  ADDRESS = 10.1.1.1\n  DISK d\n")
    assert ":5: AT: nobody may not make a socket in /run/nsu; AT = … in a folder that may be written" in said


def test_a_socket_may_be_given_to_oneself_and_by_root_to_anybody(public: Path) -> None:
    public.chmod(0o777)
    text = f"MACHINE m\n  STATE = {public}\n" + disk(public / "d.sock")
    assert as_nobody(text + "    OWNER = 65534:65534\n") == ""
    assert obstacles(text + "    OWNER = 65534:54002\n") == ""
