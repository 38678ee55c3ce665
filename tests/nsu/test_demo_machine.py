"""Proves that the demo's machine says beforehand what it cannot have, and that what it starts ends with it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from nsu import demo_machine
from nsu.conf.load import load_file
from nsu.demo_machine import (
    LONGEST_SOCKET,
    NETWORKS,
    PATHS,
    DemoError,
    DemoMachine,
    free_ports,
    is_free,
    make_folder,
    sweep,
    try_lock,
)

SPAWN = """
import signal, sys, time
from nsu.demo_machine import spawn
print(spawn(["sleep", "60"], signal.SIGTERM, 2).pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """TMPDIR, as `tempfile` sees it: short."""
    folder = Path(tempfile.mkdtemp(prefix="nt-", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


# --- the folder ---


def test_the_folder_is_a_new_one_for_its_owner_alone(temporary: Path) -> None:
    folder = make_folder()
    assert (folder.parent, folder.name[:9]) == (temporary, "nsu-demo-")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert make_folder() != folder


def test_a_folder_too_long_for_sockets_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = 107 - len(f"/nsu-demo-12345678/{LONGEST_SOCKET}")
    fits = temporary / ("x" * (room - len(f"{temporary}/")))
    fits.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(fits))
    with socket.socket(socket.AF_UNIX) as listener:
        socket_path = make_folder() / LONGEST_SOCKET
        socket_path.parent.mkdir()
        listener.bind(str(socket_path))  # the longest that fits does
    longer = temporary / (fits.name + "x")
    longer.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(longer))
    with pytest.raises(DemoError, match=r"too long a name for Unix sockets in it; try: TMPDIR=/tmp nsu demo"):
        make_folder()
    assert list(longer.iterdir()) == []


def test_a_full_folder_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_machine, "ROOM_MIB", 1 << 40)
    with pytest.raises(DemoError, match=rf"{temporary} has \d+ MiB left and the demo needs \d+; name another"):
        make_folder()
    assert list(temporary.iterdir()) == []


def test_a_folder_that_is_not_there_is_refused(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "absent"))
    with pytest.raises(DemoError, match=r"there is no folder for temporary files: .*; name one by TMPDIR"):
        make_folder()


# --- what killed demos have left ---


def left(temporary: Path, name: str, age_s: float = 3600.0) -> Path:
    folder = temporary / name
    (folder / "state").mkdir(parents=True)
    for lock in (folder / "lock", folder / "state" / "lock"):
        lock.touch()
    os.utime(folder, (time.time() - age_s,) * 2)
    return folder


def test_only_what_nobody_holds_any_more_is_swept(temporary: Path) -> None:
    stale, mine, supervised = (left(temporary, f"nsu-demo-{name}") for name in ("stale", "mine", "supervised"))
    young = left(temporary, "nsu-demo-young", 10.0)
    other = left(temporary, "somebody-else")
    locks = [try_lock(mine), try_lock(supervised / "state")]
    assert None not in locks
    sweep(temporary)
    assert [folder.exists() for folder in (stale, mine, supervised, young, other)] == [False, True, True, True, True]
    for lock in locks:
        os.close(lock or 0)
    make_folder()
    assert not mine.exists(), "the next demo sweeps"


# --- the ports ---


def test_free_ports_differ_and_are_free_on_both_networks() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        for address in NETWORKS:
            socket.create_server((address, port)).close()


def test_a_port_in_use_is_not_free() -> None:
    with socket.create_server((NETWORKS[1], 0)) as other:
        assert not is_free(NETWORKS[1], other.getsockname()[1])


def test_without_a_free_port_it_ends_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_machine, "NETWORKS", ("192.0.2.1",))  # RFC 5737: nobody has it
    with pytest.raises(DemoError, match=r"there are no 3 free TCP ports on 192\.0\.2\.1"):
        free_ports(3)


# --- the machine ---


def test_its_nsu_conf_is_good_and_protected(tmp_path: Path) -> None:
    machine = DemoMachine(tmp_path)
    machine.write_conf()
    loaded = load_file(machine.conf)
    assert loaded.warnings == ()
    assert loaded.server is not None
    assert loaded.host is not None
    assert loaded.server.hosts[0].secret is not None
    assert [unit.read_only for unit in loaded.server.hosts[0].units] == [False, True]
    assert loaded.host.servers[0].connections == PATHS
    assert (tmp_path / "demo.key").stat().st_mode & 0o777 == 0o600


def test_a_machine_that_never_started_closes(tmp_path: Path) -> None:
    machine = DemoMachine(tmp_path / "folder")
    machine.folder.mkdir()
    assert (machine.runs, machine.status(), machine.paths(), machine.family()) == (False, None, [], [])
    machine.close()
    assert not machine.folder.exists()


def test_waiting_in_vain_shows_the_end_of_the_log(tmp_path: Path) -> None:
    machine = DemoMachine(tmp_path)
    machine.log.write_text("its last words\n")
    machine.supervisor = subprocess.Popen(["true"])
    machine.supervisor.wait()
    with pytest.raises(DemoError, match=r"in vain for rain; the supervisor has ended. Its log ends with:\nits last"):
        machine.wait_until(lambda: False, 60.0, "rain")


@pytest.mark.system
def test_it_runs_until_it_is_closed(temporary: Path) -> None:
    machine = DemoMachine(make_folder())
    try:
        machine.start()
        assert machine.runs
        assert machine.all_up()
        assert try_lock(machine.folder) is None
        assert [path["state"] for path in machine.paths()] == ["up"] * PATHS
        agents = machine.titled("nsu: agent demo 127.0.0.1:")
        assert len(agents) == PATHS // 2, "the paths spread over both networks"
        family = machine.family()
    finally:
        machine.close()
    assert len(family) > 2 * PATHS
    assert [process for process in family if process.is_running()] == []
    assert list(temporary.iterdir()) == []


@pytest.mark.system
def test_what_was_spawned_ends_when_we_are_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", SPAWN], stdout=subprocess.PIPE, text=True) as spawner:
        assert spawner.stdout is not None
        spawned = psutil.Process(int(spawner.stdout.readline()))
        assert os.getsid(spawned.pid) == spawned.pid, "the terminal's Control-C is not for it"
        spawner.send_signal(signal.SIGKILL)
    assert psutil.wait_procs([spawned], timeout=5)[1] == []
