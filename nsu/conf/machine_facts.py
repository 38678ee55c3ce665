"""What this machine and this user are: interfaces, ports that may be opened, a name. Read-only."""

import os
import pwd
from ipaddress import ip_address
from pathlib import Path

import psutil

from ipc.confinement import User

_CAP_NET_BIND_SERVICE = 1 << 10
"""capabilities(7)."""
_CAP_CHOWN = 1 << 0
_CAPS_SET_IDS = 1 << 6 | 1 << 7
"""CAP_SETGID, CAP_SETUID."""
_USUAL_USER = "nsu"
_FIRST_FREE_PORT = 1024
_PROC = Path("/proc")


def addresses_here() -> frozenset[str]:
    """The numeric addresses of all interfaces of this machine."""
    found = set()
    for addresses in psutil.net_if_addrs().values():
        for address in addresses:
            try:
                found.add(str(ip_address(address.address.partition("%")[0])))
            except ValueError:
                continue  # a hardware address
    return frozenset(found)


def may_bind(port: int, *, proc: Path = _PROC) -> bool:
    """May this process open a listening socket on `port` (ip(7), ip_unprivileged_port_start)?"""
    try:
        first_free = int((proc / "sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except (OSError, ValueError):
        first_free = _FIRST_FREE_PORT
    return port >= first_free or bool(_capabilities(proc) & _CAP_NET_BIND_SERVICE)


def may_give(uid: int, gid: int, *, proc: Path = _PROC) -> bool:
    """May this process give a file of its own to `uid` and `gid` (chown(2); -1: leave it)?"""
    own = uid in (-1, os.geteuid()) and (gid in (-1, os.getegid()) or gid in os.getgroups())
    return own or bool(_capabilities(proc) & _CAP_CHOWN)


def user_to_become(name: str | None, *, proc: Path = _PROC) -> User | None:
    """Give whom processes that move data become: `name`, or nsu if there is one; None: they stay who they are.

    Nobody but root becomes another user. root itself is nobody else.

    Raises:
        KeyError: there is no user of this name.

    """
    try:
        found = pwd.getpwnam(name or _USUAL_USER)
    except KeyError:
        if name is not None:
            raise
        return None
    may = os.geteuid() == 0 and _capabilities(proc) & _CAPS_SET_IDS == _CAPS_SET_IDS
    return User(found.pw_name, found.pw_uid, found.pw_gid) if may and found.pw_uid != 0 else None


def _capabilities(proc: Path) -> int:
    try:
        lines = (proc / "self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1], 16) for line in lines if line.startswith("CapEff:")), 0)


def user_words() -> str:
    """The name of the user we run as, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
