"""Proves that passwords and tokens are made, listed and taken away by the command line, and never printed twice."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nsu.cli import main
from nsu.web.passwords import Users
from nsu.web.roles import Role
from nsu.web.tokens import Tokens


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nsu.conf"
    path.write_text(f"MACHINE box1\n  STATE = {tmp_path}/state\nARRAY a\n  DRIVE = {tmp_path}/d.img(1MiB)\n")
    return path


def call(conf: Path, *arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(main, [*arguments, "-c", str(conf)], input=said)


def test_a_password_is_set_and_taken_away(conf: Path) -> None:
    users = Users(conf.parent / "state")
    assert call(conf, "password", said="correct horse\n").output == "user admin may log in; role: administer\n"
    assert users.check("admin", "correct horse")
    assert call(conf, "password", "anna", "--role", "look", said="another horse\n").exit_code == 0
    anna = users.find("anna")
    assert anna is not None
    assert anna.role == Role.LOOK
    assert call(conf, "password", "anna", "--remove").output == "user anna is gone, and logged out\n"
    assert users.find("anna") is None


def test_what_is_no_password_is_refused(conf: Path) -> None:
    for said in ("short\n", "", "\n"):
        refused = call(conf, "password", said=said)
        assert refused.exit_code == 1
        assert "8 to 1024 characters" in refused.stderr
    assert call(conf, "password", "nobody", "--remove").exit_code == 1


def test_the_life_of_a_token(conf: Path) -> None:
    tokens = Tokens(conf.parent / "state")
    made = json.loads(call(conf, "token", "create", "backup", "--role", "operate", "--days", "2", "--json").output)
    known = tokens.check(made["token"])
    assert known is not None
    assert (known.role, known.name) == (Role.OPERATE, "backup")
    text = call(conf, "token", "create", "prometheus").output.strip()
    assert tokens.check(text)
    listed = call(conf, "token", "list").output
    assert "prometheus" in listed
    assert "until revoked" in listed
    assert text not in listed
    assert [one["name"] for one in json.loads(call(conf, "token", "list", "--json").output)] == ["backup", "prometheus"]
    assert "is revoked" in call(conf, "token", "revoke", "prometheus").output
    assert tokens.check(text) is None
    refused = call(conf, "token", "revoke", "prometheus")
    assert (refused.exit_code, "there is no token prometheus" in refused.stderr) == (1, True)
