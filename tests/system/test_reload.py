"""Proves that a changed nsu.conf disturbs whom it concerns, and that even their I/O goes on without an error."""

import random
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostside import open_disk
from tests.harness import Host, Unit, World, free_ports, spawn_world
from tests.system.independent_v1_host import Closed, Neighbour, Session, log_in

pytestmark = [pytest.mark.system, pytest.mark.timeout(60)]

HERE, THERE = "127.0.0.1", "127.0.0.3"
BLOCKS = 8192
SEEN_S = 5.0
"""A changed nsu.conf is looked for once a second, on a busy machine a little later."""


class Load:
    """Writes, reads back and compares over a disk, in a thread; the first error of any kind ends it."""

    def __init__(self, at: Path, *, blocks: int) -> None:
        self.rounds = 0
        self.failure: Exception | None = None
        self._at, self._blocks = at, blocks
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        luck = random.Random(1)
        try:
            with open_disk(at=self._at) as disk:
                while not self._stop.wait(0.002):
                    lba = luck.randrange(self._blocks - 256)
                    data = luck.randbytes(512 * luck.randint(1, 256))
                    disk.pwrite(data, lba * 512)
                    assert disk.pread(len(data), lba * 512) == data
                    disk.flush()
                    self.rounds += 1
        except Exception as error:  # noqa: BLE001  (outermost line of the thread: told by `check`)
            self.failure = error

    def check(self) -> None:
        """It goes on, and nothing has failed."""
        goal, until_s = self.rounds + 3, time.monotonic() + 5
        while self.failure is None and self.rounds < goal and time.monotonic() < until_s:
            time.sleep(0.01)
        if self.failure is not None:
            raise AssertionError("an error reached the application") from self.failure
        assert self.rounds >= goal, "it stands still"

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


@contextmanager
def loaded(world: World) -> Iterator[Load]:
    load = Load(world.at("unit_1"), blocks=BLOCKS)
    try:
        load.check()
        yield load
        load.check()
    finally:
        load.close()


