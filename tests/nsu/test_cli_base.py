"""Proves that a verb that can't find its file, or nobody who runs by it, says so and what would be right."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from ipc.control import ControlError, RefusedError
from nsu.cli_base import ConfCommand, conf_option, load_here_or_exit, running_state_or_exit, unanswered


@click.command(cls=ConfCommand)
@conf_option
def verb(conf_path: Path) -> None:
    click.echo(conf_path)


def test_a_file_without_its_option_is_wrong_use_and_told_how() -> None:
    result = CliRunner().invoke(verb, ["/etc/other.conf"])
    assert result.exit_code == 2
    assert "A file is named by -c FILE." in result.stderr
    assert CliRunner().invoke(verb, ["-c", "/etc/other.conf"]).stdout == "/etc/other.conf\n"


def test_state_is_found_in_a_file_that_is_bad_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "nsu.conf"
    conf.write_text(f"MACHINE box1\n  STATE = {tmp_path}/here\nHOST x\n  COLOUR = red\n")
    assert running_state_or_exit(conf) == tmp_path / "here"
    assert "is not good now" in capsys.readouterr().err
    for ask in (load_here_or_exit, lambda path: running_state_or_exit(path.with_name("absent"))):
        with pytest.raises(SystemExit, match="1"):
            ask(conf)


def test_who_refuses_has_said_it_and_who_does_not_answer_has_to_be_started() -> None:
    assert unanswered(RefusedError("no"), Path("/etc/nsu.conf")) == "no"
    assert unanswered(ControlError("silence"), Path("/c")) == "silence; is it running? Start it with: nsu run -c /c"
