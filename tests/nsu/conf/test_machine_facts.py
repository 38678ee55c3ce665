"""Proves what is known of this machine: loopback's addresses, which ports may be opened, the user's name."""

import os
import pwd
from pathlib import Path

import pytest

from ipc.confinement import User
from nsu.conf.machine_facts import addresses_here, may_bind, may_give, user_to_become, user_words
from tests.users import ONLY_ROOT, as_user

NOBODY, OURS = 65_534, 54_002


def test_loopback_is_here_and_addresses_are_plain() -> None:
    found = addresses_here()
    assert "127.0.0.1" in found
    assert not any("%" in address for address in found)


@pytest.mark.parametrize(
    ("capabilities", "first_free", "port", "may"),
    [
        ("0000000000000000", "1024", 1023, False),
        ("0000000000000000", "1024", 1024, True),
        ("0000000000000000", "80", 80, True),
        ("0000000000000400", "1024", 1, True),
        ("000001fffffffbff", "1024", 1, False),
    ],
)
def test_low_ports_need_the_capability_or_a_lower_limit(
    tmp_path: Path, capabilities: str, first_free: str, port: int, may: bool
) -> None:
    (tmp_path / "sys/net/ipv4").mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "sys/net/ipv4/ip_unprivileged_port_start").write_text(f"{first_free}\n")
    (tmp_path / "self/status").write_text(f"Name:\tx\nCapEff:\t{capabilities}\n")
    assert may_bind(port, proc=tmp_path) is may


def test_without_proc_the_kernels_default_holds(tmp_path: Path) -> None:
    assert not may_bind(1023, proc=tmp_path)
    assert may_bind(1024, proc=tmp_path)


@pytest.mark.parametrize(("capabilities", "may"), [("0000000000000000", False), ("0000000000000001", True)])
def test_giving_a_file_to_others_needs_the_capability(tmp_path: Path, capabilities: str, may: bool) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"CapEff:\t{capabilities}\n")
    foreign = max(os.getgroups(), default=0) + 1_000
    for uid, gid in ((-1, -1), (os.geteuid(), os.getegid()), *((-1, gid) for gid in os.getgroups())):
        assert may_give(uid, gid, proc=tmp_path)
    for uid, gid in ((os.geteuid() + 1, -1), (-1, foreign), (os.geteuid(), foreign)):
        assert may_give(uid, gid, proc=tmp_path) is may


@ONLY_ROOT
def test_one_may_give_to_the_groups_one_is_in() -> None:
    def told() -> str:
        return " ".join(str(may_give(-1, gid)) for gid in (NOBODY, OURS, 0))

    assert as_user(NOBODY, [NOBODY, OURS], told) == "True True False"


def test_the_user_has_a_name() -> None:
    assert user_words() == pwd.getpwuid(os.geteuid()).pw_name


@pytest.mark.parametrize(("capabilities", "may"), [("00000000000000c0", True), ("0000000000000040", False)])
@ONLY_ROOT
def test_root_becomes_another_user_if_it_may(tmp_path: Path, capabilities: str, may: bool) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self/status").write_text(f"CapEff:\t{capabilities}\n")
    nobody = pwd.getpwuid(NOBODY)
    user = User(nobody.pw_name, nobody.pw_uid, nobody.pw_gid) if may else None
    assert user_to_become(nobody.pw_name, proc=tmp_path) == user


def test_root_is_nobody_else_and_who_is_not_there_is_an_error() -> None:
    assert user_to_become("root") is None
    with pytest.raises(KeyError):
        user_to_become("no-such-user")


@ONLY_ROOT
def test_who_is_not_root_becomes_nobody_else() -> None:
    name = pwd.getpwuid(NOBODY).pw_name
    assert as_user(NOBODY, [OURS], lambda: str(user_to_become(name))) == "None"
