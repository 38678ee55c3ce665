"""Proves what `nsu discover` prints, for people at 80 columns and for programs, and its exit status."""

import json
from io import StringIO
from uuid import UUID

import pytest
from click.testing import CliRunner
from rich.console import Console

from hostside.catalogue import Row
from nsu.cli import main
from nsu.cli_discover import plain, table
from protocol.discovery.answer import Address, Answer, Interface
from protocol.discovery.ways import Way

MAC = bytes.fromhex("02005e005301")
FULL = Row(
    Answer(
        UUID(int=1),
        "a-name-of-some-length",
        MAC,
        10001,
        3,
        True,
        (Interface("eth0", MAC, (Address("10.1.1.1", is_open=True), Address("fd00:aaaa:bbbb:cccc::1"))),),
    ),
    set(Way),
    {"eth1"},
)
EMPTY = Row(Answer(UUID(int=2), "box2", MAC, 10001, 0, False), {Way.ETHERNET}, {"eth1"})


def test_the_table_fits_80_columns_and_loses_nothing() -> None:
    console = Console(file=StringIO(), width=80)
    console.print(table([FULL, EMPTY]))
    assert isinstance(console.file, StringIO)
    printed = console.file.getvalue()
    assert max(map(len, printed.splitlines())) <= 80
    for word in ("02:00:5e:00:53:01", "10.1.1.1", "0x01", "0x02", "Ethernet", "broadcast", "multicast", "IPv6", "box2"):
        assert word in printed, printed


def test_a_row_for_programs() -> None:
    told = json.loads(json.dumps(plain(FULL)))
    assert told["versions"] == [1, 2]
    assert told["interfaces"][0]["addresses"][0] == {"address": "10.1.1.1", "config_port_open": True}
    assert told["found_by"] == sorted(way.value for way in Way)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_none_found_is_1_with_a_sentence(flags: list[str]) -> None:
    result = CliRunner().invoke(main, ["discover", "--interface", "nowhere", "--timeout", "0.1", *flags])
    assert result.exit_code == 1
    assert "no interface nowhere" in result.output
    assert "no NSU answers" in result.output.replace("\n", " ")
