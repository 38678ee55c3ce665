"""Proves that `nsu status` tells everything, as it is, in 80 columns."""

import copy
import io
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from nsu.alarms import alarms_of
from nsu.gather import gather
from nsu.show import paths_table, place, process_words, show_status, source_words
from tests.harness import World, spawn_world

LONG = "/tmp/pytest-of-somebody/pytest-1234/test_with_a_name_that_is_long0/unit_1.sock"
SENTENCE = "waiting for the server at [fe80::1]:10001: [Errno 111] Connection refused"

FOUND: dict[str, Any] = {
    "supervisor": {
        "machine": "box1",
        "code": "plain",
        "warnings": ["HOST old has no SECRET_FILE: [bold]it is not protected[/bold]"],
        "processes": [
            {"name": "server", "state": "ready", "pid": 4194304, "why": ""},
            {"name": "host", "state": "given_up", "pid": None, "why": "it failed"},
        ],
    },
    "server": {
        "name": "box1",
        "conf": {"refused": ""},
        "data_ports": [],
        "arrays": [
            {
                "name": "unit0",
                "level": "raid0",
                "capacity_bytes": 20 << 40,
                "drives": [
                    *({"name": f"/srv/nsu/a_drive_{i}.img", "state": "good"} for i in range(7)),
                    {"name": "/srv/[x]/broken.img", "state": "failed"},
                ],
            }
        ],
        "hosts": [
            {
                "name": "a-host-with-a-rather-long-name",
                "units": [
                    {
                        "number": 12,
                        "name": "a_partition_with_a_long_name",
                        "blocks": 2**40,
                        "read_only": True,
                        "lba": "unit0(1099511627776,2199023255551)",
                        "totals": {
                            "reads": 10**12,
                            "writes": 1,
                            "others": 1,
                            "refused": 12345,
                            "read_bytes": 1 << 50,
                            "written_bytes": 1 << 45,
                        },
                    }
                ],
            }
        ],
        "sessions": [
            {
                "host": "a-host-with-a-rather-long-name",
                "version": 2,
                "epoch": 0xFFFFFFFF_00000001,
                "peer": "2001:db8:1234:5678:9abc:def0:1234:5678",
                "srws": [{"read_bytes": 1 << 50, "written_bytes": 1}] * 16,
            }
        ],
        "timers": [{"name": "handshake", "value_s": 5.0, "source": "Appendix D, step 4"}],
        "warnings": ["HOST old has no SECRET_FILE: [bold]it is not protected[/bold]", "another"],
    },
    "host": {
        "servers": [
            {
                "name": "box2",
                "connections": 2,
                "paths_up": 1,
                "trouble": SENTENCE,
                "networks": [
                    {"at": "[2001:db8::1]:10002", "places": 4, "state": "works", "trouble": ""},
                    {"at": "10.1.1.1:10002", "places": 4, "state": "down", "trouble": "[connecting]: timed out"},
                ],
                "paths": [
                    {
                        "path": 0,
                        "network": "2001:db8:1234:5678:9abc:def0:1234:5678:10002",
                        "state": "up",
                        "pid": 4194304,
                        "requests": 123456789,
                        "read_bytes": 1 << 45,
                        "written_bytes": 1 << 45,
                        "incarnation": 12345,
                        "since_s": 10_000_000.0,
                        "reason": "an older reason",
                    },
                    {
                        "path": 1,
                        "network": "",
                        "state": "connecting",
                        "pid": None,
                        "requests": 0,
                        "read_bytes": 0,
                        "written_bytes": 0,
                        "incarnation": 0,
                        "since_s": 0.5,
                        "reason": "it was killed by signal 9",
                    },
                ],
            }
        ],
        "disks": [
            {
                "name": "unit_1",
                "server": "box2",
                "size_bytes": 1 << 30,
                "read_only": False,
                "at": LONG,
                "uri": f"nbd+unix:///unit_1?socket={LONG}",
                "shown": True,
                "detached": False,
                "trouble": "",
            },
            {
                "name": "unit_[two]",
                "server": "box2",
                "size_bytes": None,
                "read_only": None,
                "at": "/run/nsu/unit_2.sock",
                "uri": None,
                "shown": False,
                "detached": False,
                "trouble": "the server has no partition of this name",
            },
        ],
        "timers": [],
        "warnings": [],
    },
}


def shown(found: dict[str, Any]) -> str:
    console = Console(width=80, file=io.StringIO())
    show_status(console, found)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def joined(text: str) -> str:
    """The text without blanks and line ends: a folded word is one word again when its column is the last."""
    return "".join(text.split())


def columns_of(text: str, title: str) -> str:
    """The lines of one table."""
    lines = text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.startswith(title))
    return "\n".join(lines[start:])


@pytest.mark.system
def test_a_real_status_fits_80_columns_on_one_line_for_each_path(world: World) -> None:
    text = shown(gather(world.machine.state))
    assert max(map(len, text.splitlines())) <= 80
    paths = [line for line in text.splitlines() if " up " in line and "127.0.0." in line]
    assert len(paths) == 4
    assert f"paths to {world.server.name}: 4 of 4 up" in text
    for word in ("arrays", "partitions", "sessions", "disks", "timers in force", "read-only", "drive0.img good"):
        assert word in text


