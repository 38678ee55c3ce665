"""Proves that whoever runs a machine is told what happens to it: on its standard error, one line for each event, and in
its status. Real foregrounds, real kills.
"""

import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from hostside import open_disk
from tests.harness import Disk, Host, Machine, Server, Unit, World, conf_text, spawn_world, write_secret
from tests.harness.world import NETWORKS

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with spawn_world(units={"unit_1": 65536}, paths=2) as world:
        yield world


def wait_for_words(machine: Machine, words: str, timeout_s: float = 10.0) -> str:
    """Wait until the log has a line with `words`; give the line."""
    until_s = time.monotonic() + timeout_s
    while True:
        for line in machine.log().splitlines():
            if words in line:
                return line
        assert time.monotonic() < until_s, f"nobody says {words!r}; the log:\n{machine.log()}"
        time.sleep(0.02)


@contextmanager
def another_host(world: World, name: str, *, login: str = "host1", secret: Path | None = None) -> Iterator[Machine]:
    """Run a machine of its own that uses the world's server."""
    with Machine() as machine:
        secret = secret or world.server.secret_file
        disk = Disk("unit_1", machine.folder / "unit_1.sock")
        entry = Server("box1", NETWORKS[:1], world.nsu.config_port, [disk], login, secret, 2)
        machine.start(conf_text(name, machine.state, entry))
        machine.wait_for(lambda status: status["host"])
        yield machine


def test_sessions_and_paths_are_told(world: World) -> None:
    said = world.machine.log()
    assert "nsu: server: host1 logged in from 127.0.0." in said
    # By the second address where the first was asked a moment before the NSU was there.
    assert re.search(rf"nsu: host: logged in to box1 at 127\.0\.0\.[12]:{world.nsu.config_port} \(version 0x02\)", said)
    assert "nsu: host: a path to box1 is up\n" in said


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("nsu: srw", "nsu: server: srw host1 {}it was killed by signal 9; its host opens the path again"),
        ("nsu: agent", "nsu: host: the agent of path {}it was killed by signal 9; the path is opened again"),
        ("nsu: driver", "nsu: server: driver unit0 {}it was killed by signal 9; it is started again"),
        ("nsu: disk", "nsu: host: disk unit_1: its process {}died and is started again: it was killed by signal 9"),
        ("nsu: server", "nsu: server {}ended: it was killed by signal 9; it is started again"),
        ("nsu: host", "nsu: host {}ended: it was killed by signal 9; it is started again"),
    ],
)
def test_who_is_killed_is_told_once(world: World, title: str, words: str) -> None:
    killed = world.machine.kill_process(title)
    line = wait_for_words(world.machine, f"(pid {killed})")
    before, _, after = words.partition("{}")
    assert line.startswith(before)
    assert line.endswith(after)
    world.machine.wait_for(lambda _: world.machine.pids(title) not in ([], [killed]))
    world.machine.wait_paths(2)
    assert world.machine.log().count(f"(pid {killed})") == 1


def test_a_server_that_is_gone_for_a_while_is_told_by_the_host(world: World) -> None:
    said = world.machine.log()
    assert "nsu: host: the session with box1 has ended: " in said
    assert "nsu: host: all paths to box1 are down: requests wait for one" in said
    assert "nsu: host: a path to box1 is up again, after " in said


def test_what_a_killed_srw_had_moved_is_counted_on(world: World) -> None:
    def written() -> int:
        return int(world.machine.status()["server"]["hosts"][0]["totals"]["written_bytes"])

    before = written()
    with open_disk(at=world.at("unit_1")) as disk:
        for index in range(64):
            disk.pwrite(bytes(4096), index * 4096)
    assert written() == before + 64 * 4096
    for _ in range(2):
        world.machine.kill_process("nsu: srw")
        world.machine.wait_for(lambda status: status["host"]["servers"][0]["paths_up"] < 2)
        world.machine.wait_paths(2)
    assert written() == before + 64 * 4096


def test_a_wrong_login_is_told_on_both_sides(world: World) -> None:
    wrong = write_secret(world.machine.folder / "wrong.key")
    with another_host(world, "box7", secret=wrong) as machine:
        line = wait_for_words(machine, "no session with box1")
        assert line.count("refused") == 1
        assert "LOGIN (host1) and SECRET_FILE of SERVER box1" in line
        assert "SECRET_FILE of SERVER box1" in machine.status()["host"]["servers"][0]["trouble"]
        wait_for_words(world.machine, "login refused from 127.0.0.1: its secret is not that of HOST host1")
    with another_host(world, "box8", login="nobody"):
        wait_for_words(world.machine, "login refused from 127.0.0.1: nsu.conf has no HOST 'nobody' with a SECRET_FILE")


