"""Proves what nsu.conf makes of a machine: a changed one is followed, a bad one ignored, an old one not used again."""

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostside import open_disk
from ipc.control import ControlError, control_call
from nsu.conf.load import digest_of, load_file
from nsu.last_words import LastWords
from nsu.roles import ConfWatch, HostWatch, NewestSecrets, mains, sentence_of, stamp
from serverside.drives.base import DriveError
from tests.harness import Disk, Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.nsu.small_roles import wait_until

SERVER = """\
MACHINE box1
  STATE = {state}
NSU box1
  CONFIG_PORT = {config_port}
  PRIVILEGED_PORT = no
  LISTEN = 127.0.0.1
ARRAY unit0
  LEVEL = jbod
  DRIVE = {drive}
HOST host1
  ADDRESS = 127.0.0.1
  DATA_PORT = 127.0.0.1:{data_port}(4)
  UNIT unit_1
    LBA = unit0(0,{last})
"""
HOST = """\
SERVER box2
  ADDRESS = 127.0.0.1
  CONFIG_PORT = 10001
  DISK unit_1
    AT = /run/nsu/unit_1.sock
"""
PLAIN = {"state": "/var/lib/nsu", "config_port": 10001, "drive": "/srv/d.img(1MiB)", "data_port": 10002, "last": 1000}
GOOD = SERVER.format(**PLAIN)
CHANGED = GOOD.replace("(0,1000)", "(0,999)")
BAD = GOOD.replace("jbod", "raid9")
NO_SERVER = "MACHINE box1\n" + HOST


