"""One host's failure is its own: while it behaves badly, another host's p99 stays what it was, measured in turns."""

import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import pytest

from hostside import open_disk
from hostside.client import Disk
from tests.chaos.bad_host import KINDS, LOGIN
from tests.chaos.bad_host import PATHS as BAD_PATHS
from tests.harness import Disk as DiskBlock
from tests.harness import Host, Machine, Nsu, Server, Unit, conf_text, free_ports, write_secret
from tests.system.test_noise import state_of

pytestmark = [pytest.mark.system, pytest.mark.timeout(120)]

REPOSITORY = Path(__file__).parents[2]
BLOCKS = 32 << 20 >> 9
PIECE_BYTES = 4096
PATHS = 2
DESCRIPTORS_MAX = 300
"""Of the server, which has about a hundred for itself here, and 64 at most for strangers at each port."""


@dataclass
class Site:
    """A server, a good host's disk, and what a bad host needs to log in."""

    server: Machine
    at: Path
    config_port: int
    bad_secret: Path

    @property
    def server_pid(self) -> int:
        return self.server.pids("nsu: server")[0]

    @contextmanager
    def bad_host(self, kind: str) -> Iterator[None]:
        """Let it behave badly meanwhile."""
        where = ["127.0.0.1", str(self.config_port), str(self.bad_secret)]
        command = [sys.executable, "-m", "tests.chaos.bad_host", kind, *where]
        bad = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY)
        assert bad.stdout is not None
        try:
            assert bad.stdout.readline() == b"begun\n"
            yield
            assert bad.poll() is None, "it was to go on"
        finally:
            bad.kill()
            bad.communicate()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with ExitStack() as stack:
        server, good = (stack.enter_context(Machine()) for _ in range(2))
        config_port, data_port = free_ports(2)
        names = ("good", LOGIN)
        secrets = {name: write_secret(server.folder / f"{name}.key") for name in names}
        ports = {"good": [("127.0.0.1", data_port, PATHS)], LOGIN: [("127.0.0.1", data_port, BAD_PATHS)]}
        hosts = [
            Host(name, [Unit("disk", "unit0", at * BLOCKS, (at + 1) * BLOCKS - 1)], ports[name], (), secrets[name])
            for at, name in enumerate(names)
        ]
        drives = [(server.folder / "drive0.img", f"{2 * BLOCKS * 512 >> 20}MiB")]
        nsu = Nsu("box1", config_port, {"unit0": ("jbod", drives)}, hosts)
        server.start(conf_text("box1", server.state, nsu))
        server.wait_for(lambda status: status["server"])
        at = good.folder / "disk.sock"
        block = Server("box1", ["127.0.0.1"], config_port, [DiskBlock("disk", at)], "good", secrets["good"], PATHS)
        good.start(conf_text("good", good.state, block))
        good.wait_paths(PATHS)
        yield Site(server, at, config_port, secrets[LOGIN])


def latencies_s(disk: Disk, seconds: float, luck: random.Random) -> list[float]:
    """Read and write pieces one at a time for so long."""
    data, found = luck.randbytes(PIECE_BYTES), []
    until_s = time.perf_counter() + seconds
    while (began_s := time.perf_counter()) < until_s:
        at = luck.randrange(BLOCKS * 512 // PIECE_BYTES) * PIECE_BYTES
        if luck.random() < 0.5:
            disk.pwrite(data, at)
        else:
            disk.pread(PIECE_BYTES, at)
        found.append(time.perf_counter() - began_s)
    return found


def p99_s(samples: list[float]) -> float:
    return quantiles(samples, n=100)[98]


def measure(site: Site, kind: str, turns: int, seconds: float) -> tuple[float, float]:
    """Give the p99 alone and beside the bad host, in turns, so that a busy machine is busy for both."""
    luck = random.Random(1)
    alone: list[float] = []
    beside: list[float] = []
    with open_disk(at=site.at) as disk:
        latencies_s(disk, 0.1, luck)
        for _ in range(turns):
            alone += latencies_s(disk, seconds, luck)
            with site.bad_host(kind):
                beside += latencies_s(disk, seconds, luck)
                assert state_of(site.server_pid).descriptors < DESCRIPTORS_MAX
    figures = f"{p99_s(beside) * 1e3:.2f} ms, alone {p99_s(alone) * 1e3:.2f} ms"
    print(f"beside a host of the kind {kind}: p99 of 4 KiB {figures} ({len(beside)} and {len(alone)} requests)")
    return p99_s(alone), p99_s(beside)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_host_holds_up_nobody_else(site: Site, kind: str) -> None:
    """With room for a machine that has other things to do: what is held up waits for seconds, not milliseconds."""
    alone_s, beside_s = measure(site, kind, 1, 0.5)
    assert beside_s < 10 * alone_s + 0.25


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_beside_a_bad_host_p99_is_within_twice_its_value(site: Site, kind: str) -> None:
    alone_s, beside_s = measure(site, kind, 20, 0.5)
    assert beside_s < 2 * alone_s