@pytest.fixture(scope="module", params=[2, 1], ids=["v2", "v1"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with spawn_world(units={"unit_1": BLOCKS}, version=request.param) as world:
        port = free_ports(1)[0]
        # Behind what unit_1 may grow into; one unit is shared out to a host that is not ours.
        unit = Unit("theirs", "unit0", BLOCKS + 1024, BLOCKS + 1024 + 255)
        world.nsu.hosts.append(Host("other", [unit], [(HERE, port, 2)], [THERE]))
        change(world)
        yield world
        assert "Traceback" not in world.machine.log(), world.machine.log()


@pytest.fixture(autouse=True)
def _all_paths_are_up(world: World) -> None:
    wait_paths(world)


def server_status(world: World) -> dict[str, Any]:
    status: dict[str, Any] = world.machine.status()["server"]
    return status


def cookie(world: World) -> int:
    return int(server_status(world)["cookie"])


def change(world: World) -> None:
    """Write nsu.conf, and wait until the server has taken it."""
    before = cookie(world)
    world.rewrite()
    look_now(world)
    world.machine.wait_for(lambda status: status["server"]["cookie"] != before, SEEN_S)


def look_now(world: World) -> None:
    """Have the server look at its file at once, as an administrator in a hurry does."""
    assert world.machine.supervisor is not None
    world.machine.supervisor.send_signal(signal.SIGHUP)


def session_of(world: World, host: str) -> tuple[int, set[int]]:
    """(number, pids of its SRWs)"""
    (session,) = [one for one in server_status(world)["sessions"] if one["host"] == host]
    return session["session"], {srw["pid"] for srw in session["srws"]}


def wait_paths(world: World) -> None:
    world.machine.wait_paths(world.paths)


@contextmanager
def other_host(world: World) -> Iterator[tuple[Session, Neighbour]]:
    """The other host at work; an independent one, that speaks 0x01."""
    session = log_in(HERE, world.nsu.config_port, source_address=THERE)
    neighbour = Neighbour(session, blocks=128)
    try:
        yield session, neighbour
    finally:
        neighbour.close()


def test_a_unit_grows_under_load(world: World) -> None:
    number, pids = session_of(world, "host1")
    with loaded(world), other_host(world) as (_, neighbour):
        for _ in range(2):
            world.nsu.hosts[0].units[0].last_lba += 256
            change(world)
            wait_paths(world)
        after, renewed = session_of(world, "host1")
        if world.nsu.hosts[0].secret_file:
            assert after == number, "0x02 is told, and its session stays"
        else:
            assert after != number, "0x01 is cut off, and comes back"
        assert not pids & renewed, "no SRW goes by the old size"
        neighbour.check_undisturbed(slowest_s=2.0)
    blocks = world.nsu.hosts[0].units[0].last_lba + 1
    with open_disk(at=world.at("unit_1")) as disk:
        assert disk.size_bytes == blocks * 512
        disk.pwrite(b"grown" * 1024, (blocks - 10) * 512)
        assert disk.pread(5120, (blocks - 10) * 512) == b"grown" * 1024


def test_another_host_changes(world: World) -> None:
    before = session_of(world, "host1")
    with loaded(world), other_host(world) as (session, neighbour):
        world.nsu.hosts[1].units[0].last_lba -= 8
        change(world)
        session.config.until_closed(SEEN_S)  # note 3
        with pytest.raises(AssertionError, match="disturbed"):
            neighbour.check_undisturbed(slowest_s=2.0)
        assert isinstance(neighbour.failure, Closed)
    assert session_of(world, "host1") == before, "whom it does not concern keeps session and SRWs"


def test_the_cookie_tells_a_change_from_a_comment(world: World) -> None:
    was = cookie(world)
    with log_in(HERE, world.nsu.config_port, source_address=THERE) as session:
        world.machine.conf.write_text(world.machine.conf.read_text() + "\n# a comment\n")
        look_now(world)
        world.nsu.hosts[0].units[0].last_lba += 1
        change(world)
        assert session.config.starttime() == cookie(world) == (was + 1) & 0xFFFFFFFF, "one change, not two"


def seen(world: World, words: str) -> bool:
    """Have the server look; whether its log says that soon."""
    look_now(world)
    until_s = time.monotonic() + SEEN_S
    while words not in world.machine.log():
        if time.monotonic() > until_s:
            return False
        time.sleep(0.01)
    return True


BAD = {
    "not understood": "HOST nobody\n  COLOUR = red\n",
    "cut off in the middle": "HOST",
    "a unit beyond the drive": "",
}


TOLD = {
    "not understood": "COLOUR",
    "cut off in the middle": "HOST",
    "a unit beyond the drive": "is beyond unit0, whose last block is",
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_disturbs_nobody_and_is_told(world: World, what: str) -> None:
    before, was = session_of(world, "host1"), cookie(world)
    good = world.machine.conf.read_text()
    bad = good + BAD[what]
    if not BAD[what]:
        # Without the drive's size in the file only the server can know that.
        bad = re.sub(r"drive0\.img\(\w+\)", "drive0.img", good)
        bad = re.sub(rf"\({BLOCKS + 1024},\d+\)", f"({BLOCKS + 1024},{BLOCKS << 10})", bad)
    with loaded(world):
        world.machine.conf.write_text(bad)
        assert seen(world, TOLD[what])
        assert (session_of(world, "host1"), cookie(world)) == (before, was)
        world.machine.conf.write_text(good)
        look_now(world)
    assert (session_of(world, "host1"), cookie(world)) == (before, was)


def test_a_host_that_comes_and_goes(world: World) -> None:
    before = session_of(world, "host1")
    port = free_ports(1)[0]
    unit = Unit("fresh", "unit0", BLOCKS + 1536, BLOCKS + 1536 + 7)
    with loaded(world):
        world.nsu.hosts.append(Host("fresh", [unit], [(HERE, port, 1)], ["127.0.0.4"]))
        change(world)
        with log_in(HERE, world.nsu.config_port, source_address="127.0.0.4") as session, session.open_data() as data:
            assert session.capacities_bytes == [8 * 512]
            assert data.write(0, 0, b"f" * 512).status == 0
            world.nsu.hosts.pop()
            change(world)
            assert session.config.until_closed(SEEN_S) == b""
            assert data.until_closed(SEEN_S) == b""
    assert session_of(world, "host1") == before


@pytest.mark.parametrize("world", [2], ids=["v2"], indirect=True)  # 0x01 knows units by their number alone
def test_a_renumbered_unit_is_found_again_by_its_name(world: World) -> None:
    """No request of the old numbering reaches the unit that has the number now (trap 24)."""
    with open_disk(at=world.at("unit_1")) as disk:
        disk.pwrite(b"mine" * 128, 0)
    units = world.nsu.hosts[0].units
    units.insert(0, Unit("first", "unit0", BLOCKS + 1792, BLOCKS + 1799))
    change(world)
    wait_paths(world)
    assert read_when_shown(world) == b"mine" * 128
    units.pop(0)
    change(world)
    wait_paths(world)
    assert read_when_shown(world) == b"mine" * 128


def read_when_shown(world: World) -> bytes:
    """The disk's process may just be changing."""
    until_s = time.monotonic() + SEEN_S
    while True:
        try:
            with open_disk(at=world.at("unit_1")) as disk:
                return disk.pread(512, 0)
        except OSError:
            if time.monotonic() > until_s:
                raise
            time.sleep(0.02)
