"""PostgreSQL on ext4 on /dev/loopN: what it has committed is neither lost nor bent, though agents and it itself die.

The books of pgbench must balance: each transaction adds one amount to an account, a teller and a branch, and a row to
the history. The server dies without a checkpoint, and its file system is mounted anew before it recovers: what it
finds then has gone through the whole chain.
"""

import re
import time

import pytest

from tests.harness import World
from tests.harness.block_devices import spawn_block_devices
from tests.harness.file_systems import check_file_system, make_file_system, mounted
from tests.harness.postgres import NEEDS_POSTGRES, Postgres
from tests.hostside.frontends.file_server import NEEDS_LOOP
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(300), NEEDS_LOOP, NEEDS_POSTGRES, needs("mkfs.ext4")]

BLOCKS = 640 << 20 >> 9
SCALE = 4
"""Hundreds of thousands of accounts."""
CLIENTS = 8
PATHS = 4
PAUSE_S = 0.5
"""Between the return of one path and the death of the next agent."""
SOAK_S = 300
BOOKS = """SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts)
    AND sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers)
    AND sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches) FROM pgbench_history"""


@pytest.mark.parametrize(
    "seconds", [8, pytest.param(SOAK_S, marks=[pytest.mark.soak, pytest.mark.timeout(4 * SOAK_S)])]
)
def test_the_books_balance_after_killed_agents_and_a_crash(seconds: int) -> None:
    with spawn_block_devices({"unit_1": BLOCKS}) as world:
        device = world.at("unit_1")
        make_file_system("ext4", device)
        with mounted(device) as folder, Postgres(folder / "postgres") as postgres:
            postgres.run("pgbench", "-i", "-q", "-s", str(SCALE))
            committed, killed = load(world, postgres, seconds)
            postgres.crash()
        with mounted(device) as folder, Postgres(folder / "postgres") as postgres:
            assert postgres.ask(BOOKS) == f"{committed}|t"
            postgres.run("pg_amcheck", "--install-missing", "--all", "--heapallindexed", "--parent-check")
        with mounted(device) as folder:
            postgres.run("pg_checksums", "--check", "-D", str(folder / "postgres" / "data"))
        check_file_system("ext4", device)
    print(f"{committed} transactions of PostgreSQL in {seconds} s, {killed} agents killed")
    assert killed >= 2


def load(world: World, postgres: Postgres, seconds: int) -> tuple[int, int]:
    """Give how many transactions were committed, and how many agents were killed meanwhile."""
    bench = postgres.popen("pgbench", "-n", "-c", str(CLIENTS), "-T", str(seconds))
    killed = 0
    try:
        while bench.poll() is None:
            world.machine.kill_process("nsu: agent", killed % PATHS)
            killed += 1
            world.machine.wait_paths(PATHS)
            time.sleep(PAUSE_S)
        told, _ = bench.communicate(timeout=seconds)
    finally:
        bench.kill()
    committed = re.search(r"actually processed: (\d+)", told)
    assert bench.returncode == 0, told
    assert committed is not None, told
    return int(committed[1]), killed
