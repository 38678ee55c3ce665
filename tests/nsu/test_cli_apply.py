"""Proves that whole versions of nsu.conf come and go as they are: applied, listed, brought back."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nsu.cli import main
from tests.nsu.partitions.conftest import CONF


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "nsu.conf"
    path.write_text(CONF.replace("/var/lib/nsu", str(tmp_path / "state")))
    return path


def call(conf: Path, *words: str | Path, text: str | None = None) -> Result:
    return CliRunner().invoke(main, [*map(str, words), "-c", str(conf)], input=text)


def versions(conf: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(call(conf, "history", "--json").stdout)
    return found


def test_a_file_is_applied_and_taken_back(conf: Path, tmp_path: Path) -> None:
    first = conf.read_text()
    new = tmp_path / "new.conf"
    new.write_text(first.replace("unit0(2048,6143)", "unit0(2048,8191)"))
    result = call(conf, "apply", new, "--yes")
    assert result.exit_code == 0
    assert "+    LBA  = unit0(2048,8191)" in result.stdout, "the difference is shown"
    assert "host1/second grows from 2 MiB to 3 MiB" in result.stdout
    assert conf.read_text() == new.read_text()
    assert call(conf, "rollback", "--yes", "--force").exit_code == 0
    assert conf.read_text() == first
    assert call(conf, "rollback", "2", "--yes").exit_code == 0
    assert conf.read_text() == new.read_text()
    assert [each["number"] for each in versions(conf)] == [1, 2, 3, 4]
    assert str(versions(conf)[-1]["who"]).endswith("(nsu rollback 2)")


def test_it_asks_and_takes_standard_input_when_told_not_to(conf: Path) -> None:
    text = conf.read_text()
    assert call(conf, "apply", conf).exit_code == 0, "nothing changes, nothing to ask"
    asked = call(conf, "apply", "-", text=text + "# more\n")
    assert (asked.exit_code, "say --yes" in asked.stderr) == (1, True)
    assert call(conf, "apply", "-", "--yes", text=text + "# more\n").exit_code == 0
    assert conf.read_text() == text + "# more\n"


def test_a_bad_file_is_named_with_its_line(conf: Path, tmp_path: Path) -> None:
    before = conf.read_text()
    new = tmp_path / "new.conf"
    new.write_text(before + "  COLOUR = red\n")
    result = call(conf, "apply", new, "--yes")
    assert result.exit_code == 1
    assert f"{new}:{before.count(chr(10)) + 1}: COLOUR" in result.stderr
    assert conf.read_text() == before


def test_one_version_is_shown_with_what_it_changed(conf: Path) -> None:
    call(conf, "partition", "resize", "second", "+1MiB")
    shown = call(conf, "history", "2").stdout
    assert "host1/second grows from 2 MiB to 3 MiB" in shown
    assert "-    LBA  = unit0(2048,6143)" in shown
    assert json.loads(call(conf, "history", "2", "--json").stdout)["text"] == conf.read_text()
    assert max(map(len, call(conf, "history").stdout.splitlines())) <= 80
    assert call(conf, "history", "9").exit_code == 1


def test_what_is_not_there_is_not_brought_back(conf: Path) -> None:
    result = call(conf, "rollback", "--yes")
    assert (result.exit_code, result.stderr) == (1, "nsu: there is no version before this one; see: nsu history\n")
    assert "there is no version 7" in call(conf, "rollback", "7", "--yes").stderr
