"""Proves that only the right password is taken, that no password can be read from what is kept, and what is refused."""

import time
from pathlib import Path

import pytest

from nsu.web.passwords import Users, hash_password, is_password
from nsu.web.roles import Role
from nsu.web.store import StoreError


def test_the_right_password_and_no_other(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.put("alice", "correct horse", Role.OPERATE)
    user = users.check("alice", "correct horse")
    assert user is not None
    assert (user.name, user.role) == ("alice", Role.OPERATE)
    for name, password in [("alice", "correct horsE"), ("alice", ""), ("bob", "correct horse"), ("", "")]:
        assert users.check(name, password) is None


def test_what_is_kept_is_salted_and_tells_nothing(tmp_path: Path) -> None:
    users = Users(tmp_path)
    for name in ("alice", "bob"):
        users.put(name, "correct horse", Role.LOOK)
    kept = users.store.path.read_text()
    assert "correct horse" not in kept
    rows = users.store.rows()
    assert rows["alice"]["password"] != rows["bob"]["password"]
    assert str(rows["alice"]["password"]).startswith("scrypt$15$8$1$")


def test_any_text_is_a_password() -> None:
    kept = hash_password("pässwört \N{SNOWMAN} \udc80")
    assert is_password("pässwört \N{SNOWMAN} \udc80", kept)
    assert not is_password("passwort", kept)


def test_a_new_password_changes_the_stamp(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.put("alice", "correct horse", Role.LOOK)
    before = users.find("alice")
    users.put("alice", "correct horse", Role.LOOK)
    assert users.find("alice") != before
    users.remove("alice")
    assert users.find("alice") is None
    assert users.known() == []


@pytest.mark.parametrize(
    ("name", "password", "words"),
    [
        ("alice", "short", "8 to 1024"),
        ("", "long enough", "name"),
        ("a\n", "long enough", "name"),
        (" ", "long enough", "name"),
    ],
)
def test_what_is_refused(tmp_path: Path, name: str, password: str, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        Users(tmp_path).put(name, password, Role.LOOK)


def test_who_is_not_there_cannot_be_removed(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no user bob; there are: none"):
        Users(tmp_path).remove("bob")


def test_an_unknown_user_costs_a_guess_as_much_time(tmp_path: Path) -> None:
    users = Users(tmp_path)
    users.put("alice", "correct horse", Role.LOOK)
    times = {}
    for name in ("alice", "nobody"):
        began = time.process_time()
        users.check(name, "wrong password")
        times[name] = time.process_time() - began
    assert times["nobody"] > times["alice"] / 4, times
