"""Every system call of the data path is made to fail once, at each place where it is made, until no fault fires."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from errno import (
    EAGAIN,
    ECONNABORTED,
    ECONNRESET,
    EINTR,
    EIO,
    EMFILE,
    ENOBUFS,
    ENOSPC,
    EOPNOTSUPP,
    EPIPE,
    ETIMEDOUT,
    errorcode,
)
from pathlib import Path
from typing import NamedTuple

import pytest

from hostside import open_disk
from hostside.client import Disk
from tests.chaos import inject
from tests.chaos.inject import SHORT, SIGNAL, Faults, health_cells
from tests.harness import Machine, World, spawn_world

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

PATHS = 2
KIB, MIB = 1 << 10, 1 << 20
PLAIN_BLOCKS = 8 * MIB >> 9
CHUNKS = 1024
ZEROED_BLOCKS = CHUNKS * MIB >> 9
"""Each round writes to a chunk for the first time: that goes by the array's driver process."""
SETTLED_WITHIN_S = 15.0


class Cost(Enum):
    """What a fault may cost, and no more."""

    NOTHING = "no error, no connection, no process"
    A_PATH = "one path, and the processes at its ends; users see nothing"
    ALL_PATHS = "all paths of the host, for a moment; users see nothing"
    THE_OWNER = "the array's driver process, which is replaced; users see nothing"
    A_CLIENT = "the connection of one of the disk's clients"
    A_REQUEST = "one request, with an error; the drive is well"
    THE_MAP = "flushes of a ZERO partition: EIO until the next start"
    THE_DRIVE = "the drive: EIO to whoever uses it, for good"


INVISIBLE = (Cost.NOTHING,)
PATH_ENDS = {"agent", "srw"}


class Row(NamedTuple):
    """In processes of `role`, `call` fails with `fault` (an errno, SHORT or SIGNAL); that costs one of `costs`."""

    role: str
    call: str
    fault: int
    costs: tuple[Cost, ...]
    anew: bool = False
    """Paths are opened anew in each round: for calls that are made when one opens."""