@pytest.mark.system
def test_that_version_1_is_not_protected_is_told_once_for_each_side() -> None:
    """nsu.conf and the running roles warn in the same words."""
    with spawn_world(units={"unit_1": 2048}, paths=2, version=1) as old:
        found = gather(old.machine.state)
    assert len(found["supervisor"]["warnings"]) == 2
    unprotected = [alarm.sentence for alarm in alarms_of(found) if " has no SECRET_FILE" in alarm.sentence]
    assert sorted(sentence.split(" has no SECRET_FILE")[0] for sentence in unprotected) == [
        f"HOST {found['server']['hosts'][0]['name']}",
        "SERVER box1",
    ]


def test_the_longest_fits_80_columns_too_and_nothing_is_cut_off() -> None:
    text = shown(FOUND)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for word in (LONG, "a_drive_6.imggood", "broken.imgfailed", "thisname.", "notyetshown"):
        assert joined(word).rstrip(".") in joined(text), word


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({}, f"nbd+unix:///unit_1?socket={LONG}"),
        ({"uri": None}, LONG),
        ({"uri": None, "at": "/run/nsu/a", "process": {"device": "/dev/loop3"}}, "/dev/loop3, /run/nsu/a"),
        ({"shown": False, "detached": True}, "detached"),
        ({"shown": False}, "not yet shown"),
    ],
)
def test_a_disk_is_told_by_what_its_users_need(changed: dict[str, Any], words: str) -> None:
    assert place(FOUND["host"]["disks"][0] | changed) == words


def test_a_network_that_is_down_is_told_with_its_reason_and_one_that_works_is_not() -> None:
    text = shown(FOUND)
    assert "network 10.1.1.1:10002: it is down: [connecting]: timed out" in text
    assert "network [2001:db8::1]" not in text


def test_what_a_disks_process_has_to_say_is_shown() -> None:
    found = copy.deepcopy(FOUND)
    found["host"]["disks"][0]["process"] = {"device": None, "notices": ["2 clients see [10 GiB]"]}
    assert "unit_1: 2 clients see [10 GiB]" in shown(found)


def test_a_long_path_of_a_socket_is_folded_within_its_column() -> None:
    lines = columns_of(shown(FOUND), "disks").splitlines()[2:]
    column = lines[0].index("nbd+unix")
    folded = [lines[0][column:].strip()]
    for line in lines[1:]:
        if line[:column].strip():
            break
        folded.append(line[column:].strip())
    assert "".join(folded) == f"nbd+unix:///unit_1?socket={LONG}"


def test_numbers_of_paths_are_not_folded() -> None:
    text = columns_of(shown(FOUND), "paths to")
    for number in ("4194304", "123456789", "115 d", "32 TiB"):
        assert number in text


def test_what_is_told_is_no_markup() -> None:
    text = shown(FOUND)
    assert "[bold]it is not protected[/bold]" in text.replace("\n", " ")
    assert text.count("unit_[two]") == 2, "in the table, and with its trouble"
    assert joined(SENTENCE) in joined(text)


def test_each_warning_is_told_once_and_before_all_tables() -> None:
    text = shown(FOUND)
    assert text.rindex("warning:") < text.index("arrays")
    assert text.count("warning: nsu.conf: HOST old") == 1
    assert text.count("warning: server: another") == 1


def test_what_is_wrong_comes_first_with_what_to_do() -> None:
    text = shown(FOUND)
    assert text.index("urgent: disk unit_[two]") < text.index("warning:") < text.index("arrays")
    assert "do: look at its cables" in text
    assert "nothing is wrong" not in text


def test_a_machine_on_which_nothing_is_wrong_is_told_so(world: World) -> None:
    assert "nothing is wrong, as far as these processes can tell" in shown(gather(world.machine.state))


def test_trouble_is_told_and_old_reasons_are_not() -> None:
    text = shown(FOUND)
    assert "path box2 1: it is connecting: it was killed by signal 9" in text
    assert "an older reason" not in text
    assert "unit_[two]: the server has no partition of this name" in text


def test_a_machine_whose_roles_do_not_answer_is_told_too() -> None:
    found = copy.deepcopy(FOUND) | {"server": None, "host": None}
    text = shown(found)
    assert "machine box1, plain: server ready (pid 4194304), host given up: it failed" in text
    assert "paths" not in text
    assert "timers" not in text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("Appendix D, step 4", "Appendix D"),
        ("protocol/timers.py KEEPALIVE_IDLE_S", "built in"),
        ("nsu.conf, ON_NO_PATH", "nsu.conf"),
    ],
)
def test_a_timer_is_said_to_be_set_by_whom_in_short(source: str, words: str) -> None:
    assert source_words(source) == words


def test_the_live_table_has_a_row_for_each_path() -> None:
    table = paths_table(FOUND["host"]["servers"][0])
    assert isinstance(table, Table)
    assert (table.row_count, table.title) == (2, "paths to box2: 1 of 2 up")


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ({"name": "server", "state": "starting", "pid": 7, "why": ""}, "server starting (pid 7)"),
        ({"name": "server", "state": "resting", "pid": None, "why": "it failed"}, "server resting: it failed"),
        ({"name": "host", "state": "starting", "pid": 7, "why": "no room"}, "host starting (pid 7): no room"),
        ({"name": "host", "state": "ready", "pid": 7, "why": "no room"}, "host ready (pid 7)"),
        ({"name": "server", "state": "wanted", "pid": None, "why": ""}, "server wanted"),
    ],
)
def test_a_role_without_a_process_has_no_pid(process: dict[str, Any], words: str) -> None:
    assert process_words(process) == words