def test_a_host_that_the_nsu_does_not_know_is_told_so(world: World) -> None:
    with Machine() as machine:
        disk = Disk("unit_1", machine.folder / "unit_1.sock")
        machine.start(conf_text("old", machine.state, Server("box1", NETWORKS[:1], world.nsu.config_port, [disk])))
        line = wait_for_words(machine, "no session with box1")
        assert "it has no HOST without a SECRET_FILE that has this host's ADDRESS" in line
        found = machine.status()
        lists = [found[role]["warnings"] for role in ("supervisor", "host")]
        words = {sentence for sentences in lists for sentence in sentences if "0x01" in sentence}
        assert len(words) == 1, "the same thing in the same words, so that it is shown once"
    wait_for_words(world.machine, "went away without a login; it was offered version 0x02")


def test_two_machines_with_one_login_do_not_fight(world: World) -> None:
    with another_host(world, "box2") as machine:
        line = wait_for_words(world.machine, "nsu: host: the session with box1 has ended: another machine")
        assert "another machine logged in as host1 from 127.0.0.1; this one comes again in " in line
        wait_for_words(world.machine, "host1 logged in again, from 127.0.0.1")
        warnings = world.machine.status()["host"]["warnings"]
        assert [words for words in warnings if "another machine logged in as host1 from 127.0.0.1" in words]
        began_s = time.monotonic()
        wait_for_words(machine, "nsu: host: the session with box1 has ended: another machine", 20)
        assert time.monotonic() - began_s > 4, "each gives the other some peace"
        warnings = world.machine.status()["server"]["warnings"]
        assert [words for words in warnings if words.startswith("HOST host1 logs in again and again")]
    world.machine.wait_paths(2)


def test_a_changed_file_says_what_changed_and_a_disk_that_cannot_be_shown_why(world: World) -> None:
    secret = write_secret(world.machine.folder / "host2.key")
    units = [Unit("unit_2", "unit0", 0, 65535, "read-only")]
    world.nsu.hosts.append(Host("host2", units, world.nsu.hosts[0].data_ports, [], secret))
    world.rewrite()
    wait_for_words(world.machine, "nsu: server: the changed nsu.conf is in force: HOST host2 added")
    with Machine() as machine:
        at = machine.folder / "unit_2.sock"
        at.write_text("an ordinary file")
        entry = Server("box1", NETWORKS[:1], world.nsu.config_port, [Disk("unit_2", at)], "host2", secret, 2)
        machine.start(conf_text("box2", machine.state, entry))
        why = f"it can't be shown at {at}: {at} is no socket and stays; name another place, or move it away"
        wait_for_words(machine, f"nsu: host: disk unit_2: {why}; it is tried again")
        for _ in range(20):
            assert machine.status()["host"]["disks"][0]["trouble"] == f"{why}; it is tried again"
            time.sleep(0.05)
        assert machine.log().count("nsu: host: disk unit_2: ") == 1
        at.unlink()
        machine.wait_for(lambda status: status["host"]["disks"][0]["shown"])
        assert machine.status()["host"]["disks"][0]["trouble"] == ""


def test_whoever_waits_for_the_end_is_told_how_long(world: World) -> None:
    """The last test of this file: it ends the module's machine."""
    with open_disk(at=world.at("unit_1")) as disk:
        srws = [psutil.Process(pid) for pid in world.machine.pids("nsu: srw")]
        for srw in srws:
            srw.suspend()
        written = threading.Event()

        def write() -> None:
            disk.pwrite(bytes(4096), 0)
            written.set()

        writer = threading.Thread(target=write)
        writer.start()
        time.sleep(0.2)  # it is in flight
        assert world.machine.supervisor is not None
        world.machine.supervisor.send_signal(signal.SIGTERM)
        line = wait_for_words(world.machine, "draining")
        assert line == "nsu: host: draining: what is in flight is being finished, 10 s at most: unit_1"
        for srw in srws:
            srw.resume()
        writer.join(10)
        assert not writer.is_alive()
        assert written.is_set(), "it was answered"
    assert world.machine.supervisor.wait(10) == 0