ROWS = [
    # The server's end of a path: its socket, the drives, and the way to the array's driver process.
    *(Row("srw", "recv_into", fault, INVISIBLE) for fault in (EAGAIN, SHORT, SIGNAL)),
    *(Row("srw", "sendmsg", fault, INVISIBLE) for fault in (EAGAIN, SHORT, SIGNAL)),
    *(Row("srw", "recv_into", fault, (Cost.A_PATH,)) for fault in (ECONNRESET, ETIMEDOUT)),
    *(Row("srw", "sendmsg", fault, (Cost.A_PATH,)) for fault in (EPIPE, ENOBUFS)),
    Row("srw", "sendall", EPIPE, (Cost.A_PATH,), anew=True),
    Row("srw", "preadv", SHORT, INVISIBLE),
    Row("srw", "preadv", EIO, (Cost.A_REQUEST,)),
    Row("srw", "pwritev", SHORT, INVISIBLE),
    Row("srw", "pwritev", EIO, (Cost.THE_DRIVE,)),
    # The sync half of a durable write found no room: what was taken earlier may be lost.
    Row("srw", "pwritev", ENOSPC, (Cost.A_REQUEST, Cost.THE_DRIVE)),
    *(Row("srw", "fdatasync", fault, (Cost.THE_DRIVE,)) for fault in (EIO, ENOSPC)),
    *(Row("srw", "fallocate", fault, INVISIBLE) for fault in (EINTR, EOPNOTSUPP)),
    Row("srw", "fallocate", EIO, (Cost.A_REQUEST, Cost.THE_DRIVE)),  # a TRIM, a WRITE ZEROES
    Row("srw", "fallocate", ENOSPC, (Cost.A_REQUEST,)),
    *(Row("srw", call, EAGAIN, INVISIBLE) for call in ("read", "write")),
    Row("srw", "poll", SIGNAL, INVISIBLE),
    # The host's end.
    *(Row("agent", "recvmsg_into", fault, INVISIBLE) for fault in (EAGAIN, SHORT, SIGNAL)),
    *(Row("agent", "sendmsg", fault, INVISIBLE) for fault in (EAGAIN, SHORT, SIGNAL)),
    *(Row("agent", "recvmsg_into", fault, (Cost.A_PATH,)) for fault in (ECONNRESET, ETIMEDOUT)),
    *(Row("agent", "sendmsg", fault, (Cost.A_PATH,)) for fault in (EPIPE, ENOBUFS)),
    *(Row("agent", "connect", fault, (Cost.A_PATH,), anew=True) for fault in (ETIMEDOUT, ECONNRESET)),
    Row("agent", "sendall", EPIPE, (Cost.A_PATH,), anew=True),
    Row("agent", "recv", ECONNRESET, (Cost.A_PATH,), anew=True),
    Row("agent", "recv", SHORT, INVISIBLE, anew=True),
    *(Row("agent", "read", fault, INVISIBLE) for fault in (EAGAIN, SHORT)),
    Row("agent", "write", EAGAIN, (Cost.NOTHING, Cost.A_PATH)),
    Row("agent", "poll", SIGNAL, INVISIBLE),
    # The disk: its clients, and the queues to and from the agents.
    *(
        Row("disk", call, fault, INVISIBLE)
        for call in ("recv_into", "recvmsg_into", "sendmsg")
        for fault in (EAGAIN, SHORT, SIGNAL)
    ),
    # One that was saying goodbye does not mind.
    *(
        Row("disk", call, ECONNRESET, (Cost.A_CLIENT, Cost.NOTHING))
        for call in ("recv_into", "recvmsg_into", "sendmsg")
    ),
    *(Row("disk", "accept", fault, INVISIBLE) for fault in (EAGAIN, ECONNABORTED, EMFILE, SIGNAL)),
    *(Row("disk", "read", fault, INVISIBLE) for fault in (EAGAIN, SHORT)),
    Row("disk", "write", EAGAIN, INVISIBLE),
    Row("disk", "poll", SIGNAL, INVISIBLE),
    # The owner of an array.
    *(Row("driver", "read", fault, INVISIBLE) for fault in (EAGAIN, SHORT)),
    Row("driver", "write", EAGAIN, (Cost.THE_OWNER,)),
    Row("driver", "poll", SIGNAL, INVISIBLE),
    Row("driver", "pwritev", SHORT, INVISIBLE),
    Row("driver", "pwritev", EIO, (Cost.THE_DRIVE,)),
    Row("driver", "pwritev", ENOSPC, (Cost.A_REQUEST, Cost.THE_DRIVE)),
    Row("driver", "fdatasync", EIO, (Cost.THE_DRIVE, Cost.THE_MAP)),
    Row("driver", "pwrite", SHORT, INVISIBLE),
    *(Row("driver", "pwrite", fault, (Cost.THE_MAP,)) for fault in (EIO, ENOSPC)),
    Row("driver", "fallocate", EINTR, INVISIBLE),
    Row("driver", "fallocate", EIO, (Cost.THE_DRIVE,)),
    Row("driver", "fallocate", ENOSPC, (Cost.A_REQUEST,)),
    # Those who open and fence the paths.
    *(Row("host", "recv", fault, INVISIBLE, anew=True) for fault in (EAGAIN, SHORT)),
    Row("host", "recv", ECONNRESET, (Cost.ALL_PATHS,), anew=True),
    Row("host", "send", EPIPE, (Cost.ALL_PATHS,), anew=True),
    Row("host", "poll", SIGNAL, INVISIBLE, anew=True),
    *(Row("server", "recv", fault, INVISIBLE, anew=True) for fault in (EAGAIN, SHORT)),
    *(Row("server", "send", fault, INVISIBLE, anew=True) for fault in (EAGAIN, SHORT)),
    Row("server", "recv", ECONNRESET, (Cost.A_PATH, Cost.ALL_PATHS), anew=True),
    Row("server", "send", EPIPE, (Cost.ALL_PATHS,), anew=True),
    *(Row("server", "accept", fault, INVISIBLE, anew=True) for fault in (EAGAIN, ECONNABORTED, EMFILE)),
    Row("server", "poll", SIGNAL, INVISIBLE, anew=True),
]


