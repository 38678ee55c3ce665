"""Proves that keys are made, carried, compared and rotated by the command line, and shown to nobody who did not ask."""

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nsu.cli import main
from nsu.conf.load import load_file
from nsu.conf.secrets import next_of, read_secret
from protocol.v2.login import fingerprint
from tests.harness import write_secret

OTHER = "ab" * 32


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """host1 has a file to be made, host2 none; box2 is a SERVER with a key."""
    path = tmp_path / "nsu.conf"
    write_secret(tmp_path / "box2.key")
    path.write_text(
        f"MACHINE box1\n  STATE = {tmp_path}/state\nARRAY a\n  DRIVE = {tmp_path}/d.img(1MiB)\n"
        f"HOST host1\n  SECRET_FILE = {tmp_path}/host1.key\n  DATA_PORT = 127.0.0.1:10002(1)\n"
        f"HOST host2\n  ADDRESS = 127.0.0.1\n  DATA_PORT = 127.0.0.1:10002(1)\n"
        f"SERVER box2\n  ADDRESS = 127.0.0.1\n  SECRET_FILE = {tmp_path}/box2.key\n"
    )
    return path


def call(conf: Path, *arguments: str, said: str = "") -> Result:
    return CliRunner().invoke(main, ["key", *arguments, "-c", str(conf)], input=said)


def good(conf: Path, *arguments: str, said: str = "") -> str:
    result = call(conf, *arguments, said=said)
    assert result.exit_code == 0, result.output
    return result.output


def test_a_key_is_made_once_and_only_show_shows_it(conf: Path) -> None:
    made = good(conf, "create", "host1")
    secret = read_secret(conf.parent / "host1.key")
    short = fingerprint(secret)
    assert short in made
    assert secret.hex() not in made
    assert good(conf, "show", "host1") == secret.hex() + "\n"
    assert good(conf, "show", "host1", "--fingerprint") == short + "\n"
    again = call(conf, "create", "host1")
    assert (again.exit_code, "nothing is written over it" in again.output.replace("\n", " ")) == (1, True)
    assert read_secret(conf.parent / "host1.key") == secret
    assert secret.hex() not in good(conf, "list") + good(conf, "list", "--json") + again.output


def test_a_host_without_a_file_gets_one_and_a_line_that_names_it(conf: Path) -> None:
    good(conf, "create", "host1")
    good(conf, "create", "host2", "--yes")
    path = conf.parent / "nsu.d" / "host2.key"
    assert f"  SECRET_FILE = {path}\n" in conf.read_text()
    server = load_file(conf).server
    assert server is not None
    assert [host.secret for host in server.hosts] == [read_secret(conf.parent / "host1.key"), read_secret(path)]


def test_a_line_that_is_refused_leaves_no_file_behind(conf: Path) -> None:
    result = call(conf, "create", "host2", "--yes")  # host1's file is not there: nsu.conf is not good
    assert result.exit_code == 1
    assert not (conf.parent / "nsu.d" / "host2.key").exists()


def test_a_key_is_installed_by_pipe_or_file_and_over_none_of_a_host(conf: Path, tmp_path: Path) -> None:
    stamp = conf.stat().st_mtime_ns
    assert fingerprint(bytes.fromhex(OTHER)) in good(conf, "install", "box2", said=OTHER + "\n")
    assert read_secret(tmp_path / "box2.key").hex() == OTHER
    assert conf.stat().st_mtime_ns > stamp, "who runs by it looks again"
    (tmp_path / "given").write_text(OTHER)
    good(conf, "install", "host1", "--from", str(tmp_path / "given"))
    assert read_secret(tmp_path / "host1.key").hex() == OTHER
    good(conf, "install", "host1", said=OTHER)
    refused = call(conf, "install", "host1", said="cd" * 32)
    assert refused.exit_code == 1
    assert "nsu key rotate host1" in refused.output
    wrong = call(conf, "install", "box2", said="cd" * 31)
    assert wrong.exit_code == 1
    assert "cdcd" not in wrong.output + refused.output
    assert OTHER not in good(conf, "list")


def test_a_rotation_opens_is_shown_and_ends(conf: Path) -> None:
    good(conf, "create", "host1")
    path = conf.parent / "host1.key"
    old = read_secret(path)
    said = good(conf, "rotate", "host1")
    new = read_secret(next_of(path))
    assert fingerprint(new) in said
    assert good(conf, "show", "host1") == new.hex() + "\n"
    assert good(conf, "show", "host1", "--fingerprint") == f"{fingerprint(old)}\n{fingerprint(new)} next\n"
    host1 = json.loads(good(conf, "list", "--json"))[0]
    assert (host1["current"], host1["next"], host1["wrong"]) == (fingerprint(old), fingerprint(new), None)
    refused = call(conf, "rotate", "host1", "--finish")
    assert refused.exit_code == 1
    assert "has no session now" in refused.output.replace("\n", " ")
    good(conf, "rotate", "host1", "--finish", "--force")
    assert (read_secret(path), next_of(path).exists()) == (new, False)
    good(conf, "rotate", "host1")
    good(conf, "rotate", "host1", "--abandon")
    assert (read_secret(path), next_of(path).exists()) == (new, False)
    assert call(conf, "rotate", "host1", "--abandon", "--finish").exit_code == 2


def test_what_is_wrong_is_said(conf: Path) -> None:
    for arguments in (("show", "nobody"), ("create", "box2"), ("rotate", "host1"), ("rotate", "host2")):
        result = call(conf, *arguments)
        assert result.exit_code == 1, arguments
        assert result.stderr.startswith("nsu: ")
    os.chmod(conf.parent / "box2.key", 0o644)
    assert "chmod 600" in call(conf, "show", "box2").stderr
    told = {each["name"]: each for each in json.loads(good(conf, "list", "--json"))}
    assert "open to others" in told["box2"]["wrong"]
    assert (told["host2"]["current"], told["host2"]["wrong"]) == (None, None)


def test_a_key_in_the_place_of_its_file_is_not_shown(conf: Path) -> None:
    conf.write_text(conf.read_text().replace(f"{conf.parent}/box2.key", OTHER))
    for arguments in (["key", "list"], ["key", "show", "box2"], ["check"], ["status"]):
        result = CliRunner().invoke(main, [*arguments, "-c", str(conf)])
        assert result.exit_code == 1
        assert "abab" not in result.output