class Conf:
    """An nsu.conf that is changed as an administrator does it, and its watch."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(GOOD)
        self.seen = stamp(path)
        server = load_file(path).server
        assert server is not None
        self.watch = ConfWatch(path, server, self.seen)

    def write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    @staticmethod
    def last_lba(watched: object) -> int:
        return watched.hosts[0].units[0].last_lba  # type: ignore[attr-defined,no-any-return]


@pytest.fixture
def conf(tmp_path: Path) -> Conf:
    return Conf(tmp_path / "nsu.conf")


# --- which roles ---


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        (GOOD, ["server"]),
        (NO_SERVER, ["host"]),
        (GOOD + HOST, ["server", "host"]),
        ("MACHINE box1\n", []),
    ],
)
def test_the_file_says_which_roles_there_are(tmp_path: Path, text: str, roles: list[str]) -> None:
    path = tmp_path / "nsu.conf"
    path.write_text(text)
    words = LastWords(("server", "host"))
    assert list(mains(path, load_file(path), stamp(path), words)) == roles


# --- a running server follows the file ---


def test_an_unchanged_file_changes_nothing(conf: Conf) -> None:
    assert conf.watch.fresh() is None


def test_a_changed_file_gives_new_settings_once(conf: Conf) -> None:
    conf.write(CHANGED)
    fresh = conf.watch.fresh()
    assert Conf.last_lba(fresh) == 999
    assert conf.watch.fresh() is None


def test_each_text_in_force_is_noted_and_whoever_waits_for_one_is_told_how_far_it_is(conf: Conf) -> None:
    noted: list[str] = []
    conf.watch.note = noted.append
    assert conf.watch.newest() == conf.watch.settings
    assert conf.watch.describe() == {"path": str(conf.path), "digest": digest_of(GOOD), "errors": []}
    conf.write(BAD)
    conf.watch.fresh()
    told = conf.watch.describe()
    assert told["digest"] == digest_of(BAD)
    assert "raid9" in told["errors"][0]
    conf.write(CHANGED)
    conf.watch.fresh()
    assert conf.watch.describe()["errors"] == []
    assert noted == [GOOD], "the server has not taken it yet"
    conf.watch.note_in_force()
    assert noted == [GOOD, CHANGED]
    conf.write(CHANGED + "# a comment\n")
    conf.watch.fresh()
    assert noted == [GOOD, CHANGED, CHANGED + "# a comment\n"]


def test_a_host_known_by_its_name_stays_in_while_the_name_service_is_down(tmp_path: Path) -> None:
    path = tmp_path / "nsu.conf"
    by_name = GOOD.replace("  ADDRESS = 127.0.0.1\n", "")
    path.write_text(by_name)
    server = load_file(path, resolve=lambda _: ("10.1.1.21",)).server
    assert server is not None
    watch = ConfWatch(path, server, stamp(path))
    watch.resolve = lambda _: ()
    watch.newest()
    path.write_text(by_name + "# a comment\n")
    assert watch.fresh() is None, "nobody is disturbed"
    path.write_text(by_name.replace("(0,1000)", "(0,999)"))
    fresh = watch.fresh()
    assert fresh is not None
    assert fresh.hosts[0].addresses == ("10.1.1.21",)
    watch.resolve = lambda _: ("10.1.1.99",)
    path.write_text(by_name)
    fresh = watch.fresh()
    assert fresh is not None
    assert fresh.hosts[0].addresses == ("10.1.1.99",), "what the name service says goes before"


def test_an_address_that_was_taken_out_of_the_file_does_not_stay(conf: Conf) -> None:
    conf.watch.newest()
    conf.watch.resolve = lambda _: ()
    conf.write(GOOD.replace("  ADDRESS = 127.0.0.1\n", ""))
    fresh = conf.watch.fresh()
    assert fresh is not None
    assert fresh.hosts[0].addresses == ()


def test_a_text_that_the_server_refuses_is_not_noted(conf: Conf) -> None:
    noted: list[str] = []
    conf.watch.note = noted.append
    conf.watch.newest()
    for text in (CHANGED, CHANGED + "# a comment\n"):
        conf.write(text)
        conf.watch.fresh()
    assert noted == [GOOD]


def test_an_error_of_reading_at_a_reload_changes_nothing(conf: Conf, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error", "/etc/nsu.key")

    conf.write(CHANGED)
    monkeypatch.setattr("nsu.roles.load_text", broken)
    assert conf.watch.fresh() is None
    assert conf.watch.describe()["errors"] == ["/etc/nsu.key: Input/output error"]


def test_a_bad_file_changes_nothing_and_is_told_once(conf: Conf, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write(BAD)
    assert conf.watch.fresh() is None
    said = capsys.readouterr().err
    assert f"{conf.path}:8: LEVEL: raid9 is not a level" in said
    assert "the old settings stay in force" in said
    assert conf.watch.fresh() is None
    assert capsys.readouterr().err == ""
    assert Conf.last_lba(conf.watch.settings) == 1000
    conf.write(CHANGED)
    assert Conf.last_lba(conf.watch.fresh()) == 999, "a good one is followed again"


def test_a_bad_file_that_is_taken_back_changes_nothing(conf: Conf) -> None:
    conf.write(BAD)
    assert conf.watch.fresh() is None
    conf.write(GOOD)
    assert conf.watch.fresh() is None


@pytest.mark.parametrize("text", [GOOD + "\n# a comment\n", GOOD.replace("  ", "    ")])
def test_what_means_the_same_changes_nothing(conf: Conf, text: str) -> None:
    conf.write(text)
    assert conf.watch.fresh() is None


def test_a_file_that_is_gone_changes_nothing_and_is_told_once(conf: Conf, capsys: pytest.CaptureFixture[str]) -> None:
    conf.path.unlink()
    assert conf.watch.fresh() is None
    assert conf.watch.fresh() is None
    assert capsys.readouterr().err.count(f"{conf.path} is not there any more; the settings it had stay in force") == 1
    conf.write(CHANGED)
    assert Conf.last_lba(conf.watch.fresh()) == 999


def test_a_file_without_the_role_changes_nothing_and_is_told(conf: Conf, capsys: pytest.CaptureFixture[str]) -> None:
    conf.write(NO_SERVER)
    assert conf.watch.fresh() is None
    assert "gives this machine no server role any more" in capsys.readouterr().err


def test_a_change_while_the_file_was_loaded_is_seen(conf: Conf) -> None:
    """The stamp is older than the settings: at worst the file is loaded once more."""
    conf.write(CHANGED)
    late = ConfWatch(conf.path, conf.watch.settings, conf.seen)
    assert Conf.last_lba(late.fresh()) == 999


# --- a server that starts never goes back ---


def test_a_start_takes_what_was_loaded_when_the_file_is_the_same(conf: Conf) -> None:
    assert conf.watch.newest() is conf.watch.settings


def test_a_start_takes_the_file_as_it_is_now(conf: Conf) -> None:
    conf.write(CHANGED)
    assert Conf.last_lba(conf.watch.newest()) == 999
    assert conf.watch.fresh() is None


@pytest.mark.parametrize("text", [BAD, NO_SERVER, None])
def test_a_start_waits_for_a_good_file(conf: Conf, capsys: pytest.CaptureFixture[str], text: str | None) -> None:
    if text is None:
        conf.path.unlink()
    else:
        conf.write(text)
    assert conf.watch.newest() is None
    assert f"it starts once {conf.path} is good again" in capsys.readouterr().err


# --- what takes effect at the next start only ---


def host_watch(path: Path, text: str) -> HostWatch:
    path.write_text(text)
    return HostWatch(path, load_file(path), stamp(path))


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (GOOD + HOST, GOOD + HOST.replace("box2", "box3"), ["its SERVER blocks have changed"]),
        (GOOD + HOST, GOOD, ["its SERVER blocks have changed"]),
        (NO_SERVER, NO_SERVER.replace("box1", "box9"), ["its SERVER blocks", "its MACHINE block has changed"]),
        (NO_SERVER, GOOD + HOST, ["its server role has changed"]),
        (GOOD + HOST, CHANGED + HOST, []),
        (GOOD + HOST, BAD + HOST, ["is not good now; what runs keeps its former settings"]),
    ],
)
def test_what_a_running_machine_cannot_take_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, words: list[str]
) -> None:
    path = tmp_path / "nsu.conf"
    watch = host_watch(path, before)
    assert watch.warnings() == ()
    path.write_text(after)
    found = watch.warnings()
    assert len(found) == len(words)
    for sentence, word in zip(found, words, strict=True):
        assert word in sentence
    assert watch.warnings() == found
    assert capsys.readouterr().err.count("nsu: warning:") == len(words), "said once"
    path.write_text(before)
    assert watch.warnings() == (), "taken back, it is no warning any more"


# --- real ones ---


@pytest.fixture
def machine() -> Iterator[Machine]:
    with Machine() as machine:
        yield machine


@pytest.mark.system
def test_a_killed_server_keeps_what_was_written_to_a_partition_that_came_later(machine: Machine) -> None:
    """Started again with the settings of its first start, it would give unit_2's blocks to unit_0 for a moment, and so
    forget what of unit_2 is written: it would read as zeros.
    """
    port, data_port = free_ports(2)
    secret = write_secret(machine.folder / "host1.key")
    units = [Unit("unit_1", "unit0", 0, 99), Unit("unit_0", "unit0", 100, 199)]
    host = Host("host1", units, [("127.0.0.1", data_port, 2)], secret_file=secret)
    drives = [(machine.folder / "drive0.img", "1MiB")]
    nsu = Nsu("box1", port, {"unit0": ("jbod", drives)}, [host])
    at = machine.folder / "unit_2.sock"
    disks = [Disk("unit_1", machine.folder / "unit_1.sock"), Disk("unit_2", at)]
    server = Server("box1", ["127.0.0.1"], port, disks, secret_file=secret, connections=2)
    machine.start(conf_text("box1", machine.state, nsu, server))
    machine.wait_for(lambda status: status["host"] and status["host"]["disks"][0]["shown"])
    units[1] = Unit("unit_2", "unit0", 100, 199, zero=True)
    machine.conf.write_text(conf_text("box1", machine.state, nsu, server))
    os.kill(machine.pids("nsu: supervisor")[0], signal.SIGHUP)
    machine.wait_paths(2)
    with open_disk(at=at) as disk:
        disk.pwrite(b"kept" * 128, 512)
        disk.flush()
        machine.kill_process("nsu: server")
        assert disk.pread(512, 512) == b"kept" * 128


@pytest.mark.system
def test_a_drive_that_is_not_there_ends_it_with_a_sentence(machine: Machine) -> None:
    drive = machine.folder / "absent.img"
    machine.start(SERVER.format(**PLAIN | {"state": machine.state, "drive": drive}))
    assert machine.supervisor is not None
    assert machine.supervisor.wait(10) == 1
    said = [line for line in machine.log().splitlines() if line.startswith("nsu: server:")]
    assert len(said) == 1, "nobody tries again what only a person can mend"
    assert str(drive) in said[0]


@pytest.mark.system
def test_a_port_in_use_is_named_and_taken_once_it_is_free(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as other:
        port = other.getsockname()[1]
        ours = {"config_port": port, "data_port": free_ports(1)[0], "drive": f"{machine.folder}/d.img(1MiB)"}
        machine.start(SERVER.format(**PLAIN | ours | {"state": machine.state}))
        wait_until(lambda: f"127.0.0.1:{port}: Address already in use" in machine.log(), machine.log)
    machine.wait_for(lambda status: status["server"])


def test_errors_are_told_with_what_they_are_about(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file") as missing:
        os.stat(tmp_path / "missing")
    assert sentence_of(missing.value) == f"{tmp_path}/missing: No such file or directory"
    assert sentence_of(OSError(98, "can't open port 1: it is in use")) == "can't open port 1: it is in use"
    assert sentence_of(DriveError(16, "drive d is in use")) == "drive d is in use"
    assert "root or CAP_NET_BIND_SERVICE" in sentence_of(OSError(13, "can't open 127.0.0.1:80: Permission denied"))


@pytest.mark.system
def test_status_quotes_what_a_failing_role_said_last(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", free_ports(1)[0])) as other:
        port = other.getsockname()[1]
        ours = {"config_port": port, "data_port": free_ports(1)[0], "drive": f"{machine.folder}/d.img(1MiB)"}
        machine.start(SERVER.format(**PLAIN | ours | {"state": machine.state}))
        said = f"can't open 127.0.0.1:{port}: Address already in use"
        wait_until(lambda: said in ask(machine)["processes"][0]["why"], machine.log)


def ask(machine: Machine) -> dict[str, Any]:
    try:
        return control_call(machine.state / "supervisor.sock", "status")
    except ControlError:
        return {"processes": [{"why": ""}]}


def test_a_key_that_is_replaced_is_known_at_the_next_login_and_a_lost_one_is_told_of_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, path = write_secret(tmp_path / "box2.key"), tmp_path / "nsu.conf"
    watch = host_watch(path, NO_SERVER.replace("  ADDRESS", f"  SECRET_FILE = {key}\n  ADDRESS"))
    host = load_file(path).host
    assert host is not None
    (entry,) = host.servers
    newest = NewestSecrets(path)
    assert newest(entry) == entry.secret
    key.write_text("ab" * 32)
    os.utime(path, ns=(1, 1))
    assert newest(entry) == bytes.fromhex("ab" * 32)
    assert watch.warnings() == (), "it needs no start"
    key.chmod(0o644)
    assert [newest(entry), newest(entry)] == [entry.secret] * 2
    said = capsys.readouterr().err
    assert said.count("the one of the start is used") == 1
    assert "abab" not in said
    assert "abab" not in repr(host)