@dataclass
class Outcome:
    """What a user saw of one round."""

    errors: list[int] = field(default_factory=list)
    lost: int = 0
    """Connections."""


class User:
    """Does one of each thing, on both disks; comes back where a connection is lost; compares all it reads."""

    def __init__(self, world: World, outcome: Outcome, number: int) -> None:
        self.world = world
        self.outcome = outcome
        self.chunk = number % CHUNKS * MIB
        self.disks: dict[str, Disk] = {}

    def work(self) -> None:
        data, small = os.urandom(260 * KIB), os.urandom(512)
        self.do("plain", lambda disk: disk.pwrite(data, 0))
        self.do("plain", lambda disk: disk.pwrite(small, 300 * KIB, fua=True))
        self.do("plain", lambda disk: disk.trim(512 * KIB, 64 * KIB))
        self.do("plain", lambda disk: disk.write_zeroes(300 * KIB + 512, 64 * KIB))
        self.do("plain", lambda disk: disk.flush())
        self.do("zeroed", lambda disk: disk.pwrite(small, self.chunk + 4096))
        self.do("zeroed", lambda disk: disk.flush())
        self.compare("plain", 0, data)
        self.compare("plain", 300 * KIB, small + bytes(64 * KIB))
        self.compare("zeroed", self.chunk, bytes(4096) + small + bytes(4096))

    def do(self, name: str, act: Callable[[Disk], object]) -> None:
        until_s = time.monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                if name not in self.disks:
                    self.disks[name] = open_disk(at=self.world.at(name))
                act(self.disks[name])
                return
            except (ConnectionError, FileNotFoundError):
                self.outcome.lost += 1
                if name in self.disks:
                    self.disks.pop(name).close()
                assert time.monotonic() < until_s, "the disk does not come back"
                time.sleep(0.005)
            except OSError as error:
                self.outcome.errors.append(error.errno or 0)
                return

    def compare(self, name: str, offset_bytes: int, data: bytes) -> None:
        """What is read is right, unless something of this round has failed and said so."""

        def read(disk: Disk) -> None:
            found = disk.pread(len(data), offset_bytes)
            assert found == data or self.outcome.errors, f"wrong data on {name} at byte {offset_bytes}"

        self.do(name, read)

    def leave(self) -> None:
        for disk in self.disks.values():
            disk.close()


