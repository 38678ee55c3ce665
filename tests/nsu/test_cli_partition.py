"""Proves that each verb of `nsu partition` does what its words say, and that its help fits 80 columns."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nsu.cli import main
from nsu.cli_partition import partition_verbs
from nsu.partitions.view import find, partitions_of
from tests.nsu.partitions.conftest import CONF


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """Of an NSU that does not run: the verbs change the file for its next start."""
    path = tmp_path / "nsu.conf"
    path.write_text(CONF.replace("/var/lib/nsu", str(tmp_path / "state")))
    return path


def call(conf: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["partition", *words, "-c", str(conf)])


def done(conf: Path, *words: str) -> str:
    result = call(conf, *words)
    assert result.exit_code == 0, result.output
    return conf.read_text()


def test_a_life_of_a_partition(conf: Path) -> None:
    text = done(conf, "create", "data", "--size", "1MiB", "--read-write", "host1", "--read-only", "host2")
    assert (find(text, "data").writers, find(text, "data").hosts) == (("host1",), ("host1", "host2"))
    assert find(done(conf, "resize", "data", "+1MiB"), "data").blocks == 4096
    assert find(done(conf, "rename", "data", "more"), "more").blocks == 4096
    assert find(done(conf, "access", "more", "read-only", "--host", "host1"), "more").writers == ()
    assert find(done(conf, "unassign", "more", "host2"), "more").hosts == ("host1",)
    assert find(done(conf, "chown", "more", "host2"), "more").hosts == ("host2",)
    assert find(done(conf, "unassign", "more"), "more").hosts == ()
    assert find(done(conf, "assign", "more", "host1", "--read-only"), "more").hosts == ("host1",)
    assert find(done(conf, "share", "more", "host2", "--name", "theirs"), "theirs").writers == ("host2",)
    assert not find(done(conf, "zero", "more", "no", "--force"), "more").zero
    assert len(partitions_of(done(conf, "delete", "more", "--yes"))) == 2


def test_a_second_writer_has_to_be_said_and_the_answer_says_what_that_means(conf: Path) -> None:
    refused = call(conf, "share", "second", "host2")
    assert refused.exit_code == 1
    assert "only one host may write a partition" in refused.stderr
    told = call(conf, "share", "second", "host2", "--shared-write")
    assert "An ordinary file system on it will be destroyed" in " ".join(told.stdout.split())


def test_the_list_is_for_people_or_for_programs(conf: Path) -> None:
    people = call(conf, "list").stdout
    for words in ("first", "host1 read-write", "unit0(2048,6143)", "unit0: 16 MiB, 13 MiB free"):
        assert words in people
    told = json.loads(call(conf, "list", "--json").stdout)
    assert [each["title"] for each in told["partitions"]] == ["host1/first", "host1/second"]


@pytest.mark.parametrize(
    ("words", "status", "why"),
    [
        (("create", "data", "--size", "20GB"), 2, "is not a size"),
        (("create", "data"), 2, "Missing option '--size'"),
        (("resize", "first", "lots"), 2, "is not a size"),
        (("access", "first", "maybe"), 2, "'maybe' is not one of"),
        (("delete", "third"), 1, "there is no partition third; there are: host1/first, host1/second"),
        (("resize", "first", "2MiB"), 1, "nothing is free behind it"),
        (("resize", "second", "1MiB", "--yes"), 1, "nobody here knows what is on its end"),
    ],
)
def test_what_cannot_be_done_says_why(conf: Path, words: tuple[str, ...], status: int, why: str) -> None:
    before = conf.read_text()
    result = call(conf, *words)
    assert result.exit_code == status
    assert why in " ".join(result.stderr.split())
    assert conf.read_text() == before


@pytest.mark.parametrize("verb", ["", *partition_verbs.commands])
def test_help_fits_80_columns_and_cuts_nothing_off(verb: str) -> None:
    result = CliRunner().invoke(main, ["partition", *verb.split(), "--help"])
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "..." not in result.stdout.replace("[ARGS]...", "")


def test_what_was_written_by_hand_and_is_not_good_yet_is_not_lost(conf: Path) -> None:
    assert call(conf, "resize", "second", "+1MiB").exit_code == 0
    bad = conf.read_text() + "# two hours of work\nHOST host9\n  ADRESS = 10.1.1.9\n"
    conf.write_text(bad)
    result = call(conf, "resize", "second", "+1MiB")
    assert result.exit_code == 1
    assert f"nsu.conf:{bad.count(chr(10))}: ADRESS" in result.stderr
    assert "mend that first, or go back with nsu rollback" in " ".join(result.stderr.split())
    assert conf.read_text() == bad
