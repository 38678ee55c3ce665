"""Proves the host process with real children and a real NSU: a dead or stopped child costs the users of the others
nothing, what was acknowledged is there, and SIGTERM ends all of it in order.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from hostside.client import open_disk
from hostside.host import run_host
from hostside.settings import DiskSettings, HostRoleSettings, ServerEntry
from ipc.child import Child, Life, fork_child
from ipc.control import ControlError, control_call
from ipc.counters import CounterTable
from ipc.exits import Exit
from protocol.timers import FOUND_WITHIN_S
from tests.harness import spawn_server

pytestmark = pytest.mark.system

NAMES = ("unit_1", "unit_2")
PATHS = 2


@dataclass
class Host:
    """A host role of the test's own, beside an NSU."""

    folder: Path
    child: Child

    def at(self, disk: str) -> Path:
        return self.folder / f"{disk}.sock"

    def status(self) -> dict[str, Any]:
        return control_call(self.folder / "state" / "host.sock", "status")

    def disk(self, name: str) -> dict[str, Any]:
        return next(disk for disk in self.status()["disks"] if disk["name"] == name)

    def until(self, holds: Callable[[], object], timeout_s: float = 15.0) -> None:
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                if holds():
                    return
            except ControlError:
                pass  # it begins
            assert time.monotonic() < until_s, f"it did not come true: {self.status()}"
            time.sleep(0.01)

    def is_up(self) -> bool:
        status = self.status()
        up = [server["paths_up"] for server in status["servers"]]
        return up == [PATHS] and all(disk["shown"] for disk in status["disks"])

    def is_back(self, name: str, killed: int) -> bool:
        return self.disk(name)["pid"] not in (None, killed) and self.is_up()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("h")
    with spawn_server(units=dict.fromkeys(NAMES, 4096)) as server:
        disks = tuple(DiskSettings(name, n, "socket", folder / f"{name}.sock") for n, name in enumerate(NAMES))
        entry = ServerEntry("box1", ("127.0.0.1",), server.config_port, "host1", None, PATHS, None, disks)
        settings = HostRoleSettings("m1", folder / "state", (entry,))

        def main(life: Life) -> int:
            return run_host(life, settings)

        host = Host(folder, fork_child("nsu: host", main, hearts=CounterTable(1, ("beat",)), heart_row=0))
        host.until(host.is_up)
        yield host
        host.child.kill_and_reap()
        host.child.close()


class Load:
    """Writes and reads one disk without a pause, and remembers what went wrong."""

    def __init__(self, at: Path) -> None:
        self.at = at
        self.done = 0
        self.errors: list[Exception] = []
        self.stop = False
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        try:
            with open_disk(at=self.at) as disk:
                while not self.stop:
                    data = self.done.to_bytes(8, "big") * 512
                    disk.pwrite(data, self.done % 400 * 4096)
                    assert disk.pread(4096, self.done % 400 * 4096) == data
                    self.done += 1
        except (OSError, AssertionError) as error:
            self.errors.append(error)

    def __enter__(self) -> "Load":
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop = True
        self.thread.join(20)
        assert not self.thread.is_alive()


def test_a_killed_disk_comes_back_and_its_sister_sees_nothing_but_a_pause(host: Host) -> None:
    with open_disk(at=host.at("unit_1")) as disk:
        disk.pwrite(b"kept" * 1024, 4096)
    killed = host.disk("unit_1")["pid"]
    with Load(host.at("unit_2")) as load:
        psutil.Process(killed).kill()
        host.until(lambda: host.is_back("unit_1", killed))
        before = load.done
        host.until(lambda: load.done > before + 5)
    assert load.errors == []
    with open_disk(at=host.at("unit_1")) as disk:
        assert disk.pread(4096, 4096) == b"kept" * 1024


def test_a_stopped_disk_is_killed_and_replaced(host: Host) -> None:
    """A stopped process hears nothing, holds slots, and would keep its users waiting for ever."""
    stopped = host.disk("unit_1")["pid"]
    with Load(host.at("unit_2")) as load:
        began_s = time.monotonic()
        psutil.Process(stopped).suspend()
        host.until(lambda: host.disk("unit_1")["pid"] != stopped)
        assert time.monotonic() - began_s < FOUND_WITHIN_S
        host.until(lambda: host.is_back("unit_1", stopped))
    assert load.errors == []
    with open_disk(at=host.at("unit_1")) as disk:
        disk.pwrite(bytes(512), 0)


def test_a_stopped_agent_is_killed_and_its_path_opened_again(host: Host) -> None:
    def agents() -> list[int]:
        return [path["pid"] for path in host.status()["servers"][0]["paths"]]

    stopped = agents()[0]
    with Load(host.at("unit_2")) as load:
        psutil.Process(stopped).suspend()
        host.until(lambda: host.is_up() and stopped not in agents())
    assert load.errors == []


def test_disks_are_told_where_open_disk_asks(host: Host) -> None:
    with open_disk("unit_2", state_dir=host.folder / "state") as disk:
        assert disk.size_bytes == 4096 * 512


def test_sigterm_drains_and_leaves_nothing(host: Host) -> None:
    """The last test of this file: it ends the module's host."""
    family = psutil.Process(host.child.pid).children(recursive=True)
    acknowledged = -1
    with Load(host.at("unit_1")) as load:
        host.until(lambda: load.done > 20)
        host.child.signal(signal.SIGTERM)
        assert host.child.wait(15) == Exit.OK
        acknowledged = load.done
    assert acknowledged > 20
    assert len(load.errors) == 1  # its disk went
    assert isinstance(load.errors[0], OSError)
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert [path for path in host.folder.rglob("*") if path.is_socket()] == []