class Bench:
    """The machine under test, and its rounds."""

    def __init__(self, world: World, faults: Faults) -> None:
        self.world = world
        self.machine = world.machine
        self.faults = faults
        self.health = health_cells(faults.path.with_suffix(".health"))
        self.rounds = 0

    def round(self, row: Row, nth: int) -> bool:
        """Do one round with this fault armed; give whether it fired. AssertionError: it cost what it must not."""
        self.machine.wait_paths(PATHS, SETTLED_WITHIN_S)
        before, outcome = self.machine.processes(), Outcome()
        user = User(self.world, outcome, self.rounds)
        self.rounds += 1
        self.faults.arm(row.role, row.call, nth, row.fault)
        try:
            if row.anew:
                self.renew_paths()
            user.work()
        finally:
            self.faults.disarm()
            user.leave()
        if not self.faults.fired:
            assert not outcome.errors
            return False
        self.machine.wait_paths(PATHS, SETTLED_WITHIN_S)
        self.wait_for_owner()
        costs = self.costs(before, outcome, anew=row.anew) & set(row.costs)
        assert costs, f"{row}, time {nth}: {outcome}, before {before}, after {self.machine.processes()}"
        if Cost.THE_DRIVE in costs:
            self.check_failed_for_good()
            self.health[0] = 0
            self.forget_failure()
        if Cost.THE_MAP in costs:
            self.restart_server()
        return True

    def renew_paths(self) -> None:
        killed = self.machine.kill_process("nsu: agent")
        self.machine.wait_for(lambda _: len(set(self.machine.pids("nsu: agent")) - {killed}) == PATHS)
        self.machine.wait_paths(PATHS, SETTLED_WITHIN_S)

    def restart_server(self) -> None:
        former = set(self.machine.pids("nsu: srw"))
        self.machine.kill_process("nsu: server")
        self.machine.wait_for(lambda _: len(set(self.machine.pids("nsu: srw")) - former) == PATHS)

    def forget_failure(self) -> None:
        """What people do when they have seen to a drive."""
        (note,) = (self.machine.state / "failed").iterdir()
        note.unlink()

    def wait_for_owner(self) -> None:
        self.machine.wait_for(lambda _: self.machine.pids("nsu: driver"))

    def costs(self, before: dict[int, str], outcome: Outcome, *, anew: bool) -> set[Cost]:
        """Say what this may be called; nothing: something worse."""
        after = self.machine.processes()
        gone = {title.split()[1] for pid, title in before.items() if pid not in after}
        if self.health[0]:
            return {Cost.THE_DRIVE} if set(outcome.errors) == {EIO} and not gone else set()
        if outcome.errors:
            one = {Cost.A_REQUEST} if len(outcome.errors) == 1 else set()
            broken = {Cost.THE_MAP} if set(outcome.errors) == {EIO} else set()
            return one | broken if not gone | {outcome.lost} - {0} else set()
        if outcome.lost:
            return {Cost.A_CLIENT} if outcome.lost == 1 and not gone else set()
        if gone == {"driver"}:
            return {Cost.THE_OWNER}
        if gone - PATH_ENDS:
            return set()
        return {Cost.NOTHING, Cost.A_PATH, Cost.ALL_PATHS} if anew or not gone else {Cost.A_PATH, Cost.ALL_PATHS}

    def check_failed_for_good(self) -> None:
        """The fault fired once, and nothing would fail any more: but what was lost stays lost."""
        status = self.machine.status()["server"]
        assert [drive["state"] for array in status["arrays"] for drive in array["drives"]] == ["failed"]
        outcome = Outcome()
        user = User(self.world, outcome, self.rounds)
        user.work()
        user.leave()
        assert outcome.errors == [EIO] * len(outcome.errors)
        assert len(outcome.errors) >= 9, "something was done on a drive that has failed"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    units = {"plain": PLAIN_BLOCKS, "zeroed": ZEROED_BLOCKS}
    files: list[Faults] = []

    def prepare(machine: Machine) -> None:
        files.append(Faults(machine.folder / "faults"))
        machine.program = [str(Path(inject.__file__)), str(files[0].path)]

    with spawn_world(units=units, zero=["zeroed"], paths=PATHS, prepare=prepare) as world:
        yield Bench(world, files[0])


def sweep(bench: Bench, row: Row, times_max: int) -> int:
    """Fail the call the first time, the second, and so on until it is not made so often; give how often it was."""
    for nth in range(1, times_max + 1):
        if not bench.round(row, nth):
            return nth - 1
    return times_max


TIMES_MAX = 2
"""In a short run; `make soak` goes on until no fault fires."""
TIMES_MAX_EVER = 1000


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.role}-{row.call}-{errorcode.get(row.fault, row.fault)}")
def test_each_fault_costs_no_more_than_it_must(bench: Bench, row: Row) -> None:
    points = sweep(bench, row, TIMES_MAX)
    assert points, "this call is never made: the table is out of date"
    print(f"{points} fault points")


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_every_call_of_the_data_path_fails_once(bench: Bench) -> None:
    points = {row: sweep(bench, row, TIMES_MAX_EVER) for row in ROWS}
    assert all(points.values()), points
    print(f"{sum(points.values())} fault points in {len(points)} rows of (role, call, fault): each costs what it must")
