"""Proves the verbs of the small authority, and that a certificate's end is warned of before it comes."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from nsu.cli import main
from tests.harness import write_secret
from tests.harness.tls import authority, tls_files, tls_lines


def call(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["tls", *arguments, "--folder", str(folder)])


def test_an_authority_is_made_and_issues_and_shows(tmp_path: Path) -> None:
    folder = tmp_path / "tls"
    assert "nsu tls init" in call(tmp_path, "show").output
    assert call(folder, "init").exit_code == 0
    issued = call(folder, "issue", "box1", "--address", "10.0.0.1", "--address", "10.0.1.1")
    assert f"{folder}/box1.crt: box1, 10.0.0.1, 10.0.1.1" in issued.output
    rows = json.loads(call(folder, "show", "--json").output)
    assert [row["names"] for row in rows][1] == ["box1", "10.0.0.1", "10.0.1.1"]
    shown = call(folder, "show").output
    assert "authority" in shown
    assert rows[1]["sha256"][32:] in shown
    assert "PRIVATE" not in issued.output + shown


def test_what_can_not_be_done_is_said_and_fails(tmp_path: Path) -> None:
    refused = call(tmp_path, "issue", "../x")
    assert (refused.exit_code, "is not a name" in refused.output) == (1, True)
    refused = call(tmp_path, "issue", "host1")
    assert (refused.exit_code, "nsu tls init" in refused.output) == (1, True)


def test_check_warns_of_a_certificate_that_ends_soon(tmp_path: Path) -> None:
    files = tls_files(authority(tmp_path / "ca"), "box1", days=10)
    secret = write_secret(tmp_path / "key")
    lines = [f"MACHINE box1\n  STATE = {tmp_path}/state", "SERVER box1\n  ADDRESS = 127.0.0.1", "TLS = required"]
    conf = tmp_path / "nsu.conf"
    conf.write_text("\n  ".join([lines[0] + "\n" + lines[1], lines[2], f"SECRET_FILE = {secret}", *tls_lines(files)]))
    checked = CliRunner().invoke(main, ["check", "-c", str(conf)])
    assert "expires in 9 days" in " ".join(checked.output.split())
