"""kill -9 of any reader/writer process under a verifying load: no error above, right data, the path back within 2 s."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.harness import World, spawn_world
from tests.programs import needs

pytestmark = [pytest.mark.system, pytest.mark.timeout(180)]

BACK_WITHIN_S = 2.0


@pytest.fixture(scope="module", params=[1, 2], ids=["v1", "v2"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with spawn_world(units={"unit_1": 131_072}, paths=4, version=request.param) as world:
        yield world


def start_fio(world: World, *, seconds: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            "fio", "--name=verify", "--ioengine=nbd", f"--uri={world.uri('unit_1')}", "--rw=randwrite",
            "--bssplit=4k/60:64k/20:256k/20", "--iodepth=32", "--size=48M", "--verify=crc32c", "--verify_fatal=1",
            "--verify_backlog=256", "--serialize_overlap=1", "--time_based", f"--runtime={seconds}",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@needs("fio")
@pytest.mark.parametrize("title", ["nsu: agent", "nsu: srw"])
def test_a_killed_reader_writer_costs_nobody_anything(world: World, title: str) -> None:
    fio = start_fio(world, seconds=5)
    try:
        time.sleep(1.0)  # the load is under way
        for number in range(3):
            killed = world.machine.kill_process(title, number % 4)

            def is_back(status: dict[str, object], killed: int = killed) -> bool:
                return killed not in world.machine.pids(title) and paths_up(status) == 4

            assert world.machine.wait_for(is_back, BACK_WITHIN_S + 1) < BACK_WITHIN_S
            time.sleep(0.3)
        told, _ = fio.communicate(timeout=60)
    finally:
        fio.kill()
    assert fio.returncode == 0, told
    assert "err= 0" in told


@needs("fio")
def test_a_killed_driver_process_is_replaced(world: World) -> None:
    fio = start_fio(world, seconds=2)
    killed = world.machine.kill_process("nsu: driver")
    told, _ = fio.communicate(timeout=60)
    assert fio.returncode == 0, told
    world.machine.wait_for(lambda _: world.machine.pids("nsu: driver") not in ([], [killed]), 5)


def paths_up(status: dict[str, object]) -> int:
    host = status["host"]
    assert isinstance(host, dict)
    return int(sum(server["paths_up"] for server in host["servers"]))
