"""Proves that each verb says what is wrong and what would be right, in 80 columns, with exit status 0, 1 or 2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ipc.control import ControlError
from nsu import __version__
from nsu.cli import ELSEWHERE, SHOWS, main
from nsu.cli_base import unanswered
from nsu.compiled import in_use
from nsu.conf.host_role import DEFAULT_AT
from nsu.supervisor import lock_state
from tests.harness import World
from tests.nsu.test_roles import BAD, GOOD

NO_ROLE = "MACHINE box1\n  STATE = {state}\n"
HOST = "SERVER box2\n  ADDRESS = 127.0.0.1\n  CONFIG_PORT = 10001\n  DISK unit_1\n    AT = /run/nsu/unit_1.sock\n"


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """An nsu.conf of a machine with a host role, that does not run."""
    path = tmp_path / "nsu.conf"
    path.write_text((NO_ROLE + HOST).format(state=tmp_path / "state"))
    return path


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def nsu(*arguments: str | Path, timeout_s: float = 30.0) -> "subprocess.CompletedProcess[str]":
    """The command in a terminal's width, as a process."""
    command = [sys.executable, "-m", "nsu", *map(str, arguments)]
    environment = os.environ | {"COLUMNS": "80"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s, env=environment)


def assert_fails(result: "Result | subprocess.CompletedProcess[str]", *words: str) -> None:
    """Status 1, nothing on standard output, sentences on standard error, no traceback."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert (code, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in result.stderr


# --- wrong use ---


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["run", "--nonsense"], "No such option"),
        (["check", "-c", "/"], "File '/' is a directory"),
        (["trace"], "Missing argument 'DISK'"),
        (["trace", "unit_1", "--op", "trim"], "'trim' is not one of 'read', 'write'"),
        (["trace", "unit_1", "--timeout", "0"], "0<x<=86400"),
        (["trace", "unit_1", "--timeout", "-1"], "0<x<=86400"),
        (["trace", "unit_1", "--timeout", "inf"], "0<x<=86400"),
        (["trace", "unit_1", "--timeout", "soon"], "'soon' is not a valid float"),
    ],
)
def test_wrong_use_has_status_2_and_says_why(arguments: list[str], words: str) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert words in " ".join(result.stderr.split())


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["run", "-h"], ["trace", "--help"]])
def test_help_fits_80_columns_and_cuts_nothing_off(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "..." not in result.stdout.replace("[ARGS]...", "")


def test_the_version() -> None:
    assert call("--version").stdout == f"nsu, version {__version__}, {in_use()}\n"


def test_help_waits_for_nothing_that_it_does_not_need() -> None:
    """Most of its time was once spent on importing what verbs need when they are called."""
    code = "import sys; from nsu.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "  top " in done.stdout
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert {"nsu", "click"} <= loaded
    assert not loaded & {"hostside", "serverside", "construct", "rich", "configobj", "fastapi"}


def test_what_the_list_of_verbs_says_is_what_each_says_itself() -> None:
    context = click.Context(main)
    for name, (_, _, sentence) in ELSEWHERE.items():
        verb = main.get_command(context, name)
        assert verb is not None
        listed = click.Command(name, help=sentence)
        assert (verb.name, verb.get_short_help_str(200)) == (name, listed.get_short_help_str(200))
    assert list(SHOWS) == list(DEFAULT_AT)


# --- check ---


def test_check_of_a_good_file(conf: Path) -> None:
    conf.write_text(GOOD.replace("/srv/", f"{conf.parent}/").replace("/var/lib/nsu", f"{conf.parent}/state"))
    result = call("check", "-c", conf)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == f"{conf} is good: machine box1, server"
    assert "warning: HOST host1" in result.stdout, "version 0x01 is told"


def test_a_file_without_c_is_told_how(conf: Path) -> None:
    for verb in (["run"], ["check"], ["status"], ["trace", "unit_1"]):
        result = call(*verb, conf)
        assert result.exit_code == 2
        assert "A file is named by -c FILE." in " ".join(result.stderr.split())


def test_check_of_what_this_machine_has_no_place_for(conf: Path) -> None:
    conf.write_text(GOOD.replace("/srv/d.img", f"{conf.parent}/absent/d.img"))
    assert_fails(
        call("check", "-c", conf),
        f"{conf}:9: DRIVE: there is no folder {conf.parent}/absent; make it: mkdir -p {conf.parent}/absent",
        f"nsu: {conf} is well written, but cannot be run here and now as it is",
    )


def test_check_of_a_bad_file_names_line_key_and_what_would_be_right(conf: Path) -> None:
    conf.write_text(BAD.replace("10001", "99999"))
    result = call("check", "-c", conf)
    assert_fails(result)
    lines = result.stderr.splitlines()
    assert lines[0].startswith(f"{conf}:4: CONFIG_PORT: 99999 is out of range")
    assert lines[1].startswith(f"{conf}:8: LEVEL: raid9 is not a level; jbod")


@pytest.mark.parametrize("verb", [["check"], ["run"], ["status"], ["status", "--json"], ["trace", "unit_1"]])
def test_an_absent_file_is_told_by_every_verb(tmp_path: Path, verb: list[str]) -> None:
    absent = tmp_path / "absent.conf"
    assert_fails(call(*verb, "-c", absent), str(absent), "No such file or directory", "name a file with -c")


# --- run ---


def test_run_without_a_role(conf: Path, tmp_path: Path) -> None:
    conf.write_text(NO_ROLE.format(state=tmp_path))
    assert_fails(call("run", "-c", conf), "gives this machine no role: add NSU and HOST blocks, or SERVER blocks")


def test_run_with_a_state_that_is_used(conf: Path, tmp_path: Path) -> None:
    lock = lock_state(tmp_path / "state")
    try:
        assert_fails(nsu("run", "-c", conf), f"another supervisor is running with STATE = {tmp_path}/state; stop it")
    finally:
        os.close(lock)


@pytest.mark.parametrize("state", ["/proc/nsu", "{tmp_path}/nsu.conf", "/tmp/" + "x" * 100])
def test_run_with_a_state_that_cannot_be(conf: Path, tmp_path: Path, state: str) -> None:
    state = state.format(tmp_path=tmp_path)
    conf.write_text((NO_ROLE + HOST).format(state=state))
    try:
        assert_fails(nsu("run", "-c", conf), f"nsu: STATE = {state} cannot be used")
    finally:
        if "xxx" in state:
            (Path(state) / "lock").unlink()
            Path(state).rmdir()


# --- status and trace ---


@pytest.mark.parametrize("verb", [["status"], ["status", "--json"], ["trace", "unit_1"]])
def test_when_nothing_runs_it_is_said_how_to_start(conf: Path, verb: list[str]) -> None:
    assert_fails(call(*verb, "-c", conf), "no process answers at", f"Start it with: nsu run -c {conf}")


@pytest.mark.parametrize("verb", [["status"], ["trace", "unit_1"]])
def test_a_file_that_has_become_bad_is_no_reason_not_to_ask(conf: Path, tmp_path: Path, verb: list[str]) -> None:
    conf.write_text(conf.read_text() + "nonsense\n")
    result = call(*verb, "-c", conf)
    assert_fails(result, f"{conf} is not good now", "See: nsu check", f"no process answers at {tmp_path}/state/")


def test_who_may_not_ask_is_told_so() -> None:
    error = ControlError("cannot ask at /s: [Errno 13] Permission denied")
    error.__cause__ = PermissionError()
    assert unanswered(error, Path("c")) == f"{error}; ask as the user who runs it"


def test_trace_on_a_machine_without_disks(conf: Path) -> None:
    conf.write_text(GOOD)
    assert_fails(call("trace", "unit_1", "-c", conf), "has no SERVER block, so this machine has no disks to trace")


@pytest.mark.system
def test_status_of_both_roles_fits_80_columns(world: World) -> None:
    done = nsu("status", "-c", world.machine.conf)
    assert (done.returncode, done.stderr) == (0, "")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert re.match(r"machine box1, (plain|compiled): server ready \(pid \d+\), host ready \(pid \d+\)\n", done.stdout)


@pytest.mark.system
def test_status_as_json_is_json(world: World) -> None:
    result = call("status", "--json", "-c", world.machine.conf)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert found["supervisor"]["machine"] == "box1"
    assert found["host"]["servers"][0]["paths_up"] == 4


@pytest.mark.system
def test_trace_of_an_idle_disk_draws_figure_5(world: World) -> None:
    result = call("trace", "unit_1", "-c", world.machine.conf)
    assert result.exit_code == 0
    assert result.stdout.startswith("Figure 5, read: 4096 bytes at byte 0, path ")
    assert "7H" in result.stdout
    as_json = call("trace", "unit_1", "--json", "-c", world.machine.conf)
    assert json.loads(as_json.stdout)["stamps"].keys() >= {"1H", "7H", "5S"}


@pytest.mark.system
def test_trace_of_an_unknown_disk_names_the_known(world: World) -> None:
    result = call("trace", "unit_9", "-c", world.machine.conf)
    assert_fails(result, "nsu: there is no disk unit_9; this machine has: unit_1, unit_2\n")


@pytest.mark.system
def test_trace_of_a_write_that_does_not_come_ends_in_time(world: World) -> None:
    done = nsu("trace", "unit_1", "--op", "write", "--timeout", "0.2", "-c", world.machine.conf, timeout_s=10)
    assert_fails(done, "nsu: no write of disk unit_1 was done within 0.2 s\n")
