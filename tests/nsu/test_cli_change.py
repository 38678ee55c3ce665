"""Proves that a change is shown first, asked for when somebody would lose by it, and refused in sentences."""

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from nsu.cli_change import change, user
from nsu.partitions.errors import Refused
from nsu.partitions.verbs import delete
from tests.nsu.partitions.conftest import CONF


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nsu.conf"
    path.write_text(CONF.replace("/var/lib/nsu", str(tmp_path / "state")))
    return path


def call(
    conf: Path, *, yes: bool = False, as_json: bool = False, asks: bool = False, answer: str | None = None
) -> Result:
    @click.command()
    def verb() -> None:
        change(
            conf, lambda at: delete(at.base, "first"), yes=yes, force=False, as_json=as_json, verb="x", always_asks=asks
        )

    return CliRunner().invoke(verb, input=answer)


def test_where_nobody_can_be_asked_it_is_not_done(conf: Path) -> None:
    before = conf.read_text()
    result = call(conf)
    assert result.exit_code == 1
    assert "LOST: all that is on host1/first" in result.stdout, "it was shown"
    assert "say --yes" in result.stderr
    assert conf.read_text() == before


def test_it_is_done_and_told(conf: Path) -> None:
    result = call(conf, yes=True)
    assert result.exit_code == 0
    assert "is saved, and not yet in force: the server does not run; version 2 of nsu history" in result.stdout
    assert "UNIT first" not in conf.read_text()


def test_programs_get_json_and_nothing_else(conf: Path) -> None:
    told = json.loads(call(conf, yes=True, as_json=True).stdout)
    assert (told["version"], told["in_force"], told["plan"]["loses"]) == (2, False, ["all that is on host1/first"])
    again = call(conf, yes=True, as_json=True)
    assert again.exit_code == 1
    assert json.loads(again.stdout) == {"refused": ["there is no partition first; there are: host1/second"]}


def test_a_bad_file_is_told_by_its_lines(conf: Path) -> None:
    conf.write_text(f"MACHINE box1\n  STATE = {conf.parent}/state\nHOST x\n  COLOUR = red\n")
    result = call(conf, yes=True)
    assert result.exit_code == 1
    assert "nsu.conf:4: COLOUR" in result.stderr


def test_who_stands_behind_sudo_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    assert user() == "alice"


def test_all_reasons_are_told(conf: Path) -> None:
    @click.command()
    def verb() -> None:
        def refuses(_: object) -> str:
            raise Refused("one", "two")

        change(conf, refuses, yes=True, force=False, as_json=False, verb="x")

    result = CliRunner().invoke(verb)
    assert (result.exit_code, result.stderr) == (1, "nsu: one\nnsu: two\n")
