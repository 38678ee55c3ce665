"""Proves that `nsu configure` refuses what can't be an order before anything is sent."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from nsu.cli import main
from nsu.cli_configure import asked_claim_key, configure_nsu, read_mac
from protocol.setup.claim_key import claim_key_text

MAC = "02:00:00:00:00:77"


def call(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["configure", *arguments])
    return done.exit_code, " ".join(done.output.split())


def test_wrong_use_is_told() -> None:
    assert call("02:00", "--address", "10.0.0.5/24")[0] == 2
    assert "is no MAC" in call("02:00", "--address", "10.0.0.5/24")[1]
    assert "has no prefix" in call(MAC, "--address", "10.0.0.5")[1]
    assert call(MAC)[0] == 2
    assert "8 at most" in call(MAC, *(["--address", "10.0.0.5/24"] * 9))[1]


def test_an_interface_that_is_not_there_is_told() -> None:
    status, said = call(MAC, "--address", "10.0.0.5/24", "--interface", "nothere0")
    assert status == 1
    assert "nothere0" in said


def test_macs_are_read_as_people_write_them() -> None:
    assert read_mac("02:00:5E:00:53:01") == read_mac("02-00-5e-00-53-01") == bytes.fromhex("02005e005301")
    for text in ("", "02:00:5e:00:53", "02:00:5e:00:53:01:02", "0g:00:5e:00:53:01"):
        with pytest.raises(click.UsageError):
            read_mac(text)


def test_the_claim_key_comes_from_a_file_and_is_never_an_argument(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(claim_key_text(b"k" * 20) + "\n")
    assert asked_claim_key(path) == b"k" * 20
    options = {name for parameter in configure_nsu.params for name in parameter.opts}
    assert not options & {"--claim-key", "--key", "--password"}


@pytest.mark.parametrize("text", ["", "ABCD", "\xff" * 5000])
def test_what_is_no_claim_key_is_told_and_not_shown(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(SystemExit):
        asked_claim_key(path)
    assert "that is no claim key" in capsys.readouterr().err
